import type { NdArray } from '../core/ndarray.js';
import type { Snapshot } from '../core/snapshot.js';
import type { Awaitable, Info } from '../core/types.js';
import type { EnvSpec } from './env.js';
import type { Space } from './spaces/space.js';

/**
 * When an environment whose episode has ended is reset. The modes are those of Gymnasium.
 * - `next-step`: by the step after the end. That step ignores the environment's action, returns the first observation
 *   of the new episode, and has reward 0.
 * - `same-step`: by the step of the end itself. It returns the first observation of the new episode; the last one of
 *   the old episode is in `infos[i].finalObservation`, and its info in `infos[i].finalInfo`.
 * - `disabled`: not at all. The caller calls `reset` with a mask.
 */
export type Autoreset = 'next-step' | 'same-step' | 'disabled';

/** What {@link VectorEnv.reset} may be given. */
export interface VectorResetOptions {
  /**
   * A number seeds environment i with seed + i. A list gives each environment a seed of its own, or with undefined
   * none.
   */
  seed?: number | readonly (number | undefined)[] | undefined;
  /** Settings of the episodes that begin, which each environment documents for itself. */
  options?: Record<string, unknown> | undefined;
  /** An entry for each environment: 1 to reset it, 0 to leave it as it is. Without a mask all are reset. */
  mask?: Uint8Array | undefined;
}

/** The observations at which the environments stand after a reset, an entry for each. */
export interface VectorResetResult<O> {
  observations: O[];
  infos: Info[];
}

/** What followed from the actions, an entry for each environment. */
export interface VectorStepResult<O> {
  observations: O[];
  rewards: Float64Array;
  /** 1 where the task has ended. */
  terminated: Uint8Array;
  /** 1 where a limit has cut the episode. */
  truncated: Uint8Array;
  infos: Info[];
}

/**
 * Several environments of the same kind that are stepped together. Actions, observations and infos are lists with an
 * entry for each environment; an agent stacks them as its network needs them. Everything else is as for a single `Env`.
 */
export interface VectorEnv<O, A> {
  /** How many environments there are. */
  readonly numEnvs: number;
  /** The set of the observations of one environment. */
  readonly observationSpace: Space<O>;
  /** The set of the actions of one environment. */
  readonly actionSpace: Space<A>;
  /** When environments whose episodes have ended are reset. */
  readonly autoreset: Autoreset;
  /** The length of all episodes in steps, where all have the same length by the nature of the task. */
  readonly horizon?: number | undefined;
  /** Set by `makeVec`; a vector environment that was made by hand has none. */
  readonly spec?: EnvSpec | undefined;

  /** Begins new episodes, in all environments or in those of a mask. The others return their present observation. */
  reset(options?: VectorResetOptions): Awaitable<VectorResetResult<O>>;

  /**
   * Takes one action in each environment and tells what followed. `infos[i].idle` is true where environment i did nothing,
   * since its episode has ended and it waits, as a member of a group does ({@link Groups}).
   */
  step(actions: readonly A[]): Awaitable<VectorStepResult<O>>;

  /** The present state of each environment for people to look at. */
  render?(): Awaitable<(NdArray | string)[]>;

  /** Everything on which the rest depends, which environments are due to be reset included. See `Env.snapshot`. */
  snapshot?(): Awaitable<Snapshot>;

  /** Goes on from a snapshot of a vector environment that was made alike. */
  restore?(snapshot: Snapshot): Awaitable<VectorResetResult<O>>;

  /** Closes all environments. Closing them again does nothing. */
  close?(): Awaitable<void>;
}
