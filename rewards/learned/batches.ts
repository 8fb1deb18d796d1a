import { setImmediate as turn } from 'node:timers/promises';
import { stack, unstack } from '../../core/ndarray.js';
import type { RewardBatch } from '../../core/reward.js';

/**
 * Scores a batch in parts of a size that memory allows. Between two of them the event loop has its turn, so that an abort is
 * seen.
 * @param score gives one number for each picture of a part
 */
export async function inParts(
  { images, prompts, signal }: RewardBatch,
  size: number,
  score: (part: Pick<RewardBatch, 'images' | 'prompts'>) => Promise<ArrayLike<number>>,
): Promise<Float64Array> {
  const scores = new Float64Array(prompts.length);
  const rows = unstack(images);
  for (let start = 0; start < prompts.length; start += size) {
    await turn();
    signal.throwIfAborted();
    const part = { images: stack(rows.slice(start, start + size)), prompts: prompts.slice(start, start + size) };
    scores.set(Array.from(await score(part)), start);
  }
  return scores;
}
