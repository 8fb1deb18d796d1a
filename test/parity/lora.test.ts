import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NdArray } from '../../core/ndarray.js';
import { readSafetensors } from '../../core/safetensors.js';
import { Lora, UNet2DConditionModel } from '../../diffusion/index.js';
import { fixturePath, fromNhwc, startBackend, toNhwc } from './fixtures.js';

// Outputs of diffusers' UNet with a LoRA loaded, and that LoRA in every format in use: lora/ has an alpha (scale 2),
// lora_plain/ has none, or one that equals the rank.
let tolerance = 1e-5;
let temporary: string;
beforeAll(async () => {
  if ((await startBackend()) === 'wasm') tolerance = 1e-4;
  temporary = await mkdtemp(join(tmpdir(), 'lora-'));
});
afterAll(() => rm(temporary, { recursive: true }));

const formats = ['pytorch_lora_weights.safetensors', 'peft', 'kohya.safetensors', 'unet_adapter.safetensors'];

describe.each([
  { folder: 'lora', files: formats },
  { folder: 'lora_plain', files: [...formats, 'attn_procs.safetensors'] },
])('$folder', ({ folder, files }) => {
  let unet: UNet2DConditionModel;
  let io: Map<string, NdArray>;
  let bare: Float32Array;
  beforeAll(async () => {
    unet = await UNet2DConditionModel.load(fixturePath('models', 'unet_condition'));
    io = await readSafetensors(fixturePath('models', folder, 'io.safetensors'));
    bare = await output(unet);
  });
  afterAll(() => unet.dispose());

  async function output(model: UNet2DConditionModel): Promise<Float32Array> {
    const text = io.get('encoder_hidden_states')!;
    const stored = io.get('sample')!;
    const sample = toNhwc({ data: [...stored.data], shape: [...stored.shape] });
    const timesteps = tf.tensor1d(Int32Array.from(io.get('timestep')!.data), 'int32');
    const prompts = tf.tensor3d(text.data as Float32Array, text.shape as [number, number, number]);
    return fromNhwc(model.apply(sample, timesteps, prompts));
  }
  const distance = (a: ArrayLike<number>, b: ArrayLike<number>) =>
    Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

  it.each(files)('%s gives the output of diffusers, as an adapter, merged, and written again', async (name) => {
    const expected = io.get('output')!.data;
    expect(distance(bare, expected)).toBeGreaterThan(1e-2);
    const lora = await Lora.load(unet, fixturePath('models', folder, name));
    expect(distance(await output(unet), expected)).toBeLessThan(tolerance);

    const merged = unet.clone();
    lora.mergeInto(merged);
    expect(distance(await output(merged), expected)).toBeLessThan(tolerance);
    merged.dispose();

    for (const baked of [false, true]) await lora.save(join(temporary, `${baked}.safetensors`), { baked });
    lora.dispose();
    expect(distance(await output(unet), bare)).toBe(0);
    for (const baked of [false, true]) {
      const again = await Lora.load(unet, join(temporary, `${baked}.safetensors`));
      expect(distance(await output(unet), expected)).toBeLessThan(tolerance);
      again.dispose();
    }
  });
});
