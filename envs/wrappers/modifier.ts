import { GymError } from '../../core/errors.js';
import { isNdArray } from '../../core/ndarray.js';
import type { Snapshot } from '../../core/snapshot.js';
import { type Awaitable, type Info, isPromiseLike } from '../../core/types.js';
import type { Env, EnvSpec, ResetOptions, ResetResult, StepResult } from '../env.js';
import type { Space } from '../spaces/space.js';
import type { Autoreset, VectorEnv, VectorResetOptions, VectorResetResult, VectorStepResult } from '../vector-env.js';
import { TimeLimit } from './time-limit.js';
import { after, findWrapper, Wrapper } from './wrapper.js';

/** What a modification is told of the environment that it is put around. */
export interface Around<O, A> {
  readonly observationSpace: Space<O>;
  readonly actionSpace: Space<A>;
  /** With the limit of a `TimeLimit` that was put around by hand, where there is one. */
  readonly spec?: EnvSpec;
}

/** What a modification does to the steps of one environment, and the memory that it has of the episode. */
export interface Modifier<O, A, InnerO, InnerA> {
  /** An episode begins: forget the last one. */
  first(result: ResetResult<InnerO>, options?: ResetOptions): ResetResult<O>;
  /** The inner environment's action for one of the agent's. It may be refused, so memory changes in {@link next} alone. */
  action(action: A): InnerA;
  /** Called with each result before any {@link first} or {@link next} of a vector step: for statistics that are shared. */
  prepare?(result: ResetResult<InnerO> | StepResult<InnerO>): void;
  /** A step as the agent sees it. Whether an episode ends is the environment's affair: it must not be changed. */
  next(result: StepResult<InnerO>, action: A): StepResult<O>;
  /** What a snapshot must hold. */
  state?(): Snapshot;
  /** Takes it back; the result is the inner environment's present observation. Without it: as {@link first}. */
  restore?(state: Snapshot, result: ResetResult<InnerO>): ResetResult<O>;
}

/** A modification put around an environment: its spaces, and a maker of one modifier for each environment. */
export interface Modified<O, A, InnerO, InnerA> {
  readonly observationSpace: Space<O>;
  readonly actionSpace: Space<A>;
  modifier(): Modifier<O, A, InnerO, InnerA>;
}

/**
 * A change of observations, actions, rewards or infos that is put around single and vector environments alike, by
 * {@link wrap}. What the modifiers of a vector environment share is made in `around`.
 */
export interface Modification<O, A, InnerO, InnerA> {
  readonly name: string;
  around(env: Around<InnerO, InnerA>): Modified<O, A, InnerO, InnerA>;
}

class ModifiedEnv<O, A, InnerO, InnerA> extends Wrapper<O, A, InnerO, InnerA> {
  readonly observationSpace: Space<O>;
  readonly actionSpace: Space<A>;
  readonly #name: string;
  readonly #modifier: Modifier<O, A, InnerO, InnerA>;
  #saved: Snapshot = null;

  constructor(env: Env<InnerO, InnerA>, modification: Modification<O, A, InnerO, InnerA>) {
    super(env);
    const limit = findWrapper(env as Env<unknown, unknown>, TimeLimit)?.maxEpisodeSteps;
    const { observationSpace, actionSpace, modifier } = modification.around({
      observationSpace: env.observationSpace,
      actionSpace: env.actionSpace,
      spec:
        limit === undefined
          ? env.spec
          : { id: String(env), description: 'made by hand', ...env.spec, maxEpisodeSteps: limit },
    });
    this.observationSpace = observationSpace;
    this.actionSpace = actionSpace;
    this.#name = modification.name;
    this.#modifier = modifier();
  }

  reset(options?: ResetOptions): Awaitable<ResetResult<O>> {
    return after(this.env.reset(options), (result) => {
      this.#modifier.prepare?.(result);
      return this.#modifier.first(result, options);
    });
  }

  step(action: A): Awaitable<StepResult<O>> {
    return after(this.env.step(this.#modifier.action(action)), (result) => {
      this.#modifier.prepare?.(result);
      return this.#modifier.next(result, action);
    });
  }

  protected override ownState(): Snapshot {
    return this.#modifier.state?.() ?? null;
  }

  protected override restoreOwn(state: Snapshot): void {
    this.#saved = state;
  }

