import * as tf from '@tensorflow/tfjs';
import { expect, it } from 'vitest';
import type { NdArray } from '../../core/ndarray.js';
import { readSafetensors } from '../../core/safetensors.js';
import { AutoencoderKL } from '../../diffusion/index.js';
import { type FixtureArray, fixturePath, fromNhwc, startBackend, toNhwc } from './fixtures.js';

const tolerance = (await startBackend()) === 'wasm' ? 1e-4 : 1e-5;
const folder = fixturePath('models', 'vae');

const image = (array: NdArray | undefined) => toNhwc(array as unknown as FixtureArray);

async function difference(actual: tf.Tensor4D, expected: NdArray | undefined): Promise<number> {
  const { shape } = actual;
  expect([shape[0], shape[3], shape[1], shape[2]]).toEqual(expected!.shape);
  const data = await fromNhwc(actual);
  return data.reduce((worst, x, i) => Math.max(worst, Math.abs(x - expected!.data[i]!)), 0);
}

it("encodes and decodes as diffusers' AutoencoderKL", async () => {
  const io = await readSafetensors(`${folder}/io.safetensors`);
  const vae = await AutoencoderKL.load(folder);
  const before = tf.memory().numTensors;
  const pictures = image(io.get('image'));
  const { mean, logvar } = vae.encode(pictures);
  expect(await difference(mean, io.get('mean'))).toBeLessThan(tolerance);
  expect(await difference(logvar, io.get('logvar'))).toBeLessThan(tolerance);
  const latents = image(io.get('latents'));
  // The fixture has what is decoded of latents / scaling_factor.
  const unscaled = vae.unscale(latents);
  expect(await difference(vae.decode(unscaled), io.get('decoded'))).toBeLessThan(tolerance);
  tf.dispose([pictures, latents, unscaled]);
  expect(tf.memory().numTensors).toBe(before);
  vae.dispose();
});
