import * as tf from '@tensorflow/tfjs';
import { beforeAll, expect, test } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { readSafetensors } from '../../core/safetensors.js';
import { UNet2DModel } from '../../diffusion/index.js';

let tolerance = 1e-5;
beforeAll(async () => {
  if ((await useBackend()).name === 'wasm') tolerance = 1e-4;
});

// Of diffusers 0.42's UNet2DModel(num_class_embeds=3, in_channels=1, ...), all of whose weights are normal with deviation 0.2.
test('a UNet with classes gives the output of diffusers, and has a gradient in the embedding of its classes', async () => {
  const folder = 'test/fixtures/models/unet_class';
  const io = await readSafetensors(`${folder}/io.safetensors`);
  const model = await UNet2DModel.load(folder);
  const rows = (name: string) => Array.from(io.get(name)!.data);
  // Of one channel, so that [batch, channels, height, width] is in the order of [batch, height, width, channels].
  const sample = tf.tensor4d(rows('sample'), [2, 4, 4, 1]);
  const classes = tf.tensor3d(rows('class_labels'), [2, 1, 1]);
  const times = tf.tensor1d(rows('timestep'));
  const output = await model.apply(sample, times, classes).data();
  const expected = rows('output');
  const scale = Math.max(1, ...expected.map(Math.abs));
  expect(Math.max(...expected.map((x, i) => Math.abs(x - output[i]!))) / scale).toBeLessThan(tolerance);
  expect(() => model.apply(sample, times)).toThrow(/conditioned on classes/);

  const table = model.parameters.get('class_embedding.weight')!;
  const { grads } = tf.variableGrads(() => model.apply(sample, times, classes).square().sum<tf.Scalar>(), [table]);
  const byClass = await grads[table.name]!.abs().sum(1).data();
  // The samples are of the classes 2 and 0.
  expect(Array.from(byClass, (x) => x > 0)).toEqual([true, false, true]);
  model.dispose();
});
