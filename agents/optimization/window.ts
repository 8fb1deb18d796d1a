import * as z from 'zod';
import type { StepWindow } from '../policy.js';

const count = z.int().min(1);

/** Options of a window of steps that moves along the chain. */
export const slidingWindow = z.strictObject({
  size: count.describe('how many steps are sampled with noise and trained'),
  stride: count.describe('by how many steps it moves on'),
  every: count.describe('after how many rollouts it moves'),
});

export type SlidingWindow = z.output<typeof slidingWindow>;

/**
 * Where the window of MixGRPO (arXiv 2507.21802 §3.2) stands after some rollouts: it starts at the first step, which is the
 * noisiest, moves on by `stride` every `every` rollouts, and begins again when the chain ends.
 * @param length the steps of the chain. A window that is longer is the whole chain.
 */
export function windowAt({ size, stride, every }: SlidingWindow, rollouts: number, length: number): StepWindow {
  const positions = Math.max(1, Math.ceil((length - size) / stride) + 1);
  const first = (Math.floor(rollouts / every) % positions) * stride;
  return { first: Math.max(0, Math.min(first, length - size)), size };
}
