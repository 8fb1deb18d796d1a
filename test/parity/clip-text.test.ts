import * as tf from '@tensorflow/tfjs';
import { expect, it } from 'vitest';
import { readSafetensors } from '../../core/safetensors.js';
import { CLIPTextModel } from '../../networks/clip-text-model.js';
import { fixturePath, startBackend } from './fixtures.js';

const tolerance = (await startBackend()) === 'wasm' ? 1e-4 : 1e-5;
const folder = fixturePath('models', 'text_encoder');

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Array.from(a, (x, i) => Math.abs(x - b[i]!)).reduce((worst, d) => (d <= worst ? worst : d), 0);
}

it("gives the hidden states and the pooled output of transformers' CLIPTextModel", async () => {
  const io = await readSafetensors(fixturePath('models', 'text_encoder', 'io.safetensors'));
  const ids = io.get('input_ids')!;
  const model = await CLIPTextModel.load(folder);
  const input = tf.tensor2d(Int32Array.from(ids.data), ids.shape as [number, number], 'int32');
  const { lastHiddenState, poolerOutput } = model.apply(input);
  expect(lastHiddenState.shape).toEqual(io.get('last_hidden_state')!.shape);
  expect(poolerOutput.shape).toEqual(io.get('pooler_output')!.shape);
  expect(largestDifference(await lastHiddenState.data(), io.get('last_hidden_state')!.data)).toBeLessThan(tolerance);
  expect(largestDifference(await poolerOutput.data(), io.get('pooler_output')!.data)).toBeLessThan(tolerance);
  tf.dispose([input, lastHiddenState, poolerOutput]);
  model.dispose();
});
