import type { VisionNet } from './nsfw/vision-net.js';
import type { BertScorer, BertScorerOptions } from './text/bert-score.js';

// What needs TensorFlow.js is imported only by those who use it.

/**
 * Loads an encoder for BERTScore: {@link BertScorer.load}.
 * @param folder in Hugging Face's layout
 * @throws GymError as {@link BertScorer.load}
 */
export async function loadBertScorer(folder: string, options?: BertScorerOptions): Promise<BertScorer> {
  return await (await import('./text/bert-score.js')).BertScorer.load(folder, options);
}

/**
 * Loads a vision network that was trained on photographs and drawings, out of the npm package nsfwjs: {@link VisionNet}.
 * @throws GymError E_FILE where nsfwjs is not installed
 */
export async function loadVisionNet(): Promise<VisionNet> {
  return await (await import('./nsfw/vision-net.js')).VisionNet.load();
}
