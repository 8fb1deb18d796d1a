import * as tf from '@tensorflow/tfjs';
import { beforeAll, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { readJson } from '../../core/files.js';
import { AutoencoderKL, latentDecoder } from '../../diffusion/index.js';

// Made by diffusers 0.42.1 of test/fixtures/models/vae, after enable_tiling(), tile_sample_min_size = 8 and
// tile_latent_min_size = 4, of sin(0.7 · index) in PyTorch's order: images [1, 3, 18, 14]; latents, twice that, [1, 4, 10, 7].
// Whole, these pictures are up to 0.98 away from those in tiles.
let golden: { decoded: number[]; mean: number[]; logvar: number[] };
let vae: AutoencoderKL;
beforeAll(async () => {
  await useBackend();
  golden = (await readJson('test/fixtures/vae_tiles.json')) as typeof golden;
  vae = await AutoencoderKL.load('test/fixtures/models/vae');
});

/** [1, height, width, channels] of numbers in PyTorch's order. */
const wave = (channels: number, height: number, width: number, scale: number) =>
  tf.tidy(() => {
    const values = Array.from({ length: channels * height * width }, (_, i) => scale * Math.sin(0.7 * i));
    return tf.transpose(tf.tensor4d(values, [1, channels, height, width]), [0, 2, 3, 1]);
  });

/** The largest difference from numbers in PyTorch's order. */
async function difference(actual: tf.Tensor4D, expected: readonly number[]): Promise<number> {
  const turned = tf.tidy(() => tf.transpose(actual, [0, 3, 1, 2]));
  const data = await turned.data();
  expect(data.length).toBe(expected.length);
  turned.dispose();
  return expected.reduce((worst, value, i) => Math.max(worst, Math.abs(value - data[i]!)), 0);
}

it("decodes and encodes in tiles as diffusers' AutoencoderKL", async () => {
  const [latents, images] = [wave(4, 10, 7, 2), wave(3, 18, 14, 1)];
  const before = tf.memory().numTensors;
  const decoded = vae.decode(latents, { tile: 8 });
  expect(await difference(decoded, golden.decoded)).toBeLessThan(2e-5);
  const { mean, logvar } = vae.encode(images, { tile: 8 });
  expect(await difference(mean, golden.mean)).toBeLessThan(2e-5);
  expect(await difference(logvar, golden.logvar)).toBeLessThan(2e-5);
  tf.dispose([decoded, mean, logvar]);
  expect(tf.memory().numTensors).toBe(before);
  tf.dispose([latents, images]);
});

it('leaves what fits into one tile as it is', async () => {
  const latents = wave(4, 4, 3, 1);
  const [whole, tiled] = [vae.decode(latents), vae.decode(latents, { tile: 8 })];
  expect(await tiled.data()).toEqual(await whole.data());
  tf.dispose([latents, whole, tiled]);
});

it('is what turns latents into pictures, where that is asked for', async () => {
  const data = new Float32Array(2 * 10 * 7 * 4).map((_, i) => Math.sin(i));
  const latents = { data, shape: [2, 10, 7, 4] };
  const [whole, tiled] = [await latentDecoder(vae)(latents), await latentDecoder(vae, { tile: 8 })(latents)];
  expect(tiled.shape).toEqual([2, 20, 14, 3]);
  expect(tiled.data).not.toEqual(whole.data);
  const second = { data: data.slice(10 * 7 * 4), shape: [1, 10, 7, 4] };
  expect((await latentDecoder(vae, { tile: 8 })(second)).data).toEqual(tiled.data.slice(20 * 14 * 3));
});

it('refuses tiles whose overlaps are no whole latents', () => {
  const message = /AutoencoderKL\.decode: tile must be a multiple of 8 pixels.*actual value 12/;
  expect(() => vae.decode(tf.zeros([1, 9, 9, 4]), { tile: 12 })).toThrow(message);
  expect(() => latentDecoder(vae, { tile: 0 })).toThrow(/multiple of 8 pixels.*actual value 0/);
});
