import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { beforeAll, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { stack } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import { scoreImages } from '../../core/score.js';
import { disposeDenoiser, loadDenoiser } from '../../diffusion/index.js';
import { type Kind, makeReward, shapesPrompts } from '../../rewards/index.js';
import { sampleImages } from '../../training/index.js';

beforeAll(async () => {
  await useBackend();
});

async function bytes(folder: string): Promise<number> {
  let total = 0;
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    total += entry.isDirectory() ? await bytes(path) : (await stat(path)).size;
  }
  return total;
}

it('is small: at most 1.2 million parameters in the network, 6 MB in all', async () => {
  const denoiser = await loadDenoiser('models/shapes');
  const parameters = [...denoiser.unet.parameters.values()].reduce((sum, { size }) => sum + size, 0);
  expect(parameters).toBeLessThanOrEqual(1.2e6);
  expect(await bytes('models/shapes')).toBeLessThanOrEqual(6e6);
  disposeDenoiser(denoiser);
});

// `npm run bench -- model` measures on 512 prompts a kind; of 64, three standard errors are up to .19
it.each<[Kind, number]>([
  ['color', 0.9],
  ['location', 0.8],
  ['count', 0.6],
  ['composition', 0.5],
])('follows its prompts at 20 DDIM steps with guidance 3: %s in at least %d', async (kind, bar) => {
  const random = new Random(11).child(kind);
  const captions = shapesPrompts(kind);
  const prompts = Array.from({ length: 64 }, () => random.choice(captions));
  const before = tf.memory().numTensors;
  const { images } = await sampleImages({
    model: 'models/shapes',
    prompts,
    sampling: { steps: 20, guidanceScale: 3 },
    seed: 5,
    batch: 64,
  });
  expect(tf.memory().numTensors).toBe(before);
  const { scores } = await scoreImages(await makeReward(`shapes-${kind}`), { images: stack(images), prompts });
  expect(scores.reduce((a, b) => a + b) / 64).toBeGreaterThanOrEqual(bar);
});
