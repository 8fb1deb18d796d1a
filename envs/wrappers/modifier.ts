import { GymError } from '../../core/errors.js';
import { isNdArray } from '../../core/ndarray.js';
import type { Snapshot } from '../../core/snapshot.js';
import type { EnvSpec, ResetOptions, ResetResult, StepResult } from '../env.js';
import type { Space } from '../spaces/space.js';

/** What a modification is told of the environment that it is put around. */
export interface Around<O, A> {
  readonly observationSpace: Space<O>;
  readonly actionSpace: Space<A>;
  /** With the limit of a `TimeLimit` that was put around by hand, where there is one. */
  readonly spec?: EnvSpec | undefined;
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
  /**
   * The settings without which the modifiers' memory means nothing, as text: the length of a delay, a discount. A
   * snapshot that was taken under other settings is refused. What the spaces show (a size, bounds) need not be in it.
   */
  readonly settings?: string | undefined;
  around(env: Around<InnerO, InnerA>): Modified<O, A, InnerO, InnerA>;
}

/** What a modified environment is, without what is in it: a snapshot of one that was another is refused. */
export function identityOf(
  { name, settings }: { readonly name: string; readonly settings?: string | undefined },
  spaces: { readonly observationSpace: Space<unknown>; readonly actionSpace: Space<unknown> },
): string {
  return `${name}${settings === undefined ? '' : `(${settings})`} ${spaces.observationSpace} ${spaces.actionSpace}`;
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
