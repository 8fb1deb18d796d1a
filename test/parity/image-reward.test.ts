import * as tf from '@tensorflow/tfjs';
import { expect, it } from 'vitest';
import { readSafetensors } from '../../core/safetensors.js';
import { ImageRewardModel } from '../../rewards/learned/image-reward-model.js';
import { fixturePath, largestError, startBackend, toNhwc } from './fixtures.js';

await startBackend();
const io = await readSafetensors(fixturePath('rewards', 'image_reward', 'io.safetensors'));

it("sees, reads and judges as transformers' BLIP with ImageReward's head", async () => {
  const before = tf.memory().numTensors;
  const model = await ImageRewardModel.load(fixturePath('rewards', 'image_reward'));
  const { data, shape } = io.get('pixel_values')!;
  const images = toNhwc({ data: data as unknown as number[], shape: [...shape] });
  const seen = model.blip.see(images);
  expect(largestError(await seen.data(), io.get('image_embeds')!.data)).toBeLessThan(1e-4);

  const [count, longest] = io.get('input_ids')!.shape as [number, number];
  const [ids, mask] = [io.get('input_ids')!.data, io.get('attention_mask')!.data];
  // Padding stands at the end.
  const texts = Array.from({ length: count }, (_, i) =>
    Array.from({ length: longest }, (_, k) => i * longest + k).flatMap((at) =>
      Number(mask[at]) ? [Number(ids[at])] : [],
    ),
  );
  const width = model.blip.text.hidden_size;
  for (const [i, text] of texts.entries()) {
    const hidden = tf.tidy(() =>
      model.blip.read(tf.tensor2d([text], undefined, 'int32'), tf.slice(seen, [i, 0, 0], [1, -1, -1])),
    );
    const start = i * longest * width;
    const expected = io.get('text_hidden')!.data.slice(start, start + text.length * width);
    expect(largestError(await hidden.data(), expected)).toBeLessThan(1e-4);
    hidden.dispose();
  }
  expect(largestError(await model.rewards(images, texts), io.get('reward')!.data)).toBeLessThan(1e-4);
  tf.dispose([images, seen]);
  model.dispose();
  expect(tf.memory().numTensors).toBe(before);
});
