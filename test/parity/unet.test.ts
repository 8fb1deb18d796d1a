import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { useBackend } from '../../backend/index.js';
import type { NdArray } from '../../core/ndarray.js';
import { readSafetensors } from '../../core/safetensors.js';
import { fromTorch, toTorch, UNet2DConditionModel, UNet2DModel } from '../../diffusion/index.js';

// Inputs, outputs and gradients of the public Python package diffusers, for random networks of a few channels.
const fixtures = join(process.env.DENOISE_GYM_FIXTURES ?? 'test/fixtures', 'models');

let outputTolerance = 1e-5;
let gradientTolerance = 1e-4;
beforeAll(async () => {
  const backend = await useBackend();
  console.log(`parity of UNets on backend ${backend.name}`);
  if (backend.name === 'wasm') [outputTolerance, gradientTolerance] = [1e-4, 1e-3];
});

/** Images are stored [batch, channels, height, width]. */
function image(array: NdArray | undefined): tf.Tensor4D {
  const stored = tf.tensor4d(array!.data as Float32Array, array!.shape as [number, number, number, number]);
  return tf.tidy(() => stored.transpose([0, 2, 3, 1]));
}

function largestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  let largest = 0;
  for (let i = 0; i < actual.length; i++) largest = Math.max(largest, Math.abs(actual[i]! - expected[i]!));
  return largest;
}

interface Case {
  model: UNet2DConditionModel | UNet2DModel;
  sample: tf.Tensor4D;
  timesteps: tf.Tensor1D;
  text: tf.Tensor3D | undefined;
  io: Map<string, NdArray>;
}

async function load(name: string, kind: typeof UNet2DConditionModel | typeof UNet2DModel): Promise<Case> {
  const folder = join(fixtures, name);
  const io = await readSafetensors(join(folder, 'io.safetensors'));
  const text = io.get('encoder_hidden_states');
  return {
    model: await kind.load(folder),
    sample: image(io.get('sample')),
    timesteps: tf.tensor1d(Int32Array.from(io.get('timestep')!.data), 'int32'),
    text: text && tf.tensor3d(text.data as Float32Array, text.shape as [number, number, number]),
    io,
  };
}

describe.each([
  { name: 'unet_condition', kind: UNet2DConditionModel },
  { name: 'unet_condition_sd2', kind: UNet2DConditionModel },
  { name: 'unet_unconditional', kind: UNet2DModel },
])('$name', ({ name, kind }) => {
  let it: Case;
  beforeAll(async () => {
    it = await load(name, kind);
  });
  afterAll(() => it.model.dispose());

  test('gives the output of diffusers', async () => {
    const expected = image(it.io.get('output'));
    const output = it.model.apply(it.sample, it.timesteps, it.text);
    expect(output.shape).toEqual(expected.shape);
    expect(largestDifference(await output.data(), await expected.data())).toBeLessThan(outputTolerance);
  });

  test('gives the same when each sample has its timestep as a plain number', async () => {
    const expected = await image(it.io.get('output')).data();
    const rows = it.sample.shape[0];
    const times = await it.timesteps.data();
    for (let i = 0; i < rows; i++) {
      const output = it.model.apply(
        it.sample.slice([i], [1]),
        times[i]!,
        it.text?.slice([i], [1]) as tf.Tensor3D | undefined,
      );
      const row = expected.subarray((i * expected.length) / rows, ((i + 1) * expected.length) / rows);
      expect(largestDifference(await output.data(), row)).toBeLessThan(outputTolerance);
    }
  });

  test('keeps its parameters through a save', async () => {
    const path = join(fixtures, name, 'diffusion_pytorch_model.safetensors');
    for (const [key, value] of await readSafetensors(path)) {
      const variable = it.model.parameters.get(key);
      expect(variable, key).toBeDefined();
      const back = toTorch(key, { data: (await variable!.data()) as Float32Array, shape: variable!.shape });
      expect(back.shape).toEqual(value.shape);
      expect(largestDifference(back.data, value.data)).toBe(0);
    }
  });
});

test('unet_condition has the gradients of PyTorch', async () => {
  const { model, sample, timesteps, text } = await load('unet_condition', UNet2DConditionModel);
  const stored = await readSafetensors(join(fixtures, 'unet_condition', 'gradients.safetensors'));
  const w = image(stored.get('w'));
  stored.delete('w');
  expect(stored.size).toBeGreaterThan(0);
  const { grads } = tf.variableGrads(
    () => model.apply(sample, timesteps, text).mul(w).sum<tf.Scalar>(),
    [...model.parameters.values()],
  );
  for (const [key, value] of stored) {
    const expected = fromTorch(key, value);
    const gradient = grads[model.parameters.get(key)!.name]!;
    expect(gradient.shape, key).toEqual(expected.shape);
    const largest = Math.max(...Array.from(expected.data, Math.abs));
    const difference = largestDifference(await gradient.data(), expected.data);
    expect(difference / largest, key).toBeLessThan(gradientTolerance);
  }
  model.dispose();
});
