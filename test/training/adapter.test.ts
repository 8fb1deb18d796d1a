import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { Random } from '../../core/random.js';
import { readSafetensors } from '../../core/safetensors.js';
import type { Metrics } from '../../core/types.js';
import { Lora, UNet2DConditionModel } from '../../diffusion/index.js';
import { parseConfig, type RunConfigInput } from '../../training/config/index.js';
import { convertLora, mergeLora } from '../../training/export.js';
import { compose } from '../../training/families/index.js';
import { type RunOptions, runTraining } from '../../training/run.js';
import { sampleImages } from '../../training/sample.js';
import { saveTinyDenoiser } from './tiny-denoiser.js';

let temporary: string;
let model: string;
beforeAll(async () => {
  await useBackend('wasm');
  temporary = await mkdtemp(join(tmpdir(), 'adapter-'));
  model = join(temporary, 'model');
  await saveTinyDenoiser(model);
});
afterAll(() => rm(temporary, { recursive: true }));

const configOf = (name: string, more: RunConfigInput = {}) =>
  parseConfig({
    name,
    runs: temporary,
    model,
    reward: 'jpeg-incompressibility',
    sampling: { steps: 3 },
    samplesPerEpoch: 8,
    numEnvs: 4,
    epochs: 3,
    evaluation: { samples: 4 },
    agent: { minibatches: 2, learningRate: 0.01, klCoefficient: 0.1 },
    adapter: { rank: 2, alpha: 4 },
    backend: 'wasm',
    ...more,
  });
const start = (name: string, options: RunOptions = {}, more: RunConfigInput = {}) =>
  runTraining(configOf(name, more), { warn: () => {}, ...options });

const withoutTime = (metrics: Metrics[]) =>
  metrics.map((line) => Object.fromEntries(Object.entries(line).filter(([key]) => !key.startsWith('time/'))));
const picture = async (options: Omit<Parameters<typeof sampleImages>[0], 'prompts'>) =>
  (await sampleImages({ ...options, prompts: ['a red circle'], sampling: { steps: 3, guidanceScale: 1 } })).images[0]!
    .data;

it('a run trains the LoRA alone, and what it saves is the LoRA', async () => {
  const before = tf.memory().numTensors;
  const { folder } = await start('whole');
  expect(tf.memory().numTensors).toBe(before);
  const metrics = await folder.metrics();
  // The reference is the model with the LoRA off: there is no KL before the first update, and some after the last.
  expect(metrics[0]!['check/ratioError']).toBeLessThan(1e-4);
  expect(metrics[2]!['train/kl']).toBeGreaterThan(0);
  const { path } = (await folder.readCheckpoint())!;
  expect(await readdir(join(path, 'agent', 'policy'))).toEqual(['pytorch_lora_weights.safetensors']);
  const moved = [...(await readSafetensors(join(path, 'agent/policy/pytorch_lora_weights.safetensors')))].filter(
    ([name, { data }]) => name.endsWith('up.weight') && data.some((x) => x !== 0),
  );
  expect(moved.length).toBeGreaterThan(0);
});

it('goes on with the same numbers, to the bit, with workers too', async () => {
  const { folder: whole } = await start('uninterrupted');
  const abort = new AbortController();
  const stop = (event: { type: string; epoch: number }) => {
    if (event.type === 'epoch' && event.epoch === 1) abort.abort();
  };
  await start('stopped', { signal: abort.signal, onEvent: stop });
  const { folder } = await start('stopped', { resume: true }, { workers: 2 });
  expect(withoutTime(await folder.metrics())).toEqual(withoutTime(await whole.metrics()));
  await expect(start('stopped', { resume: true }, { adapter: { rank: 3 } })).rejects.toThrow(/adapter\.rank: 2 there/);
});

it('a trained run gives the same pictures as its merged model, and as the model with its file', async () => {
  const { folder } = await start('exported', {}, { epochs: 2 });
  const own = await picture({ run: folder.path });
  expect(own).not.toEqual(await picture({ model }));
  const parts = await compose(configOf('exported', { epochs: 2 }));
  await parts.agent.restore(join((await folder.readCheckpoint())!.path, 'agent'));
  await parts.saveModel!(join(temporary, 'merged'));
  await parts.saveAdapter!(join(temporary, 'lora', 'pytorch_lora_weights.safetensors'));
  await parts.close();
  const close = (data: ArrayLike<number>) => {
    for (let i = 0; i < own.length; i++) expect(Math.abs(data[i]! - own[i]!)).toBeLessThanOrEqual(1);
  };
  close(await picture({ model: join(temporary, 'merged') }));
  const lora = join(temporary, 'lora');
  close(await picture({ model, lora }));
  await mergeLora(model, lora, join(temporary, 'merged-by-file'));
  close(await picture({ model: join(temporary, 'merged-by-file') }));
  await convertLora(model, lora, join(temporary, 'again.safetensors'));
  close(await picture({ model, lora: join(temporary, 'again.safetensors') }));
  await expect(picture({ run: folder.path, lora })).rejects.toThrow(/leave out lora/);

  // Training goes on from the file, whose base is still the model: the first rollout is that of the trained LoRA.
  const { folder: next } = await start('next', {}, { epochs: 1, lora, adapter: { rank: 2 } });
  expect((await next.metrics())[0]!['train/kl']).toBeGreaterThan(0);
  await expect(start('rank', {}, { lora, adapter: { rank: 3 } })).rejects.toThrow(/of rank 2; train it with that.*3/);
  // Without a rank the whole network is trained, with the LoRA merged; the file counts among what the run is made from.
  const { folder: full } = await start('full', {}, { epochs: 1, lora, adapter: {} });
  const { path } = (await full.readCheckpoint())!;
  const trained = await UNet2DConditionModel.load(join(path, 'agent', 'policy'));
  trained.dispose();
  const other = await UNet2DConditionModel.load(join(model, 'unet'));
  const another = Lora.create(other, { rank: 2 }, new Random(5));
  await another.save(join(lora, 'pytorch_lora_weights.safetensors'));
  another.dispose();
  other.dispose();
  await expect(picture({ run: full.path })).rejects.toThrow(/lora\/pytorch_lora_weights\.safetensors was changed/);
});

it('says what is wrong before anything is trained', async () => {
  expect(() => configOf('a', { adapter: { alpha: 2 } })).toThrow(/adapter\.alpha: given, but no LoRA is trained/);
  expect(() => configOf('b', { lora: 'x', adapter: { rank: 2, targets: ['to_q'] } })).toThrow(
    /adapter\.targets: given, but the LoRA that is trained is that of x/,
  );
  await expect(start('c', {}, { adapter: { rank: 2, targets: ['o_q'] } })).rejects.toThrow(
    /no linear layer is called o_q/,
  );
  await expect(start('d', {}, { lora: join(temporary, 'absent'), adapter: {} })).rejects.toThrow(
    /absent: there is no such file/,
  );
});
