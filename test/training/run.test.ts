import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { Random } from '../../core/random.js';
import type { RewardBatch } from '../../core/reward.js';
import type { Metrics } from '../../core/types.js';
import { makeVec } from '../../envs/registry.js';
import type { VectorEnv } from '../../envs/vector-env.js';
import { parseConfig, type RunConfigInput } from '../../training/config/index.js';
import { readEvaluations } from '../../training/evaluation/index.js';
import { type DenoisingConfig, modelFolder } from '../../training/families/denoising.js';
import { makePrompts } from '../../training/families/denoising-prompts.js';
import { type RunOptions, runTraining } from '../../training/run.js';
import { RunFolder } from '../../training/run-folder/index.js';
import { sampleImages } from '../../training/sample.js';
import { saveTinyDenoiser } from './tiny-denoiser.js';

let temporary: string;
beforeAll(async () => {
  await useBackend('wasm');
  temporary = await mkdtemp(join(tmpdir(), 'run-'));
  await saveTinyDenoiser(join(temporary, 'model'));
});
afterAll(() => rm(temporary, { recursive: true }));

async function start(name: string, options: RunOptions = {}, more: RunConfigInput = {}) {
  const config = parseConfig({
    name,
    runs: temporary,
    model: join(temporary, 'model'),
    reward: 'jpeg-incompressibility',
    sampling: { steps: 3 },
    samplesPerEpoch: 8,
    numEnvs: 4,
    epochs: 4,
    evaluation: { samples: 8, every: 2 },
    agent: { minibatches: 2 },
    backend: 'wasm',
    ...more,
  });
  return runTraining(config, { warn: () => {}, ...options });
}

const withoutTime = (metrics: Metrics[]) =>
  metrics.map((line) => Object.fromEntries(Object.entries(line).filter(([key]) => !key.startsWith('time/'))));

