import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { Random } from '../../core/random.js';
import { readSafetensors, writeSafetensors } from '../../core/safetensors.js';
import { type CLIPTextConfig, CLIPTextModel } from '../../networks/clip-text-model.js';

let folder = '';
beforeAll(async () => {
  await useBackend();
  folder = await mkdtemp(join(tmpdir(), 'clip-'));
});
afterAll(() => rm(folder, { recursive: true }));

const config: Partial<CLIPTextConfig> = {
  vocab_size: 20,
  hidden_size: 8,
  intermediate_size: 16,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  max_position_embeddings: 6,
  bos_token_id: 18,
  eos_token_id: 7,
  pad_token_id: 7,
};
const create = (more: Partial<CLIPTextConfig> = {}) => CLIPTextModel.create({ ...config, ...more }, new Random(1));
const ids = (rows: number[][]) => tf.tensor2d(rows, undefined, 'int32');
const prompts = [
  [18, 3, 19, 7, 7, 7],
  [18, 7, 7, 7, 7, 7],
];

async function hidden(model: CLIPTextModel, rows: number[][]): Promise<Float32Array> {
  return tf.tidy(() => model.apply(ids(rows)).lastHiddenState).data() as Promise<Float32Array>;
}

it('sees only what came before', async () => {
  const model = create();
  const [a, b] = [await hidden(model, [[18, 3, 4, 5, 6, 7]]), await hidden(model, [[18, 3, 4, 9, 1, 2]])];
  for (let i = 0; i < 3 * 8; i++) expect(a[i]).toBeCloseTo(b[i]!, 6);
  expect(Math.abs(a[3 * 8]! - b[3 * 8]!)).toBeGreaterThan(1e-3);
});

it.each([
  ['the first end token', 7, [3, 1]],
  ['the largest id, where a configuration has the old mistake', 2, [2, 0]],
])('pools at %s', async (_, eos_token_id, places) => {
  const model = create({ eos_token_id });
  const { lastHiddenState, poolerOutput } = model.apply(ids(prompts));
  const [all, pooled] = [await lastHiddenState.data(), await poolerOutput.data()];
  for (const [row, place] of places.entries())
    expect([...pooled.slice(8 * row, 8 * row + 8)]).toEqual([
      ...all.slice((6 * row + place) * 8, (6 * row + place + 1) * 8),
    ]);
});

it('has gradients for every parameter, those of a numerical derivative', async () => {
  for (const hidden_act of ['quick_gelu', 'gelu'] as const) {
    // Large parameters, so that no part of the network is nearly linear.
    const model = create({ hidden_act, initializer_factor: 3 });
    const input = ids(prompts);
    const weights = tf.tensor3d(new Random(2).normals(2 * 6 * 8), [2, 6, 8]);
    const loss = () => model.apply(input).lastHiddenState.mul(weights).sum() as tf.Scalar;
    const variables = [...model.parameters.values()];
    const { grads } = tf.variableGrads(loss, variables);
    expect(Object.keys(grads)).toHaveLength(variables.length);
    for (const [name, variable] of model.parameters) {
      const gradient = (await grads[variable.name]!.data()) as Float32Array;
      const [value, step] = [variable.clone(), 3e-3];
      const direction = tf.tensor(new Random(name).normals(variable.size), variable.shape);
      const at = async (sign: number) => {
        variable.assign(value.add(direction.mul(sign * step)));
        return (await tf.tidy(loss).data())[0]!;
      };
      const slope = ((await at(1)) - (await at(-1))) / (2 * step);
      variable.assign(value);
      const along = ((await direction.data()) as Float32Array).reduce((sum, d, i) => sum + d * gradient[i]!, 0);
      expect(Math.abs(slope - along) / Math.max(1, Math.abs(slope)), `${hidden_act} ${name}`).toBeLessThan(0.02);
    }
  }
});

it('starts with the standard deviations of transformers', async () => {
  const model = CLIPTextModel.create(
    { ...config, vocab_size: 500, hidden_size: 64, intermediate_size: 256 },
    new Random(3),
  );
  const deviation = async (name: string) => {
    const values = (await model.parameters.get(`text_model.${name}`)!.data()) as Float32Array;
    return Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
  };
  expect(await deviation('embeddings.token_embedding.weight')).toBeCloseTo(0.02, 3);
  expect(await deviation('encoder.layers.0.self_attn.q_proj.weight')).toBeCloseTo(1 / 16, 2);
  expect(await deviation('encoder.layers.1.self_attn.out_proj.weight')).toBeCloseTo(1 / 8, 2);
  expect(await deviation('encoder.layers.1.mlp.fc1.weight')).toBeCloseTo(1 / Math.sqrt(128), 2);
  expect(await deviation('encoder.layers.0.mlp.fc2.weight')).toBeCloseTo(1 / 16, 2);
  expect(await deviation('encoder.layers.0.mlp.fc2.bias')).toBe(0);
  expect(await deviation('final_layer_norm.weight')).toBe(1);
});

it('is read back as it was written, with or without the prefix, and copied', async () => {
  const model = create();
  const expected = await hidden(model, prompts);
  await model.save(folder);
  const loaded = await CLIPTextModel.load(folder);
  expect(loaded.config).toEqual(model.config);
  expect(await hidden(loaded, prompts)).toEqual(expected);

  const path = join(folder, 'model.safetensors');
  const state = await readSafetensors(path);
  const bare = new Map([...state].map(([name, value]) => [name.replace('text_model.', ''), value]));
  bare.set('embeddings.position_ids', { data: new Int32Array(6), shape: [1, 6] });
  await writeSafetensors(path, bare);
  expect(await hidden(await CLIPTextModel.load(folder), prompts)).toEqual(expected);

  const copy = loaded.clone();
  loaded.dispose();
  expect(await hidden(copy, prompts)).toEqual(expected);
});

it('says what is wrong', async () => {
  const model = create();
  expect(() => model.apply(tf.zeros([1, 7], 'int32'))).toThrow(/7 tokens a prompt, but there are 6 positions/);
  expect(() => model.apply(tf.zeros([1, 6]))).toThrow(/int32 \[batch, tokens\], actual value float32 \[1,6\]/);
  expect(() => create({ hidden_size: 9 })).toThrow(/hidden_size 9 is no multiple of num_attention_heads 2/);
  expect(() => create({ hidden_act: 'relu' as 'gelu' })).toThrow(/unknown hidden_act `relu`/);
  expect(() => create({ vocab_size: 0 })).toThrow(/vocab_size must be an integer from 1 to 1048576, actual value 0/);
  await expect(CLIPTextModel.load(join(folder, 'absent'))).rejects.toThrow(/absent.*does not exist/);
  await model.save(folder);
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, vocab_size: 21 }));
  const before = tf.memory().numTensors;
  await expect(CLIPTextModel.load(folder)).rejects.toThrow(/token_embedding.weight` has shape \[20, 8\]/);
  expect(tf.memory().numTensors).toBe(before);
});

it('leaks no tensors', () => {
  const before = tf.memory().numTensors;
  const model = create();
  const input = ids(prompts);
  const after = tf.memory().numTensors;
  tf.dispose(model.apply(input));
  tf.dispose(tf.variableGrads(() => model.apply(input).poolerOutput.sum()));
  expect(tf.memory().numTensors).toBe(after);
  model.dispose();
  input.dispose();
  expect(tf.memory().numTensors).toBe(before);
});
