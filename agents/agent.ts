import type { NdArray } from '../core/ndarray.js';
import type { Random } from '../core/random.js';
import type { Awaitable, Info, Metrics } from '../core/types.js';

/** What learning will need of a decision, one entry an environment: log-probabilities, values, means. */
export type Extras = Record<string, Float32Array | readonly NdArray[]>;

export interface Decision<A> {
  actions: A[];
  extras?: Extras;
}

/** One vector step of a rollout; every list has one entry an environment. */
export interface RolloutStep<O, A> {
  readonly observations: readonly O[];
  readonly actions: readonly A[];
  readonly rewards: Float64Array;
  readonly terminated: Uint8Array;
  readonly truncated: Uint8Array;
  /** 1 where the observation is an episode's first. */
  readonly starts: Uint8Array;
  /** 0 for a step that is not a transition (an autoreset's dummy step, an idle member). */
  readonly valid: Uint8Array;
  readonly infos: readonly Info[];
  /** The observation after the step, where an episode ended with it. */
  readonly finalObservations: readonly (O | undefined)[];
  readonly extras: Extras;
}

/** Experience in the order it was made, all of it sampled with one set of weights. */
export interface Rollout<O, A> {
  readonly steps: readonly RolloutStep<O, A>[];
  /** The observations at the cut, for bootstrapping. */
  readonly lastObservations: readonly O[];
}

export interface ActOptions {
  /** false: the policy's mode (for a denoising policy η = 0). Default true. */
  explore?: boolean | undefined;
  infos?: readonly Info[] | undefined;
  /** 1 where an episode starts. */
  starts?: Uint8Array | undefined;
  /** The stream to draw from, instead of the agent's own (evaluation hands in its own). */
  random?: Random | undefined;
}

/** What `learn` is told beside the rollout. */
export interface LearnOptions {
  /**
   * Aborted when the run is stopped: `learn` throws its reason after the present piece of work. The agent is then of no
   * more use, and the run goes on from its last checkpoint.
   */
  signal?: AbortSignal | undefined;
}

/**
 * A decision rule that may learn.
 * `act` changes nothing but the random stream and memory within an episode; statistics change in `learn`.
 */
export interface Agent<O, A> {
  /** How much makes a rollout: vector steps, or episodes over all environments; 'nothing' for a rule, and then none is stored. */
  readonly collect: { steps: number } | { episodes: number } | 'nothing';
  act(observations: readonly O[], options?: ActOptions): Awaitable<Decision<A>>;
  /** Learns from a rollout (or from what the agent holds) and says what happened; {} for a fixed rule. */
  learn(rollout?: Rollout<O, A>, options?: LearnOptions): Awaitable<Metrics>;
  /** false: call `learn()` again, without a rollout. */
  needsRollout?(): boolean;
  /** How many batches of lockstep environments may be decided at the same time, in any order. Default 1. */
  readonly lanes?: number;
  /** Told before every `learn` how far the run is, from 0 to 1, for schedules. */
  setProgress?(progress: number): void;
  /**
   * Writes weights, optimiser, statistics, buffers and random state into a folder, all as the last `learn` left them. A
   * rollout that failed or was stopped half-way has drawn random numbers since then; it is made anew after a restore, with
   * the same numbers. Numbers in safetensors files must be finite: a run whose agent saves others has diverged, and ends.
   */
  save(folder: string): Promise<void>;
  restore(folder: string): Promise<void>;
  dispose(): void;
}