  protected restored(result: ResetResult<InnerO>): ResetResult<O> {
    return this.#modifier.restore?.(this.#saved, result) ?? this.#modifier.first(result);
  }

  override toString(): string {
    return `<${this.#name}${String(this.env)}>`;
  }
}

/** A vector environment around another one, with a modifier for each environment in it. */
class ModifiedVectorEnv<O, A, InnerO, InnerA> implements VectorEnv<O, A> {
  readonly env: VectorEnv<InnerO, InnerA>;
  readonly numEnvs: number;
  readonly observationSpace: Space<O>;
  readonly actionSpace: Space<A>;
  readonly autoreset: Autoreset;
  readonly horizon?: number;
  readonly spec?: EnvSpec;
  readonly render?: VectorEnv<O, A>['render'];
  readonly snapshot?: () => Awaitable<Snapshot>;
  readonly restore?: (snapshot: Snapshot) => Awaitable<VectorResetResult<O>>;
  readonly #name: string;
  readonly #modifiers: readonly Modifier<O, A, InnerO, InnerA>[];
  /** 1 where the next step of a `next-step` environment is its reset. */
  readonly #ended: Uint8Array;
  /** The inner actions of the last step: one for an environment that will ignore it. */
  #actions: InnerA[] = [];
  #observations: O[] = [];
  /** The call that is not over, if there is one. */
  #pending: Promise<unknown> | undefined;

