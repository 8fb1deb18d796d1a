import { availableParallelism } from 'node:os';
import { GymError, messageOf } from '../core/errors.js';
import type { NdArray } from '../core/ndarray.js';
import type { Snapshot } from '../core/snapshot.js';
import type { Info } from '../core/types.js';
import { checkVectorReset, snapshotParts, stillEnded, wrongActions } from './checks.js';
import type { EnvSpec } from './env.js';
import type { KnownEnvs } from './registration.js';
import type { MakeOptions, VectorEnvOf } from './registry.js';
import { spaceFromJson } from './spaces/json.js';
import type { Space } from './spaces/space.js';
import type { Autoreset, VectorEnv, VectorResetOptions, VectorResetResult, VectorStepResult } from './vector-env.js';
import { Crash, Crew } from './worker-crew.js';
import type { Ready, WorkerTask } from './worker-protocol.js';

export interface WorkerVectorOptions extends Pick<MakeOptions, 'maxEpisodeSteps'> {
  /** Threads; default as many as there are cores, at most one an environment. */
  workers?: number | undefined;
  /** Default 'next-step'. */
  autoreset?: Autoreset | undefined;
  /**
   * What follows when a thread dies (not: throws). 'error': the call fails, and the environment is of no more use.
   * 'replace': another takes its place at the next step, reset or restore; the episodes of its environments that a step
   * finds lost are truncated with their last observation, reward 0 and `info.crashed` (under same-step
   * `info.finalInfo.crashed`), and begin anew as after any end. Default 'error'.
   */
  onCrash?: 'error' | 'replace' | undefined;
}

/** So many threads in a row are replaced in one call: what kills them all is no accident. */
const mostCrashes = 3;

/**
 * Environments in threads, each thread with a share of them in a `SyncVectorEnv`: for environments whose step takes
 * longer than a message (some 50 µs). Made by {@link makeWorkerVec}. Results are those of the `SyncVectorEnv` of the
 * same environments, whatever the number of threads.
 */
export class WorkerVectorEnv<O, A> implements VectorEnv<O, A> {
  readonly numEnvs: number;
  readonly observationSpace: Space<O>;
  readonly actionSpace: Space<A>;
  readonly autoreset: Autoreset;
  readonly spec?: EnvSpec;
  readonly render?: () => Promise<(NdArray | string)[]>;
  readonly snapshot?: () => Promise<Snapshot>;
  readonly restore?: (snapshot: Snapshot) => Promise<VectorResetResult<O>>;
  readonly #tasks: readonly WorkerTask[];
  readonly #crews: Crew[];
  readonly #onCrash: 'error' | 'replace';
  /** 1 where an episode has ended and no reset has followed. */
  readonly #ended: Uint8Array;
  #observations: O[] = [];
  #busy: string | undefined;
  #closed = false;

