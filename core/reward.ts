import type { NdArray } from './ndarray.js';
import type { Awaitable } from './types.js';

/** A batch of finished samples to score. */
export interface RewardBatch {
  /** uint8, NHWC, 0..255; must not be written. */
  readonly images: NdArray;
  /** One prompt an image. */
  readonly prompts: string[];
  /** What the prompts' source said beside each prompt, if anything. */
  readonly metadata?: unknown[];
  /** Aborted when the run stops: a slow reward should give up then. */
  readonly signal?: AbortSignal;
}

/** One finite number an image, and optionally named terms (one number an image each) to log. */
export type RewardResult =
  | ArrayLike<number>
  | { scores: ArrayLike<number>; details?: Record<string, ArrayLike<number>> };

/** What a finished sample is worth: r(x_0, z). */
export interface Reward {
  readonly name: string;
  score(batch: RewardBatch): Awaitable<RewardResult>;
}

/** A reward, or just its function: a plain function is named after its file. */
export type RewardLike = Reward | Reward['score'];