  constructor(env: VectorEnv<InnerO, InnerA>, modification: Modification<O, A, InnerO, InnerA>) {
    const { observationSpace, actionSpace, modifier } = modification.around(env);
    this.env = env;
    this.numEnvs = env.numEnvs;
    this.observationSpace = observationSpace;
    this.actionSpace = actionSpace;
    this.autoreset = env.autoreset;
    if (env.horizon !== undefined) this.horizon = env.horizon;
    if (env.spec !== undefined) this.spec = env.spec;
    this.#name = modification.name;
    this.#modifiers = Array.from({ length: env.numEnvs }, modifier);
    this.#ended = new Uint8Array(env.numEnvs);
    if (env.render) this.render = () => env.render!();
    if (env.snapshot && env.restore) {
      this.snapshot = () =>
        this.#inOrder(() =>
          after(
            env.snapshot!(),
            (inner): Snapshot => ({
              inner,
              own: this.#modifiers.map((own) => own.state?.() ?? null),
              ended: [...this.#ended],
            }),
          ),
        );
      this.restore = (snapshot) => {
        const { inner, own, ended } = snapshot as { inner: Snapshot; own: Snapshot[]; ended: number[] };
        return this.#inOrder(() =>
          after(env.restore!(inner), (result) => {
            this.#ended.set(ended);
            return this.#started(result, (i, r) => {
              const modifier = this.#modifiers[i]!;
              return modifier.restore?.(own[i]!, r) ?? modifier.first(r);
            });
          }),
        );
      };
    }
  }

  /**
   * Calls at once, or where the last call is pending when that is over: the modifiers' memory is of one episode, and a
   * reset before the last step's rewards are there (which `Denoising` allows) would have them counted in the next one.
   */
  #inOrder<T>(call: () => Awaitable<T>): Awaitable<T> {
    const result = this.#pending === undefined ? call() : this.#pending.then(call, call);
    if (!isPromiseLike(result)) return result;
    const pending = Promise.resolve(result).finally(() => {
      if (this.#pending === pending) this.#pending = undefined;
    });
    this.#pending = pending;
    return pending;
  }

  #started(
    { observations, infos }: VectorResetResult<InnerO>,
    begin: (i: number, result: ResetResult<InnerO>) => ResetResult<O>,
  ): VectorResetResult<O> {
    const results = observations.map((observation, i) => begin(i, { observation, info: infos[i]! }));
    this.#observations = results.map((result) => result.observation);
    return { observations: [...this.#observations], infos: results.map((result) => result.info) };
  }

  reset(options?: VectorResetOptions): Awaitable<VectorResetResult<O>> {
    return this.#inOrder(() => this.#reset(options));
  }

  #reset(options: VectorResetOptions = {}): Awaitable<VectorResetResult<O>> {
    const { seed, mask } = options;
    return after(this.env.reset(options), (result) => {
      this.#modifiers.forEach((modifier, i) => {
        if (mask === undefined || mask[i] === 1)
          modifier.prepare?.({ observation: result.observations[i]!, info: result.infos[i]! });
      });
      return this.#started(result, (i, r) => {
        if (mask !== undefined && mask[i] === 0) return { observation: this.#observations[i]!, info: r.info };
        this.#ended[i] = 0;
        return this.#modifiers[i]!.first(r, {
          seed: typeof seed === 'number' ? seed + i : seed?.[i],
          options: options.options,
        });
      });
    });
  }

  step(actions: readonly A[]): Awaitable<VectorStepResult<O>> {
    return this.#inOrder(() => this.#step(actions));
  }

  #step(actions: readonly A[]): Awaitable<VectorStepResult<O>> {
    if (actions.length !== this.numEnvs)
      throw new GymError(
        'E_VALUE',
        `${this.#name}.step: ${actions.length} actions for ${this.numEnvs} environments; hand in one each.`,
      );
    this.#actions = actions.map((action, i) =>
      this.#ended[i] === 1 ? this.#actions[i]! : this.#modifiers[i]!.action(action),
    );
    return after(this.env.step(this.#actions), (result) => this.#stepped(result, actions));
  }

  #stepped(inner: VectorStepResult<InnerO>, actions: readonly A[]): VectorStepResult<O> {
    const n = this.numEnvs;
    const out: VectorStepResult<O> = {
      observations: new Array<O>(n),
      rewards: new Float64Array(n),
      terminated: inner.terminated,
      truncated: inner.truncated,
      infos: new Array<Info>(n),
    };
    // what each environment did: a transition, the beginning of an episode, or (same-step) both
    const parts = this.#modifiers.map((modifier, i) => {
      const observation = inner.observations[i]!;
      const info = inner.infos[i]!;
      let step: StepResult<InnerO> | undefined;
      let begun: ResetResult<InnerO> | undefined;
      if (this.#ended[i] === 1) begun = { observation, info };
      else {
        const [terminated, truncated] = [inner.terminated[i] === 1, inner.truncated[i] === 1];
        step = { observation, reward: inner.rewards[i]!, terminated, truncated, info };
        if (this.autoreset === 'same-step' && (terminated || truncated)) {
          const { finalObservation, finalInfo, ...rest } = info;
          step = { ...step, observation: finalObservation as InnerO, info: finalInfo as Info };
          begun = { observation, info: rest };
        }
      }
      if (step !== undefined) modifier.prepare?.(step);
      if (begun !== undefined) modifier.prepare?.(begun);
      return { step, begun };
    });
    parts.forEach(({ step, begun }, i) => {
      const modifier = this.#modifiers[i]!;
      const stepped = step && modifier.next(step, actions[i]!);
      const first = begun && modifier.first(begun);
      out.rewards[i] = stepped?.reward ?? 0;
      out.observations[i] = first === undefined ? stepped!.observation : first.observation;
      out.infos[i] =
        first === undefined
          ? stepped!.info
          : stepped === undefined
            ? first.info
            : { ...first.info, finalObservation: stepped.observation, finalInfo: stepped.info };
      const over = step !== undefined && (step.terminated || step.truncated);
      this.#ended[i] = over && this.autoreset === 'next-step' ? 1 : 0;
    });
    this.#observations = [...out.observations];
    return out;
  }

  close(): Awaitable<void> {
    return this.env.close?.();
  }

  toString(): string {
    return `<${this.#name}${String(this.env)}>`;
  }
}

/**
 * Puts a modification around an environment, single or vector:
 * `wrap(wrap(env, flattenObservation()), normalizeReward({ gamma: 0.9 }))`.
 *
 * Around a vector environment each environment in it is modified for itself, whatever the autoreset mode: an episode's
 * memory begins anew where that environment is reset, and under `same-step` the final observation and info are
 * modified as the last step that they are. Statistics (of normalisation) are shared by all environments in it.
 * Calls have effect in their order: a `reset` while a step is pending (a slow reward of `Denoising`) waits for it.
 *
 * @throws GymError E_VALUE on what is no environment or no modification; E_CONFIG and E_SPACE as the modification says.
 */