  private constructor(tasks: readonly WorkerTask[], crews: Crew[], ready: Ready, onCrash: 'error' | 'replace') {
    this.#tasks = tasks;
    this.#crews = crews;
    this.#onCrash = onCrash;
    this.numEnvs = tasks.reduce((sum, task) => sum + task.numEnvs, 0);
    this.#ended = new Uint8Array(this.numEnvs);
    this.autoreset = tasks[0]!.autoreset;
    this.observationSpace = spaceFromJson(ready.observationSpace) as Space<O>;
    this.actionSpace = spaceFromJson(ready.actionSpace) as Space<A>;
    if (ready.spec !== undefined) this.spec = ready.spec as EnvSpec;
    if (ready.renders)
      this.render = () => this.#alone('render', async () => (await this.#all<(NdArray | string)[]>('render')).flat());
    if (ready.snapshots) {
      this.snapshot = () =>
        this.#alone('snapshot', async () => ({
          crews: await this.#all<Snapshot>('snapshot'),
          ended: [...this.#ended],
        }));
      this.restore = (snapshot) => this.#alone('restore', () => this.#restore(snapshot));
    }
  }

  /** Starts the threads and waits until all have made their environments. */
  static async start<O, A>(
    task: WorkerTask,
    workers: number,
    onCrash: 'error' | 'replace',
  ): Promise<WorkerVectorEnv<O, A>> {
    const shares = Array.from(
      { length: workers },
      (_, k) => Math.floor(((k + 1) * task.numEnvs) / workers) - Math.floor((k * task.numEnvs) / workers),
    );
    const tasks = shares.map((numEnvs) => ({ ...task, numEnvs }));
    let offset = 0;
    const crews = tasks.map((own) => {
      offset += own.numEnvs;
      return new Crew(own, offset - own.numEnvs);
    });
    try {
      const [ready] = await Promise.all(crews.map((crew) => crew.ready));
      if (onCrash === 'replace' && !ready!.replaceable)
        throw new GymError(
          'E_CONFIG',
          `makeWorkerVec ${task.id}: it is natively a vector environment, whose threads cannot be replaced; leave out onCrash.`,
        );
      return new WorkerVectorEnv<O, A>(tasks, crews, ready!, onCrash);
    } catch (error) {
      await Promise.all(crews.map((crew) => crew.dismiss('it could not begin')));
      throw error instanceof Crash
        ? new GymError('E_STATE', `makeWorkerVec ${task.id}: a thread died as it began: ${error.message}`, {
            cause: error,
          })
        : error;
    }
  }

  #needOpen(): void {
    if (this.#closed) throw new GymError('E_STATE', 'WorkerVectorEnv: it is closed; make another one.');
  }

  /** Runs one call at a time. */
  async #alone<R>(call: string, run: () => Promise<R>): Promise<R> {
    this.#needOpen();
    if (this.#busy !== undefined)
      throw new GymError('E_STATE', `WorkerVectorEnv.${call}: ${this.#busy}() has not ended yet; await it first.`);
    this.#busy = call;
    try {
      return await run();
    } finally {
      this.#busy = undefined;
    }
  }

  /** Asks all crews at once; waits for all of them, so that none is left with an answer that nobody expects. */
  async #each<R>(ask: (crew: Crew, k: number) => Promise<R>): Promise<R[]> {
    const answers = await Promise.allSettled(this.#crews.map(ask));
    return answers.map((answer, k) => {
      if (answer.status === 'fulfilled') return answer.value;
      if (!(answer.reason instanceof Crash)) throw answer.reason;
      this.#needOpen(); // a thread that close() ended did not crash
      const { offset, numEnvs } = this.#crews[k]!;
      throw new GymError(
        'E_STATE',
        `WorkerVectorEnv: the thread of environments ${offset} to ${offset + numEnvs - 1} died: ${answer.reason.message}; ${
          this.#onCrash === 'error'
            ? "with onCrash 'replace' another takes its place."
            : 'the next step() or reset() puts another in its place.'
        }`,
        { cause: answer.reason },
      );
    });
  }

  #all<R>(kind: 'render' | 'snapshot' | 'close'): Promise<R[]> {
    return this.#each((crew) => crew.ask<R>({ kind }));
  }

  /**
   * Asks all crews; one that has died, where it is to be replaced, by another one that takes its place, and is asked
   * what `again` says.
   */
  #eachAlive<R>(
    ask: (crew: Crew, k: number) => Promise<R>,
    again: (crew: Crew, k: number, crash: Crash) => Promise<R>,
  ): Promise<R[]> {
    return this.#each(async (crew, k) => {
      let answer = ask(crew, k);
      for (let crashes = 1; ; crashes++) {
        try {
          return await answer;
        } catch (error) {
          if (!(error instanceof Crash) || this.#onCrash === 'error' || this.#closed) throw error;
          if (crashes > mostCrashes) throw new Crash(`${error.message}, and so did ${mostCrashes} before it`);
          const next = new Crew(this.#successor(k), crew.offset);
          this.#crews[k] = next;
          answer = again(next, k, error);
        }
      }
    });
  }

  /** What the thread is to make that takes the place of crew k. */
  #successor(k: number): WorkerTask {
    const { offset, numEnvs } = this.#crews[k]!;
    const begun = this.#observations.length > 0;
    return { ...this.#tasks[k]!, ...(begun && { last: this.#observations.slice(offset, offset + numEnvs) }) };
  }

  /** The same as `SyncVectorEnv.reset`. */
  reset(reset: VectorResetOptions = {}): Promise<VectorResetResult<O>> {
    return this.#alone('reset', async () => {
      checkVectorReset('WorkerVectorEnv', this.numEnvs, reset, this.#observations.length > 0);
      const { seed, options, mask = new Uint8Array(this.numEnvs).fill(1) } = reset;
      const ask = async (crew: Crew): Promise<VectorResetResult<O>> => {
        const { offset, end } = crew;
        const own = mask.slice(offset, end);
        if (!own.includes(1)) return { observations: this.#observations.slice(offset, end), infos: none(own.length) };
        const seeds = typeof seed === 'number' ? seed + offset : seed?.slice(offset, end);
        const part = own.includes(0) ? { mask: own } : {};
        return crew.observe({ kind: 'reset', options: { seed: seeds, options, ...part } });
      };
      const results = await this.#eachAlive(ask, async (crew, _, crash) => {
        const result = await ask(crew);
        // episodes that the mask spares are lost all the same: the next step must find that out, and say so
        const spares = mask
          .subarray(crew.offset, crew.end)
          .some((one, i) => one === 0 && !this.#ended[crew.offset + i]);
        if (spares) await crew.dismiss(crash.message);
        return result;
      });
      mask.forEach((one, i) => {
        if (one === 1) this.#ended[i] = 0;
      });
      return this.#started(results);
    });
  }

  #started(results: readonly VectorResetResult<O>[]): VectorResetResult<O> {
    const observations = results.flatMap((result) => result.observations);
    this.#observations = observations;
    return { observations: [...observations], infos: results.flatMap((result) => result.infos) };
  }

  /** The same as `SyncVectorEnv.step`. @throws GymError E_STATE, too, when a thread died and is not to be replaced. */
  step(actions: readonly A[]): Promise<VectorStepResult<O>> {
    return this.#alone('step', async () => {
      if (this.#observations.length === 0)
        throw new GymError('E_STATE', 'WorkerVectorEnv.step: no episode has begun; call reset() first.');
      if (actions?.length !== this.numEnvs) throw wrongActions('WorkerVectorEnv', this.numEnvs, actions);
      if (this.autoreset === 'disabled' && this.#ended.includes(1)) throw stillEnded('WorkerVectorEnv', this.#ended);
      const parts = await this.#eachAlive(
        (crew) => crew.observe<VectorStepResult<O>>({ kind: 'step', actions: actions.slice(crew.offset, crew.end) }),
        (crew, _, crash) => this.#cutOff(crew, crash),
      );
      const out: VectorStepResult<O> = {
        observations: parts.flatMap((part) => part.observations),
        rewards: new Float64Array(this.numEnvs),
        terminated: new Uint8Array(this.numEnvs),
        truncated: new Uint8Array(this.numEnvs),
        infos: parts.flatMap((part) => part.infos),
      };
      parts.forEach((part, k) => {
        const { offset } = this.#crews[k]!;
        out.rewards.set(part.rewards, offset);
        out.terminated.set(part.terminated, offset);
        out.truncated.set(part.truncated, offset);
      });
      this.#observations = [...out.observations];
      if (this.autoreset !== 'same-step')
        for (let i = 0; i < this.numEnvs; i++) this.#ended[i] = out.terminated[i]! | out.truncated[i]!;
      return out;
    });
  }

  /** The step in which a crew was lost, as its successor says it: running episodes are cut, and what was due to be reset is. */
  async #cutOff(crew: Crew, crash: Crash): Promise<VectorStepResult<O>> {
    const { offset, end, numEnvs } = crew;
    const last = this.#observations.slice(offset, end);
    const due = this.#ended.slice(offset, end);
    const same = this.autoreset === 'same-step';
    const mask = same ? new Uint8Array(numEnvs).fill(1) : due;
    await crew.ready;
    const { observations, infos } = mask.includes(1)
      ? await crew.observe<VectorResetResult<O>>({ kind: 'reset', options: { mask } })
      : { observations: last, infos: none(numEnvs) };
    const crashed: Info = { crashed: crash.message };
    return {
      observations,
      rewards: new Float64Array(numEnvs),
      terminated: new Uint8Array(numEnvs),
      truncated: due.map((one) => 1 - one),
      infos: infos.map((info, i) => {
        if (same) return { ...info, finalObservation: last[i], finalInfo: { ...crashed } };
        return due[i] === 1 ? info : { ...crashed };
      }),
    };
  }

  async #restore(snapshot: Snapshot): Promise<VectorResetResult<O>> {
    const { crews, ended } = snapshotParts('WorkerVectorEnv', snapshot, ['crews', 'ended']);
    const snapshots = crews as Snapshot[];
    if (snapshots.length !== this.#crews.length)
      throw new GymError(
        'E_STATE',
        `WorkerVectorEnv.restore: the snapshot is of ${snapshots.length} threads, there are ${this.#crews.length}; make it with as many workers.`,
      );
    const ask = (crew: Crew, k: number) =>
      crew.observe<VectorResetResult<O>>({ kind: 'restore', snapshot: snapshots[k]! });
    const results = await this.#eachAlive(ask, ask);
    this.#ended.set(ended as number[]);
    return this.#started(results);
  }

  /** Closes the environments and ends the threads, also in the middle of a call. May be called again. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#busy === undefined) await Promise.allSettled(this.#crews.map((crew) => crew.ask({ kind: 'close' })));
    await Promise.all(this.#crews.map((crew) => crew.dismiss('it was closed')));
  }

  toString(): string {
    return `WorkerVectorEnv(${this.numEnvs}, ${this.spec?.id ?? ''}, ${this.#crews.length} workers, ${this.autoreset})`;
  }
}

function none(n: number): Info[] {
  return Array.from({ length: n }, () => ({}));
}

/**
 * Makes environments in threads.
 * @param id as `make` takes it; for an environment of your own `module:Name-v0`, since a thread knows only what it
 *   imports (a package, or a path from the working directory that begins with . or /).
 * @param options must be plain data: they are sent to the threads.
 * @throws GymError as `make`, and E_CONFIG on options that cannot be sent, wrappers among them.
 */
