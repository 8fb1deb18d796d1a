import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Rollout } from '../../agents/agent.js';
import { useBackend } from '../../backend/index.js';
import { readSafetensors, writeSafetensors } from '../../core/safetensors.js';
import type { Metrics } from '../../core/types.js';
import { renderReport } from '../../training/report.js';
import { runTraining } from '../../training/run.js';
import { allFinite, RunFolder } from '../../training/run-folder/index.js';
import { train } from '../../training/train.js';
import { saveTinyDenoiser } from './tiny-denoiser.js';
import { Lockstep, ToyAgent } from './toys.js';

let temporary: string;
beforeAll(async () => {
  await useBackend('wasm');
  temporary = await mkdtemp(join(tmpdir(), 'divergence-'));
});
afterAll(() => rm(temporary, { recursive: true }));

/** Its weight becomes infinite in an epoch. @param tell whether its metrics show it. */
class Diverging extends ToyAgent {
  #epoch = 0;

  constructor(
    readonly bad: number,
    readonly tell: boolean,
  ) {
    super({ episodes: 3 });
  }

  override learn(rollout?: Rollout<number, number>): Metrics {
    const metrics = super.learn(rollout);
    if (++this.#epoch < this.bad) return metrics;
    this.shift = Number.POSITIVE_INFINITY;
    return this.tell ? { ...metrics, 'train/loss': Number.NaN } : metrics;
  }

  override async save(folder: string): Promise<void> {
    await super.save(folder);
    const weights = { data: Float32Array.of(1, this.shift), shape: [2] };
    await writeSafetensors(join(folder, 'weights.safetensors'), new Map([['shift', weights]]));
  }
}

interface Options {
  bad: number;
  tell?: boolean;
  every?: number;
  keep?: number;
  fail?: (batch: number) => boolean;
}

async function diverge(name: string, { bad, tell = false, every = 1, keep = 1, fail }: Options): Promise<unknown> {
  const folder = await RunFolder.create(join(temporary, name), {});
  const events = train<number, number>({
    ...{ agent: new Diverging(bad, tell), envs: [new Lockstep({ fail })], epochs: 8, seed: 1, folder },
    ...{ checkpointEvery: every, keepCheckpoints: keep },
  });
  try {
    for await (const _ of events);
  } catch (error) {
    return error;
  }
  return undefined;
}

const checkpoints = (name: string) => readdir(join(temporary, name, 'checkpoints'));

/** No number that is saved is infinite or NaN. */
async function expectFinite(name: string): Promise<void> {
  for (const file of await readdir(join(temporary, name, 'checkpoints'), { recursive: true }))
    if (file.endsWith('.safetensors'))
      for (const { data } of (await readSafetensors(join(temporary, name, 'checkpoints', file))).values())
        expect(allFinite(data), file).toBe(true);
}

describe('weights that are no longer finite', () => {
  it('end the run, which keeps the last finite checkpoint for good', async () => {
    const error = await diverge('toy', { bad: 4 });
    expect(error).toMatchObject({ code: 'E_DIVERGED' });
    expect(String(error)).toMatch(
      /The run has diverged: the weights are infinite or NaN \(agent\/weights\.safetensors: `shift`\), and are not saved\.\nThe last finite checkpoint, that of epoch 3, is kept in .*epoch-000003-finite;.*lower learning rate/,
    );
    expect(await checkpoints('toy')).toEqual(['epoch-000003-finite']);
    await expectFinite('toy');
    const folder = RunFolder.open(join(temporary, 'toy'));
    expect(await folder.status()).toMatchObject({ state: 'diverged', epoch: 3, message: (error as Error).message });
    expect(await folder.checkpoints()).toEqual([3]);
    expect((await folder.readCheckpoint())?.state.epoch).toBe(3);
  });

  it('are not removed by later checkpoints of a run that is resumed', async () => {
    await diverge('resumed', { bad: 4 });
    const { folder, checkpoint } = await RunFolder.resume(join(temporary, 'resumed'));
    const agent = new ToyAgent({ episodes: 3 });
    for await (const _ of train({
      agent,
      envs: [new Lockstep()],
      epochs: 8,
      seed: 1,
      folder,
      checkpoint,
      keepCheckpoints: 1,
    }));
    expect(await checkpoints('resumed')).toEqual(['epoch-000003-finite', 'epoch-000008']);
    expect((await folder.metrics()).map((line) => line.epoch)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it('are noticed in the same epoch where a metric shows it, with its line in the log', async () => {
    expect(await diverge('told', { bad: 4, tell: true, every: 5 })).toMatchObject({ code: 'E_DIVERGED' });
    const folder = RunFolder.open(join(temporary, 'told'));
    expect((await folder.metrics()).map((line) => line.epoch)).toEqual([1, 2, 3, 4]);
    expect(await folder.status()).toMatchObject({ state: 'diverged', epoch: 0 });
    expect(await folder.checkpoints()).toEqual([]);
  });

  it('are noticed behind the failure that they cause', async () => {
    const error = await diverge('behind', { bad: 4, every: 3, fail: (batch) => batch === 4 });
    expect(error).toMatchObject({ code: 'E_DIVERGED' });
    expect(String((error as Error).cause)).toContain('reward of batch 4 failed');
    expect(await checkpoints('behind')).toEqual(['epoch-000003-finite']);
  });

  it('are not seen where a metric alone is not finite', async () => {
    expect(await diverge('finite', { bad: 100, tell: true })).toBeUndefined();
  });
});

describe('a learning rate of 1e308', () => {
  it.each([
    ['CartPole', { env: 'CartPole-v1', agent: { collect: { steps: 16 } } }],
    ['denoising by several updates', { agent: { minibatches: 2 } }],
    ['denoising by one update, which shows in the next samples', { agent: { name: 'reinforce' } }],
  ])('on %s is no finished run', async (name, more) => {
    const tensors = tf.memory().numTensors;
    const isDenoising = !('env' in more);
    if (isDenoising) await saveTinyDenoiser(join(temporary, 'model'));
    const denoising = { model: join(temporary, 'model'), samplesPerEpoch: 4, sampling: { steps: 3 } };
    const run = runTraining(
      {
        ...{ name: name.replaceAll(/\W/g, '-'), runs: temporary, numEnvs: 2, epochs: 3, backend: 'wasm' },
        ...{ checkpointEvery: 3, evaluation: { samples: 2 }, ...(isDenoising && denoising) },
        ...more,
        agent: { ...more.agent, learningRate: 1e308 },
      },
      { warn: () => {} },
    );
    await expect(run).rejects.toMatchObject({ code: 'E_DIVERGED', message: expect.stringContaining('no checkpoint') });
    const path = join(temporary, name.replaceAll(/\W/g, '-'));
    expect(await RunFolder.open(path).status()).toMatchObject({ state: 'diverged', epoch: 0 });
    expect(await readFile(join(path, 'report.html'), 'utf8')).toContain('diverged · epoch');
    expect(await renderReport(path)).toContain('The run has diverged');
    await expectFinite(name.replaceAll(/\W/g, '-'));
    expect(tf.memory().numTensors).toBe(tensors);
  });
});
