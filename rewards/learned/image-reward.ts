import type { Reward, RewardBatch } from '../../core/reward.js';
import { useBackend } from '../../networks/backend.js';
import { clipMean, clipStd, processImages } from '../../networks/image-processor.js';
import { TextTokenizer } from '../../networks/text-tokenizer.js';
import { inParts } from './batches.js';
import { ImageRewardModel } from './image-reward-model.js';
import { type ImageRewardOptions, imageRewardOptions } from './options.js';

/** Longer prompts lose their end, as in ImageReward's code. */
const longestPrompt = 35;

/**
 * ImageReward (Xu et al. 2023), as in DPOK: what people would prefer, about −2 to 2, by a BLIP that reads the prompt while it
 * sees the picture.
 * @param name what errors and logs call it
 * @param options `model`: a folder as {@link ImageRewardModel.load} reads it, with the tokenizer of bert-base-uncased
 *   (`vocab.txt` or `tokenizer.json`)
 * @throws GymError E_FILE, E_CONFIG or E_NAME where the folder has no such model
 */
export async function imageReward(name: string, options: ImageRewardOptions): Promise<Reward> {
  const { model: folder, batchSize } = imageRewardOptions.parse(options);
  await useBackend();
  const tokenizer = await TextTokenizer.load(folder, longestPrompt);
  const model = await ImageRewardModel.load(folder);
  const { image_size: size } = model.blip.vision;
  const longest = Math.min(tokenizer.maxLength, model.blip.text.max_position_embeddings);
  return {
    name,
    score: (batch: RewardBatch) =>
      inParts(batch, batchSize, async ({ images, prompts }) => {
        const pixels = processImages(images, { size, fit: 'crop', mean: clipMean, std: clipStd });
        const ids = prompts.map((prompt) => tokenizer.encode(prompt, longest));
        const rewards = await model.rewards(pixels, ids);
        pixels.dispose();
        return rewards;
      }),
    dispose: () => model.dispose(),
  };
}