export async function makeWorkerVec<K extends string>(
  id: K,
  numEnvs: number,
  options?: K extends keyof KnownEnvs ? KnownEnvs[K]['options'] : Readonly<Record<string, unknown>>,
  make?: WorkerVectorOptions,
): Promise<VectorEnvOf<K> extends VectorEnv<infer O, infer A> ? WorkerVectorEnv<O, A> : never>;
export async function makeWorkerVec(
  id: string,
  numEnvs: number,
  options: Readonly<Record<string, unknown>> = {},
  make: WorkerVectorOptions = {},
): Promise<WorkerVectorEnv<unknown, unknown>> {
  const { workers, autoreset = 'next-step', maxEpisodeSteps, onCrash = 'error' } = make;
  if ('wrappers' in make)
    throw new GymError(
      'E_CONFIG',
      `makeWorkerVec ${id}: \`wrappers\` are functions, which cannot be sent to a thread; put them around the environment in the \`create\` of a module of your own, or use wrap() on the result.`,
    );
  if (!Number.isInteger(numEnvs) || numEnvs < 1)
    throw new GymError(
      'E_VALUE',
      `makeWorkerVec ${id}: numEnvs must be an integer of at least 1, actual value ${numEnvs}.`,
    );
  const threads = Math.min(numEnvs, workers ?? availableParallelism());
  if (!Number.isInteger(threads) || threads < 1)
    throw new GymError(
      'E_VALUE',
      `makeWorkerVec ${id}: workers must be an integer of at least 1, actual value ${workers}.`,
    );
  if (onCrash !== 'error' && onCrash !== 'replace')
    throw new GymError(
      'E_CONFIG',
      `makeWorkerVec ${id}: onCrash must be 'error' or 'replace', actual value ${onCrash}.`,
    );
  try {
    structuredClone(options);
  } catch (error) {
    throw new GymError(
      'E_CONFIG',
      `makeWorkerVec ${id}: the options must be plain data, which can be sent to a thread: ${messageOf(error)}`,
      { cause: error },
    );
  }
  return WorkerVectorEnv.start({ id, numEnvs, options, maxEpisodeSteps, autoreset }, threads, onCrash);
}
