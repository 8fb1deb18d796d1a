import { GymError } from '../../core/errors.js';
import { isNdArray } from '../../core/ndarray.js';
import type { Snapshot } from '../../core/snapshot.js';
import type { EnvSpec, ResetOptions, ResetResult, StepResult } from '../env.js';
import type { Space } from '../spaces/space.js';

/** What a modification learns of the environment that it is put around. */
export interface Around<O, A> {
  readonly observationSpace: Space<O>;
  readonly actionSpace: Space<A>;
  /** The environment's spec. If a `TimeLimit` was put around it by hand, `maxEpisodeSteps` is that limit. */
  readonly spec?: EnvSpec | undefined;
}

/** What a modification does to the steps of one environment, with what it remembers of the present episode. */
export interface Modifier<O, A, InnerO, InnerA> {
  /**
   * Called when an episode begins, with its first observation: returns it as the agent sees it, and forgets the last
   * episode.
   */
  first(result: ResetResult<InnerO>, options?: ResetOptions): ResetResult<O>;
  /**
   * The action of the inner environment for one of the agent's. It must remember nothing, since the environment may
   * still refuse the action; that is for {@link next}.
   */
  action(action: A): InnerA;
  /**
   * Called with each result before {@link first} and {@link next}. In a vector environment it is called for all
   * environments first, so that statistics which they share have seen all results of a step.
   */
  prepare?(result: ResetResult<InnerO> | StepResult<InnerO>): void;
  /** A step's result as the agent sees it. It must not change `terminated` and `truncated`. */
  next(result: StepResult<InnerO>, action: A): StepResult<O>;
  /** What it remembers, for a snapshot. */
  state?(): Snapshot;
  /**
   * Takes back what {@link state} gave, and returns the inner environment's present observation as the agent sees it. A
   * modifier without it is told of a restore by {@link first}.
   */
  restore?(state: Snapshot, result: ResetResult<InnerO>): ResetResult<O>;
}

/** A modification that was put around an environment: the spaces that it has then, and a maker of modifiers. */
export interface Modified<O, A, InnerO, InnerA> {
  readonly observationSpace: Space<O>;
  readonly actionSpace: Space<A>;
  /** Makes the modifier of one environment. */
  modifier(): Modifier<O, A, InnerO, InnerA>;
}

/**
 * A change of observations, actions, rewards or infos. `wrap` puts it around single and vector environments alike. In a
 * vector environment each environment has a modifier of its own; what they share is made in `around`.
 */
export interface Modification<O, A, InnerO, InnerA> {
  /** The name that errors and `String(env)` give it. */
  readonly name: string;
  /**
   * The settings on which the meaning of what the modifiers remember depends, as text: the length of a delay, a
   * discount. A snapshot that was taken under other settings is refused. Settings that the spaces show, such as bounds,
   * need not be in it.
   */
  readonly settings?: string | undefined;
  /**
   * Called when it is put around an environment.
   * @throws GymError E_SPACE or E_CONFIG when it cannot be put around this one.
   */
  around(env: Around<InnerO, InnerA>): Modified<O, A, InnerO, InnerA>;
}

/** What names a modified environment in a snapshot, which is refused by one of another name. */
export function identityOf(
  { name, settings }: { readonly name: string; readonly settings?: string | undefined },
  spaces: { readonly observationSpace: Space<unknown>; readonly actionSpace: Space<unknown> },
): string {
  return `${name}${settings === undefined ? '' : `(${settings})`} ${spaces.observationSpace} ${spaces.actionSpace}`;
}

/** A modification of observations by a function that depends on the present observation alone. */
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
 * A modification of actions by a function that depends on the present action alone. The function is called with
 * elements of `accepts` (by default `space`) only; any other action is refused by an error E_VALUE.
 */
export function actionModification<O, A, InnerA>(
  name: string,
  around: (
    space: Space<InnerA>,
    env: Around<O, InnerA>,
  ) => { space: Space<A>; accepts?: Space<A> | undefined; act: (action: A) => InnerA },
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

/**
 * A modification of rewards and infos. Its modifier hands actions and first observations through where it does not say
 * otherwise.
 */
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

/** The error for a value that is no action. */
function refusal(name: string, action: unknown, space: Space<unknown>): GymError {
  const shown = isNdArray(action)
    ? `${action.data.constructor.name} [${action.shape.join(', ')}] of ${action.data.slice(0, 8).join(', ')}`
    : `${String(action)} (${typeof action})`;
  return new GymError('E_VALUE', `${name}.step: the action must be of ${space}, actual value ${shown}.`);
}

/** A space as one of the kind that a modification needs. @throws GymError E_SPACE when it is of another kind. */
export function needSpace<S extends Space<unknown>>(
  name: string,
  space: Space<unknown>,
  type: abstract new (...args: never[]) => S,
): S {
  if (!(space instanceof type))
    throw new GymError('E_SPACE', `${name}: needs a ${type.name} space, actual space ${space}.`);
  return space as unknown as S;
}
