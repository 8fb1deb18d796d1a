import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DenoisingPolicy } from '../../agents/policies/denoising.js';
import { type NdArray, ndarray } from '../../core/ndarray.js';
import { readSafetensors } from '../../core/safetensors.js';
import {
  DDIMScheduler,
  type Denoiser,
  disposeDenoiser,
  encodePrompts,
  latentDecoder,
  loadDenoiser,
  UNet2DConditionModel,
} from '../../diffusion/index.js';
import { type FixtureArray, fixturePath, fromNhwc, readFixture, startBackend, toNhwc } from './fixtures.js';

// A whole folder of Stable Diffusion's form, sampled by diffusers: guided DDIM with η = 1 and given noises, then decoded.

const folder = fixturePath('models', 'pipeline_sd');
let io: ReadonlyMap<string, NdArray>;
let denoiser: Denoiser;
const warnings: string[] = [];
let temporary: string;

interface Case {
  prompts: string[];
  guidance_scale: number;
  steps: number;
  eta: number;
}
const {
  prompts,
  guidance_scale: guidanceScale,
  steps,
  eta,
} = await readFixture<Case>('models', 'pipeline_sd', 'case.json');

beforeAll(async () => {
  await startBackend();
  io = await readSafetensors(join(folder, 'io.safetensors'));
  denoiser = await loadDenoiser(folder, { warn: (message) => warnings.push(message) });
  temporary = await mkdtemp(join(tmpdir(), 'pipeline-'));
});
afterAll(async () => {
  disposeDenoiser(denoiser);
  await rm(temporary, { recursive: true });
});

/** One entry of a stacked array [n, ...], or all of an array. */
const part = (array: NdArray, i: number): FixtureArray => {
  const shape = array.shape.slice(1);
  const size = shape.reduce((a, b) => a * b, 1);
  return { shape, data: Array.from(array.data.subarray(i * size, (i + 1) * size) as Float32Array) };
};
const image = (array: FixtureArray) => toNhwc(array);

function largest(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  return Array.from(actual, (x, i) => Math.abs(x - expected[i]!)).reduce((worst, d) => (d <= worst ? worst : d), 0);
}

it('reads the configuration of the other solver as that of DDIM, and says so', () => {
  expect(denoiser.scheduler).toBeInstanceOf(DDIMScheduler);
  expect(warnings.join()).toMatch(/PNDMScheduler is read as DDIM's/);
});

it('encodes the prompts', async () => {
  for (const [name, texts] of [
    ['embeddings', prompts],
    ['unconditional', prompts.map(() => '')],
  ] as const) {
    const encoded = encodePrompts(denoiser, texts);
    expect(largest(await encoded.data(), io.get(name)!.data)).toBeLessThan(1e-4);
    encoded.dispose();
  }
});

it('goes the whole chain, and decodes the same pictures', async () => {
  const sampler = denoiser.scheduler;
  sampler.setTimesteps(steps);
  expect([...sampler.timesteps]).toEqual(Array.from(io.get('timesteps')!.data));
  const noises = await Promise.all(
    Array.from({ length: steps }, async (_, i) => (await image(part(io.get('noises')!, i)).data()) as Float32Array),
  );
  const rows = prompts.length;
  const policy = new DenoisingPolicy(
    { unet: denoiser.unet, sampler, embed: (texts) => encodePrompts(denoiser, texts) },
    {
      ...{ eta, guidanceScale },
      noise: ({ step, noiseSeed }, size) => noises[step]!.subarray(noiseSeed * size, (noiseSeed + 1) * size),
    },
  );
  const chain = io.get('chain')!;
  const scale = Array.from(chain.data).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const first = image(part(chain, 0));
  const shape = first.shape.slice(1);
  let latents = tf.unstack(first).map((row) => ndarray(row.dataSync() as Float32Array, shape));
  for (const [step, timestep] of sampler.timesteps.entries()) {
    const observations = latents.map((x, i) => ({ latents: x, timestep, step, prompt: prompts[i]!, noiseSeed: i }));
    latents = (await policy.sample(observations, { explore: true })).actions as typeof latents;
    const expected = (await image(part(chain, step + 1)).data()) as Float32Array;
    const actual = latents.flatMap(({ data }) => Array.from(data));
    expect(largest(actual, expected) / scale, `step ${step}`).toBeLessThan(1e-4);
  }
  const data = Float32Array.from(latents.flatMap((row) => Array.from(row.data)));
  const pictures = await latentDecoder(denoiser.vae!)({ data, shape: [rows, ...shape] });
  const expected = io.get('image_uint8')!;
  expect(pictures.shape).toEqual(expected.shape);
  expect(largest(pictures.data, expected.data)).toBeLessThanOrEqual(1);
});

it('reads shards as the one file that they were', async () => {
  const sharded = await UNet2DConditionModel.load(join(folder, 'unet_sharded'));
  for (const [name, variable] of denoiser.unet.parameters)
    expect(await sharded.parameters.get(name)!.data(), name).toEqual(await variable.data());
  sharded.dispose();
});

it('reads the variant in half precision', async () => {
  const half = await UNet2DConditionModel.load(join(folder, 'unet_fp16'));
  const chain = part(io.get('chain')!, 0);
  const sample = image(chain);
  const embeddings = io.get('embeddings')!;
  const text = tf.tensor3d(embeddings.data as Float32Array, embeddings.shape as [number, number, number]);
  const output = half.apply(sample, io.get('timesteps')!.data[0]!, text);
  expect(largest(await fromNhwc(output), io.get('unet_fp16_output')!.data)).toBeLessThan(1e-3);
  half.dispose();
});

it('finds shards and half precision in the folder of a whole model', async () => {
  for (const other of ['unet_sharded', 'unet_fp16']) {
    const copy = join(temporary, other);
    await cp(folder, copy, { recursive: true });
    await rm(join(copy, 'unet'), { recursive: true });
    await cp(join(folder, other), join(copy, 'unet'), { recursive: true });
    const loaded = await loadDenoiser(copy);
    expect(loaded.unet.parameters.size).toBe(denoiser.unet.parameters.size);
    disposeDenoiser(loaded);
  }
});
