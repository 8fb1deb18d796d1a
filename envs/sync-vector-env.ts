import { GymError, messageOf } from '../core/errors.js';
import type { NdArray } from '../core/ndarray.js';
import { shown } from '../core/shown.js';
import type { Snapshot } from '../core/snapshot.js';
import { type Awaitable, type Info, isPromiseLike } from '../core/types.js';
import {
  checkEnvironment,
  checkFirst,
  checkVectorReset,
  isStep,
  noStep,
  snapshotFlags,
  snapshotList,
  snapshotParts,
  stillEnded,
  wrongActions,
} from './checks.js';
import type { Env, EnvSpec, ResetResult, StepResult } from './env.js';
import type { Space } from './spaces/space.js';
import type { Autoreset, VectorEnv, VectorResetOptions, VectorResetResult, VectorStepResult } from './vector-env.js';
import { OrderEnforcing } from './wrappers/order-enforcing.js';

export interface SyncVectorOptions {
  /** When environments whose episodes have ended are reset. Default 'next-step', as in Gymnasium. */
  autoreset?: Autoreset | undefined;
}

/** All results. An error is thrown only when every promise has settled, so that nothing still runs when it is told. */
async function settled<T>(values: readonly Awaitable<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(values);
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

/** All results, or a promise of all if one of them is a promise. */
function all<T>(values: readonly Awaitable<T>[]): Awaitable<T[]> {
  return values.some(isPromiseLike) ? settled(values) : (values as T[]);
}

/**
 * Environments that are stepped one after another in this thread. If the environments return plain values, so do all
 * methods. If they return promises, the environments run at the same time, and the methods return promises too.
 *
 * Environments whose episodes have ended are reset as `autoreset` says. If the caller resets such an environment first,
 * it is not reset once more.
 */
export class SyncVectorEnv<O, A> implements VectorEnv<O, A> {
  readonly envs: readonly Env<O, A>[];
  readonly numEnvs: number;
  readonly observationSpace: Space<O>;
  readonly actionSpace: Space<A>;
  readonly autoreset: Autoreset;
  readonly spec?: EnvSpec;
  readonly render?: () => Awaitable<(NdArray | string)[]>;
  readonly snapshot?: () => Awaitable<Snapshot>;
  readonly restore?: (snapshot: Snapshot) => Awaitable<VectorResetResult<O>>;
  /** 1 for each environment whose episode has ended and that was not reset since. */
  readonly #ended: Uint8Array;
  #observations: O[] = [];
  /** Whether the environments check their results themselves, as those of `make` do. Then it is not done twice. */
  readonly #checked: boolean;
  /** The number of steps so far, which errors name. */
  #steps = 0;
  #closed = false;

  /** @throws GymError E_CONFIG on no environment or an unknown mode; E_SPACE where the spaces differ. */
  constructor(envs: readonly Env<O, A>[], { autoreset = 'next-step' }: SyncVectorOptions = {}) {
    const first = envs[0];
    if (first === undefined) throw new GymError('E_CONFIG', 'SyncVectorEnv: it needs at least one environment.');
    if (!['next-step', 'same-step', 'disabled'].includes(autoreset))
      throw new GymError(
        'E_CONFIG',
        `SyncVectorEnv: autoreset must be 'next-step', 'same-step' or 'disabled', actual value ${shown(autoreset)}.`,
      );
    envs.forEach((env, i) => {
      checkEnvironment(`SyncVectorEnv: environment ${i}`, env);
      if (envs.indexOf(env) !== i)
        throw new GymError(
          'E_CONFIG',
          `SyncVectorEnv: environments ${envs.indexOf(env)} and ${i} are one object; make each of its own.`,
        );
      for (const space of ['observationSpace', 'actionSpace'] as const)
        if (!env[space].equals(first[space]))
          throw new GymError(
            'E_SPACE',
            `SyncVectorEnv: ${space} of environment ${i} is ${env[space]}, of environment 0 ${first[space]}; all must be equal.`,
          );
    });
    this.envs = [...envs];
    this.numEnvs = envs.length;
    this.observationSpace = first.observationSpace;
    this.actionSpace = first.actionSpace;
    this.autoreset = autoreset;
    if (first.spec !== undefined) this.spec = first.spec;
    this.#ended = new Uint8Array(envs.length);
    this.#checked = envs.every((env) => env instanceof OrderEnforcing);
    if (first.render) this.render = () => this.#each((env) => env.render!());
    if (first.snapshot && first.restore) {
      this.snapshot = () => {
        const inner = this.#each((env) => env.snapshot!());
        const own = (states: Snapshot[]): Snapshot => ({ envs: states, ended: [...this.#ended], autoreset });
        return isPromiseLike(inner) ? inner.then(own) : own(inner);
      };
      this.restore = (snapshot) => this.#restore(snapshot);
    }
  }

  #needOpen(): void {
    if (this.#closed) throw new GymError('E_STATE', 'SyncVectorEnv: it is closed; make another one.');
  }

  #failure(i: number, error: unknown): GymError {
    const code = GymError.is(error) ? error.code : 'E_STATE';
    return new GymError(code, `SyncVectorEnv: environment ${i}: ${messageOf(error)}`, { cause: error });
  }

  /**
   * Calls every environment. An error says which environment it came from, and is thrown only when the calls that were
   * begun have ended.
   */
  #each<R>(call: (env: Env<O, A>, i: number) => Awaitable<R>): Awaitable<R[]> {
    const results: Awaitable<R>[] = [];
    for (let i = 0; i < this.numEnvs; i++) {
      try {
        const result = call(this.envs[i]!, i);
        results.push(isPromiseLike(result) ? this.#named(i, result) : result);
      } catch (error) {
        const failure = this.#failure(i, error);
        if (!results.some(isPromiseLike)) throw failure;
        results.push(Promise.reject(failure));
        break;
      }
    }
    return all(results);
  }

  #named<R>(i: number, result: PromiseLike<R>): PromiseLike<R> {
    return result.then(undefined, (error) => {
      throw this.#failure(i, error);
    });
  }

  /**
   * Resets all environments, or those of `mask`. The others go on with their episodes, and return their last
   * observation.
   * @throws GymError E_VALUE on a list of seeds or a mask of another length, and on a mask that selects no environment.
   */
  reset(reset: VectorResetOptions = {}): Awaitable<VectorResetResult<O>> {
    this.#needOpen();
    checkVectorReset('SyncVectorEnv', this.numEnvs, reset, this.#observations.length > 0);
    const { seed, options, mask } = reset;
    const results = this.#each((env, i): Awaitable<ResetResult<O>> => {
      if (mask !== undefined && mask[i] === 0) return { observation: this.#observations[i]!, info: {} };
      this.#ended[i] = 0;
      const result = env.reset({ seed: typeof seed === 'number' ? seed + i : seed?.[i], options });
      return this.#begun(env, 'reset', result);
    });
    return this.#started(results);
  }

  /** The result of a reset or a restore, when it was checked. */
  #begun(env: Env<O, A>, call: 'reset' | 'restore', result: Awaitable<ResetResult<O>>): Awaitable<ResetResult<O>> {
    if (isPromiseLike(result)) return result.then((awaited) => this.#begun(env, call, awaited));
    checkFirst(env, call, result);
    return result;
  }

  #started(results: Awaitable<ResetResult<O>[]>): Awaitable<VectorResetResult<O>> {
    const split = (list: ResetResult<O>[]) => {
      const observations = list.map((result) => result.observation);
      this.#observations = observations;
      return { observations: [...observations], infos: list.map((result) => result.info) };
    };
    return isPromiseLike(results) ? results.then(split) : split(results);
  }

  /**
   * Takes one action in each environment.
   * @throws GymError E_VALUE on another number of actions, and where an environment's result is none (no number as
   *   reward, the old `done`, no info); E_STATE before the first reset and, where autoreset is disabled, when an
   *   environment's episode has ended.
   */
  step(actions: readonly A[]): Awaitable<VectorStepResult<O>> {
    this.#needOpen();
    const n = this.numEnvs;
    if (this.#observations.length === 0)
      throw new GymError('E_STATE', 'SyncVectorEnv.step: no episode has begun; call reset() first.');
    if (actions?.length !== n) throw wrongActions('SyncVectorEnv', n, actions);
    if (this.autoreset === 'disabled' && this.#ended.includes(1)) throw stillEnded('SyncVectorEnv', this.#ended);
    const out: VectorStepResult<O> = {
      observations: new Array<O>(n),
      rewards: new Float64Array(n),
      terminated: new Uint8Array(n),
      truncated: new Uint8Array(n),
      infos: new Array<Info>(n),
    };
    this.#steps++;
    let pending: PromiseLike<void>[] | undefined;
    for (let i = 0; i < n; i++) {
      let done: Awaitable<void>;
      try {
        done = this.#stepOne(i, actions[i]!, out);
      } catch (error) {
        const failure = this.#failure(i, error);
        if (pending === undefined) throw failure;
        pending.push(Promise.reject(failure));
        break;
      }
      if (isPromiseLike(done)) {
        pending ??= [];
        pending.push(this.#named(i, done));
      }
    }
    // The caller may keep or change its list, while a masked reset and a snapshot need the observations later.
    const finish = () => {
      this.#observations = [...out.observations];
      return out;
    };
    return pending ? settled(pending).then(finish) : finish();
  }

  #stepOne(i: number, action: A, out: VectorStepResult<O>): Awaitable<void> {
    const env = this.envs[i]!;
    if (this.#ended[i] === 1) {
      this.#ended[i] = 0;
      const result = this.#begun(env, 'reset', env.reset());
      const put = ({ observation, info }: ResetResult<O>) => {
        out.observations[i] = observation;
        out.infos[i] = info;
      };
      return isPromiseLike(result) ? result.then(put) : put(result);
    }
    const result = env.step(action);
    return isPromiseLike(result) ? result.then((r) => this.#put(i, r, out)) : this.#put(i, result, out);
  }

  #put(i: number, result: StepResult<O>, out: VectorStepResult<O>): Awaitable<void> {
    if (!this.#checked && !isStep(result))
      throw noStep(this.envs[i]!, result, this.#steps, 'of this vector environment');
    out.observations[i] = result.observation;
    out.rewards[i] = result.reward;
    out.infos[i] = result.info;
    if (!result.terminated && !result.truncated) return;
    out.terminated[i] = result.terminated ? 1 : 0;
    out.truncated[i] = result.truncated ? 1 : 0;
    if (this.autoreset !== 'same-step') {
      this.#ended[i] = 1;
      return;
    }
    const env = this.envs[i]!;
    const next = this.#begun(env, 'reset', env.reset());
    const put = ({ observation, info }: ResetResult<O>) => {
      out.observations[i] = observation;
      out.infos[i] = { ...info, finalObservation: result.observation, finalInfo: result.info };
    };
    return isPromiseLike(next) ? next.then(put) : put(next);
  }

  #restore(snapshot: Snapshot): Awaitable<VectorResetResult<O>> {
    this.#needOpen();
    const { envs, ended, autoreset } = snapshotParts('SyncVectorEnv', snapshot, ['envs', 'ended', 'autoreset']);
    const states = snapshotList('SyncVectorEnv', envs);
    if (states.length !== this.numEnvs)
      throw new GymError(
        'E_STATE',
        `SyncVectorEnv.restore: the snapshot is of ${states.length} environments, these are ${this.numEnvs}.`,
      );
    if (autoreset !== this.autoreset)
      throw new GymError(
        'E_STATE',
        `SyncVectorEnv.restore: the snapshot is of autoreset ${shown(autoreset)}, this one has '${this.autoreset}'; make it with the snapshot's.`,
      );
    const ends = snapshotFlags('SyncVectorEnv', ended, this.numEnvs);
    // Where one environment refuses its part, the others hold theirs already. Only a reset makes sense then, and
    // without observations `step` says so.
    this.#observations = [];
    const results = this.#each((env, i) => this.#begun(env, 'restore', env.restore!(states[i]!)));
    const ready = (list: ResetResult<O>[]) => {
      this.#ended.set(ends);
      return list;
    };
    return this.#started(isPromiseLike(results) ? results.then(ready) : ready(results));
  }

  /**
   * Makes this new vector environment take the place of another one that was lost in the middle of its episodes. All
   * episodes count as ended, with these last observations, and the environments are reset as after any end.
   * @internal
   */
  succeed(observations: readonly O[]): void {
    this.#observations = [...observations];
    this.#ended.fill(1);
  }

  /** Closes all environments. Closing them again does nothing. */
  close(): Awaitable<void> {
    if (this.#closed) return;
    this.#closed = true;
    const closed = all(this.envs.map((env) => env.close?.()));
    return isPromiseLike(closed) ? closed.then(() => undefined) : undefined;
  }

  toString(): string {
    return `SyncVectorEnv(${this.numEnvs}, ${String(this.envs[0])}, ${this.autoreset})`;
  }
}
