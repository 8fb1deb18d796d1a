import type { NdArray } from '../core/ndarray.js';
import type { Snapshot } from '../core/snapshot.js';
import type { Awaitable, Info } from '../core/types.js';
import type { Space } from './spaces/space.js';

export type { Snapshot };

/** What the registry knows of an environment. */
export interface EnvSpec {
  readonly id: string;
  /** One line for `list`. */
  readonly description: string;
  /** A run solves the environment at this mean return. */
  readonly rewardThreshold?: number | undefined;
  /** `make` adds a time limit of so many steps. */
  readonly maxEpisodeSteps?: number | undefined;
  /** The options that `make` was given. */
  readonly options?: Readonly<Record<string, unknown>> | undefined;
}

export interface ResetOptions {
  /** Seeds everything random in the environment; without it the stream goes on. */
  seed?: number | undefined;
  options?: Record<string, unknown> | undefined;
}

export interface ResetResult<O> {
  observation: O;
  info: Info;
}

export interface StepResult<O> {
  observation: O;
  reward: number;
  /** The task ended: its value after this step is 0. */
  terminated: boolean;
  /** A limit put around the task cut it: its value after this step is still to be estimated. */
  truncated: boolean;
  info: Info;
}

/**
 * One environment. Semantics are Gymnasium's: seeding, termination against truncation, fresh objects at each call.
 * A synchronous environment returns plain values, and the loop around it then pays for no promise.
 */
export interface Env<O, A> {
  readonly observationSpace: Space<O>;
  readonly actionSpace: Space<A>;
  readonly spec?: EnvSpec | undefined;
  reset(options?: ResetOptions): Awaitable<ResetResult<O>>;
  step(action: A): Awaitable<StepResult<O>>;
  render?(): Awaitable<NdArray | string>;
  snapshot?(): Awaitable<Snapshot>;
  restore?(snapshot: Snapshot): Awaitable<ResetResult<O>>;
  close?(): Awaitable<void>;
}