describe('a run of a denoiser', () => {
  it('leaves metrics, checkpoints, pictures before and after, and a report', async () => {
    const { folder, report, reason } = await start('plain');
    expect(reason).toBe('finished');
    const metrics = await folder.metrics();
    expect(metrics).toHaveLength(4);
    for (const key of ['reward/mean', 'reward/std', 'train/loss', 'train/clipFraction', 'time/sample', 'time/learn'])
      for (const line of metrics) expect(line[key], key).toBeTypeOf('number');
    expect(metrics[3]).toMatchObject({ epoch: 4, episodes: 32, rewardQueries: 32, envSteps: 96 });
    expect(metrics.map((m) => m['eval/mean'] !== undefined)).toEqual([false, true, false, true]);

    const evaluations = await readEvaluations(folder.path);
    expect(evaluations.map((e) => e.epoch)).toEqual([0, 2, 4]);
    const prompts = evaluations.map((e) => e.samples.map((s) => s.prompt));
    expect(prompts[2]).toEqual(prompts[0]);
    const grid = await sharp(join(folder.path, 'samples', 'epoch-000004.png')).metadata();
    expect([grid.width, grid.height]).toEqual([3 * 68 + 4, 3 * 68 + 4]);
    const animation = await sharp(join(folder.path, 'samples', 'denoising-000004.webp'), { animated: true }).metadata();
    expect(animation.pages).toBe(4);

    const record = JSON.parse(await readFile(join(folder.path, 'config.json'), 'utf8'));
    expect(record.config.agent.learningRate).toBe(1e-4);
    expect(record.versions.node).toBe(process.versions.node);
    const page = await readFile(report, 'utf8');
    for (const text of [
      '<svg',
      'Before training and after epoch 4',
      'data:image/png;base64,',
      'data:image/webp;base64,',
      'learningRate',
    ])
      expect(page.includes(text), text).toBe(true);
  });

  it('frees all that it made', async () => {
    const before = tf.memory().numTensors;
    await start('memory', {}, { epochs: 2 });
    expect(tf.memory().numTensors).toBe(before);
    await expect(start('memory-failing', { reward: () => [Number.NaN] }, { epochs: 2 })).rejects.toThrow();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('stopped by a signal, goes on with the same numbers, to the bit', async () => {
    const { folder: whole } = await start('whole');
    const abort = new AbortController();
    const stop = (event: { type: string; epoch: number }) => {
      if (event.type === 'epoch' && event.epoch === 2) abort.abort();
    };
    const { reason } = await start('stopped', { signal: abort.signal, onEvent: stop });
    expect(reason).toBe('stopped');
    const { folder } = await start('stopped', { resume: true });
    expect(withoutTime(await folder.metrics())).toEqual(withoutTime(await whole.metrics()));
    await expect(start('stopped', { resume: true }, { seed: 9, epochs: 9 })).rejects.toThrow(/seed: 0 there, 9 now/);
  });

  it('gives the same numbers however many batches are scored at once, and whatever a score takes', async () => {
    const reward = async ({ images, prompts }: RewardBatch) => {
      await new Promise((resolve) => setTimeout(resolve, 5 * (images.data[0]! % 4)));
      return prompts.map((_, i) => images.data[i * 192]! / 255);
    };
    const run = async (overlap: number) => {
      const { folder } = await start(`overlap-${overlap}`, { reward }, { overlap, samplesPerEpoch: 12, epochs: 2 });
      return withoutTime(await folder.metrics());
    };
    expect(await run(3)).toEqual(await run(0));
  });

  it('keeps what it has when the reward fails, and says how to go on', async () => {
    let calls = 0;
    const reward = ({ prompts }: RewardBatch) => {
      if (++calls > 6) throw new Error('the scorer is out of order');
      return prompts.map((_, i) => i + calls);
    };
    // Evaluation asks twice before the first epoch, each epoch twice.
    await expect(start('reward', { reward }, { evaluation: { samples: 8 } })).rejects.toThrow(
      /out of order.*\nThe run is saved up to epoch 2 of 4 in .*--resume/s,
    );
    const folder = RunFolder.open(join(temporary, 'reward'));
    expect(await folder.config()).toMatchObject({ config: { reward: 'reward' } });
    expect(await folder.metrics()).toHaveLength(2);
    expect(await folder.checkpoints()).toEqual([1, 2]);
    calls = -100;
    expect((await start('reward', { reward, resume: true })).epoch).toBe(4);
  });

  it('samples with the weights that a run has learned', async () => {
    const prompts = ['a red circle', 'a blue square'];
    const options = { prompts, count: 2, seed: 3, sampling: { steps: 2 } };
    const before = await sampleImages({ ...options, model: join(temporary, 'model') });
    const again = await sampleImages({ ...options, model: join(temporary, 'model') });
    const after = await sampleImages({ ...options, run: join(temporary, 'plain') });
    expect(before.images).toHaveLength(4);
    expect(before.prompts).toEqual(['a red circle', 'a red circle', 'a blue square', 'a blue square']);
    expect(again.images).toEqual(before.images);
    expect(after.images).not.toEqual(before.images);
  });

  it.each([
    [{ model: 'no/such/model' }, /model no\/such\/model: there is no such folder/],
    [{ reward: 'jpeg-incompresibility' }, /jpeg-incompressibility/],
    [{ agent: { name: 'pop' } }, /unknown agent `pop`.*`ppo`/],
    [{ env: 'Denosing-v0' }, /Denoising/],
    [{ prompts: { kind: 'list' as const, list: ['word '.repeat(40)] } }, /token/],
  ])('%j is a clear error', async (more, message) => {
    const before = tf.memory().numTensors;
    await expect(start('wrong', {}, { ...more, epochs: 1 })).rejects.toThrow(message);
    expect(tf.memory().numTensors).toBe(before);
    await rm(join(temporary, 'wrong'), { recursive: true, force: true });
  });
});

it('trains an ordinary environment with a network of its own, and resumes it', async () => {
  // No schedule, which would depend on the number of epochs.
  const agent = { collect: { steps: 16 }, learningRate: 1e-2 };
  const more: RunConfigInput = { env: 'Bandit-v0', epochs: 6, agent, numEnvs: 4 };
  const run = (name: string, epochs: number, resume = false) =>
    runTraining(parseConfig({ ...more, name, runs: temporary, epochs, backend: 'wasm' }), { resume, warn: () => {} });
  const { folder: whole, report } = await run('bandit', 6);
  const metrics = await whole.metrics();
  expect(metrics[5]!['reward/mean']!).toBeGreaterThan(metrics[0]!['reward/mean']!);
  expect(await readFile(report, 'utf8')).toContain('Bandit-v0');
  await run('bandit-cut', 3);
  const { folder } = await run('bandit-cut', 6, true);
  const strip = (lines: Metrics[]) =>
    withoutTime(lines).map((line) => Object.fromEntries(Object.entries(line).filter(([k]) => !k.startsWith('eval/'))));
  expect(strip(await folder.metrics())).toEqual(strip(metrics));
});

describe('what fails between two checkpoints', () => {
  const numbers = async (folder: RunFolder) => withoutTime(await folder.metrics());

  it('in the reward of a denoiser: goes on with the numbers of a run that nothing has disturbed', async () => {
    const more = { checkpointEvery: 3, epochs: 6, evaluation: { samples: 0 } };
    let broken: number | undefined;
    let calls = 0;
    const reward = ({ images, prompts }: RewardBatch) => {
      if (++calls === broken) throw new Error('out of order');
      return prompts.map((_, i) => images.data[i * 192]! / 255);
    };
    const { folder: whole } = await start('undisturbed', { reward }, more);
    // Two batches an epoch: the second of epoch 3, and then of epoch 5.
    [calls, broken] = [0, 6];
    await expect(start('disturbed', { reward }, more)).rejects.toThrow(/up to epoch 2 of 6/);
    [calls, broken] = [0, 6];
    await expect(start('disturbed', { reward, resume: true }, more)).rejects.toThrow(/up to epoch 4 of 6/);
    broken = undefined;
    const { folder } = await start('disturbed', { reward, resume: true }, more);
    expect(await numbers(folder)).toEqual(await numbers(whole));
  });

  it('in an environment: goes on with the numbers of a run that nothing has disturbed', async () => {
    let broken: number | undefined;
    let steps = 0;
    const env = async (numEnvs: number) => {
      const vector = await makeVec('CartPole-v1', numEnvs);
      const step = vector.step.bind(vector);
      vector.step = (actions) => {
        if (++steps === broken) throw new Error('out of order');
        return step(actions);
      };
      return vector as VectorEnv<never, never>;
    };
    const run = (name: string, resume = false) =>
      runTraining(
        {
          ...{ name, runs: temporary, env: 'CartPole-v1', numEnvs: 2, epochs: 6, checkpointEvery: 3, backend: 'wasm' },
          agent: { collect: { steps: 16 }, innerEpochs: 1, minibatches: 1 },
          evaluation: { samples: 0 },
        },
        { env, resume, warn: () => {} },
      );
    const { folder: whole } = await run('pole');
    [steps, broken] = [0, 40];
    await expect(run('pole-disturbed')).rejects.toThrow(/out of order.*up to epoch 2 of 6/s);
    [steps, broken] = [0, 40];
    await expect(run('pole-disturbed', true)).rejects.toThrow(/out of order.*up to epoch 4 of 6/s);
    broken = undefined;
    const { folder } = await run('pole-disturbed', true);
    expect(await numbers(folder)).toEqual(await numbers(whole));
  });
});

describe('prompts', () => {
  const configured = (input: RunConfigInput) => (parseConfig(input) as DenoisingConfig).prompts;
  it('draws each kind as often as another and keeps to a limit', async () => {
    const source = await makePrompts(configured({ prompts: { limit: 8 } }), 1);
    const seen = new Set(Array.from({ length: 300 }, (_, i) => source.at(i, new Random(i)).prompt));
    expect(seen.size).toBe(8);
    const sequential = await makePrompts(
      configured({ prompts: { order: 'sequential', kinds: ['count', 'color'] } }),
      1,
    );
    const first = Array.from({ length: 4 }, (_, i) => sequential.at(i, new Random(0)).prompt);
    expect(new Set(first).size).toBe(4);
  });

  it('come from a file', async () => {
    const path = join(temporary, 'prompts.txt');
    await writeFile(path, 'a red star\n# a comment\n\ntwo squares\n');
    const source = await makePrompts(configured({ prompts: { kind: 'file', path, order: 'sequential' } }), 0);
    expect([0, 1, 2].map((i) => source.at(i, new Random(0)).prompt)).toEqual([
      'a red star',
      'two squares',
      'a red star',
    ]);
  });
});

it('finds the model that comes with the package from any folder', () => {
  expect(existsSync(modelFolder('diffusion'))).toBe(true);
});