export function wrap<O, A, InnerO, InnerA>(
  env: VectorEnv<InnerO, InnerA>,
  modification: Modification<O, A, InnerO, InnerA>,
): VectorEnv<O, A>;
export function wrap<O, A, InnerO, InnerA>(
  env: Env<InnerO, InnerA>,
  modification: Modification<O, A, InnerO, InnerA>,
): Env<O, A>;
export function wrap<O, A, InnerO, InnerA>(
  env: Env<InnerO, InnerA> | VectorEnv<InnerO, InnerA>,
  modification: Modification<O, A, InnerO, InnerA>,
): Env<O, A> | VectorEnv<O, A> {
  if (typeof env?.reset !== 'function' || typeof env.step !== 'function')
    throw new GymError(
      'E_VALUE',
      `wrap: the first argument must be an environment, actual value ${String(env)}${
        isPromiseLike(env) ? '; await it, as in wrap(await make(id), ...)' : '; hand in what make or makeVec gives'
      }.`,
    );
  if (typeof modification?.around !== 'function')
    throw new GymError(
      'E_VALUE',
      `wrap: the second argument must be a modification, actual value ${
        typeof modification === 'function'
          ? `the function ${(modification as () => void).name}; call it, as in wrap(env, flattenObservation())`
          : `${String(modification)}; hand in one such as flattenObservation()`
      }.`,
    );
  return 'numEnvs' in env ? new ModifiedVectorEnv(env, modification) : new ModifiedEnv(env, modification);
}

/** A modification of observations by a function without memory. */
export function observationModification<O, A, InnerO>(
  name: string,
  around: (space: Space<InnerO>, env: Around<InnerO, A>) => { space: Space<O>; observe: (observation: InnerO) => O },
): Modification<O, A, InnerO, A> {
  return {
    name,
    around: (env) => {
      const { space, observe } = around(env.observationSpace, env);
      const modifier: Modifier<O, A, InnerO, A> = {
        first: ({ observation, info }) => ({ observation: observe(observation), info }),
        action: (action) => action,
        next: (result) => ({ ...result, observation: observe(result.observation) }),
      };
      return { observationSpace: space, actionSpace: env.actionSpace, modifier: () => modifier };
    },
  };
}

/**
 * A modification of actions by a function without memory. It is called with elements of `accepts` (by default `space`)
 * alone: another action is an error E_VALUE.
 */
export function actionModification<O, A, InnerA>(
  name: string,
  around: (
    space: Space<InnerA>,
    env: Around<O, InnerA>,
  ) => { space: Space<A>; accepts?: Space<A>; act: (action: A) => InnerA },
): Modification<O, A, O, InnerA> {
  return {
    name,
    around: (env) => {
      const { space, accepts = space, act } = around(env.actionSpace, env);
      const modifier: Modifier<O, A, O, InnerA> = {
        first: (result) => result,
        action: (action) => {
          if (!accepts.contains(action)) throw refusal(name, action, accepts);
          return act(action);
        },
        next: (result) => result,
      };
      return { observationSpace: env.observationSpace, actionSpace: space, modifier: () => modifier };
    },
  };
}

/** A modification of what follows from steps: rewards, infos. The modifier need not say anything of actions. */
export function stepModification<O, A>(
  name: string,
  around: (env: Around<O, A>) => () => Omit<Modifier<O, A, O, A>, 'action' | 'first'> & Partial<Modifier<O, A, O, A>>,
): Modification<O, A, O, A> {
  return {
    name,
    around: (env) => {
      const make = around(env);
      return {
        observationSpace: env.observationSpace,
        actionSpace: env.actionSpace,
        modifier: () => ({ first: (result) => result, action: (action) => action, ...make() }),
      };
    },
  };
}

/** The error for what is no action. */
function refusal(name: string, action: unknown, space: Space<unknown>): GymError {
  const shown = isNdArray(action)
    ? `${action.data.constructor.name} [${action.shape.join(', ')}] of ${action.data.slice(0, 8).join(', ')}`
    : `${String(action)} (${typeof action})`;
  return new GymError('E_VALUE', `${name}.step: the action must be of ${space}, actual value ${shown}.`);
}

/** The space as a Box, which a modification needs. @throws GymError E_SPACE on another. */
export function needSpace<S extends Space<unknown>>(
  name: string,
  space: Space<unknown>,
  type: abstract new (...args: never[]) => S,
): S {
  if (!(space instanceof type))
    throw new GymError('E_SPACE', `${name}: needs a ${type.name} space, actual space ${space}.`);
  return space as unknown as S;
}
