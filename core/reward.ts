import type { NdArray } from './ndarray.js';
import type { Awaitable } from './types.js';

/** A batch of finished samples, as it is handed to `scoreImages`. */
export interface ScoreBatch {
  /** uint8, NHWC, 0..255; must not be written. */
  readonly images: NdArray;
  /** One prompt an image. */
  readonly prompts: string[];
  /** What the prompts' source said beside each prompt, if anything. */
  readonly metadata?: unknown[];
  /** Ends the wait for the scores when it is aborted. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A batch of finished samples, as a reward receives it. `scoreImages` adds the signal where its caller has none, so that
 * a reward may always hand it on: `fetch(url, { signal })`.
 */
export interface RewardBatch extends ScoreBatch {
  /** Aborted when the run stops, or when the reward has taken too long: a slow reward should give up then. */
  readonly signal: AbortSignal;
}

/**
 * One finite number an image, and optionally named terms (one number an image each) to log, and named notes (one text an
 * image each, such as what a judge said of it) to show beside the pictures.
 */
export type RewardResult =
  | ArrayLike<number>
  | {
      scores: ArrayLike<number>;
      details?: Record<string, ArrayLike<number>>;
      notes?: Record<string, readonly string[]>;
    };

/** What a finished sample is worth: r(x_0, z). */
export interface Reward {
  readonly name: string;
  score(batch: RewardBatch): Awaitable<RewardResult>;
  /** Of a reward that is computed from others: its score from theirs, which are among the details of `score` by these names. */
  combine?(terms: Readonly<Record<string, number>>): number;
  /** Frees what it holds, such as the tensors of a network; it is not asked afterwards. */
  dispose?(): void;
}

/** A reward, or just its function: a plain function is named after its file. */
export type RewardLike = Reward | Reward['score'];
