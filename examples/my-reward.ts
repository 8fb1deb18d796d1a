// Fine-tunes the embedded model for a reward of your own: npx tsx my-reward.ts
import type { RewardBatch } from 'denoise-gym/rewards';
import { parseConfig, runTraining } from 'denoise-gym/training';

/** How red a picture is: its mean red less the mean of green and blue, −255..255. */
function redness({ images, prompts }: RewardBatch): number[] {
  const size = images.data.length / prompts.length;
  const red = (pixels: ArrayLike<number>) =>
    Array.from(pixels).reduce((sum, value, k) => sum + (k % 3 === 0 ? value : -value / 2), 0) / (size / 3);
  return prompts.map((_, i) => red(images.data.subarray(i * size, (i + 1) * size)));
}

const config = parseConfig({ name: 'redness', epochs: Number(process.argv[2] ?? 10), agent: { learningRate: 2e-4 } });
const { report } = await runTraining(config, {
  reward: redness,
  onEvent: (event) => console.log(event.type, event.epoch),
});
console.log(`open ${report}`);
