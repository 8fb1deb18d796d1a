import type { NdArray } from '../core/ndarray.js';
import type { Snapshot } from '../core/snapshot.js';
import type { Awaitable, Info } from '../core/types.js';
import type { Space } from './spaces/space.js';

export type { Snapshot };

/** What the registry knows of an environment that it made. */
export interface EnvSpec {
  /** The name by which `make` finds it, such as `CartPole-v1`. */
  readonly id: string;
  /** What the task is, in one line, for listings. */
  readonly description: string;
  /** The environment counts as solved when the mean return of an agent's episodes reaches this value. */
  readonly rewardThreshold?: number | undefined;
  /** The number of steps after which `make` cuts an episode (`truncated`). */
  readonly maxEpisodeSteps?: number | undefined;
  /** The options that `make` was given. */
  readonly options?: Readonly<Record<string, unknown>> | undefined;
}

/** What {@link Env.reset} may be given. */
export interface ResetOptions {
  /**
   * Seeds everything that is random in the environment. Without a seed, the environment goes on with the random numbers
   * that follow those it drew last. Usually an environment is seeded once, at its first reset.
   */
  seed?: number | undefined;
  /** Settings of this one episode, which each environment documents for itself. */
  options?: Record<string, unknown> | undefined;
}

/** The beginning of an episode. */
export interface ResetResult<O> {
  /** The first observation, an element of the observation space. */
  observation: O;
  /** Further facts, for people and diagnostics. An agent must not need them to act. */
  info: Info;
}

/** What followed from an action. */
export interface StepResult<O> {
  /** The observation after the step, an element of the observation space. */
  observation: O;
  /** The reward of this step. */
  reward: number;
  /** Whether the task itself has ended, by success or by failure. What would follow is then worth 0. */
  terminated: boolean;
  /**
   * Whether a limit around the task, such as a number of steps, has cut the episode. What would have followed is then
   * not worth 0, and an agent estimates it from the last observation.
   */
  truncated: boolean;
  /** Further facts, for people and diagnostics. An agent must not need them to act. */
  info: Info;
}

/**
 * One environment: a task that an agent observes, acts on, and is rewarded for.
 *
 * The rules are those of Gymnasium. An episode begins with `reset` and ends with the first step whose `terminated` or
 * `truncated` is true; after that `reset` must be called before the next step. Every call returns objects of its own:
 * what was returned before does not change.
 *
 * Each method may return its result or a promise of it. A loop can tell the two apart (`isPromiseLike`), and so need
 * not wait for promises around an environment that computes at once.
 *
 * `O` is the type of an observation, `A` that of an action.
 */
export interface Env<O, A> {
  /** The set of all observations. */
  readonly observationSpace: Space<O>;
  /** The set of all actions. */
  readonly actionSpace: Space<A>;
  /** Set by `make`; an environment that was made by hand has none. */
  readonly spec?: EnvSpec | undefined;

  /** Begins a new episode, whether or not the last one has ended. */
  reset(options?: ResetOptions): Awaitable<ResetResult<O>>;

  /** Takes one action and tells what followed. */
  step(action: A): Awaitable<StepResult<O>>;

  /** The present state for people to look at: a picture, uint8 [height, width, 3], or text. */
  render?(): Awaitable<NdArray | string>;

  /**
   * Everything on which the rest of the episode and all later ones depend: the state, the random numbers, what wrappers
   * remember. It is plain JSON and arrays, so that it can be saved to a file.
   */
  snapshot?(): Awaitable<Snapshot>;

  /**
   * Goes on from a snapshot, in this environment or in another one that was made alike. From then on the same actions
   * are followed by the same results as after the snapshot was taken.
   * @returns the observation at which the snapshot was taken.
   */
  restore?(snapshot: Snapshot): Awaitable<ResetResult<O>>;

  /** Frees what the environment holds. It is not used after that; closing it again does nothing. */
  close?(): Awaitable<void>;
}
