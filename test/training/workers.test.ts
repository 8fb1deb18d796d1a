import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defineAgent } from '../../agents/index.js';
import { backendReport, useBackend } from '../../backend/index.js';
import type { Metrics } from '../../core/types.js';
import { runTraining } from '../../training/run.js';
import { saveTinyDenoiser } from './tiny-denoiser.js';

// The same bits, however many threads compute the batches and the micro-batches of a run.

let temporary: string;
beforeAll(async () => {
  await useBackend('wasm');
  temporary = await mkdtemp(join(tmpdir(), 'workers-'));
  await saveTinyDenoiser(join(temporary, 'model'));
});
afterAll(() => rm(temporary, { recursive: true }));

const start = (name: string, workers: number | 'auto', more: object = {}, options: object = {}) =>
  runTraining(
    {
      name,
      runs: temporary,
      model: join(temporary, 'model'),
      sampling: { steps: 3, guidanceScale: 2 },
      samplesPerEpoch: 12,
      numEnvs: 4,
      epochs: 3,
      evaluation: { samples: 8, every: 1 },
      agent: { minibatches: 2, microBatch: 5, klCoefficient: 0.1, learningRate: 1e-3 },
      backend: 'wasm',
      workers,
      ...more,
    },
    { warn: () => {}, ...options },
  );

const withoutTime = (metrics: Metrics[]) =>
  metrics.map((line) => Object.fromEntries(Object.entries(line).filter(([key]) => !key.startsWith('time/'))));

/** Whether runs on a backend have the same metrics without workers, with one, with two, and with two and then none. */
async function expectSameNumbers(backend: 'native' | 'wasm', more: object = {}, name: string = backend) {
  const { folder } = await start(`${name}-none`, 0, { backend, ...more });
  const expected = withoutTime(await folder.metrics());
  const before = tf.memory().numTensors;
  for (const workers of [1, 2]) {
    const { folder } = await start(`${name}-workers-${workers}`, workers, { backend, ...more });
    expect(withoutTime(await folder.metrics()), `${workers} workers`).toEqual(expected);
  }
  await start(`${name}-resumed`, 2, { backend, ...more, epochs: 1 });
  const { folder: resumed } = await start(`${name}-resumed`, 0, { backend, ...more, epochs: 3 }, { resume: true });
  const keys = (m: object) =>
    Object.fromEntries(Object.entries(m).filter(([key]) => !key.startsWith('train/learningRate')));
  expect(withoutTime(await resumed.metrics()).map(keys)).toEqual(expected.map(keys));
  expect(tf.memory().numTensors).toBe(before);
}

const native = (await backendReport()).some(({ name, available }) => name === 'native' && available);

describe('workers', () => {
  it('give the same numbers as none, one or several, also after a resume with another number', async () => {
    await expectSameNumbers('wasm');
  });

  it.skipIf(!native)('do so natively too (skipped without `npm run native`)', async () => {
    try {
      await expectSameNumbers('native');
    } finally {
      await useBackend('wasm');
    }
  });

  it('do so for an agent on finished samples, with a reference', async () => {
    const agent = { name: 'kl-o', batch: 8, microBatch: 3, passes: 9, guided: true, learningRate: 1e-3 };
    await expectSameNumbers('wasm', { agent }, 'samples');
  });

  it('are replaced when they die, and their work is done again with the same numbers', async () => {
    const file = join(temporary, 'dying.ts');
    const marker = join(temporary, 'died');
    await writeFile(
      file,
      `import { existsSync, writeFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { defineAgent, ppo } from 'denoise-gym/agents';
const mark = (name: string) => {
  if (isMainThread || existsSync(${JSON.stringify(marker)} + name)) return;
  writeFileSync(${JSON.stringify(marker)} + name, '');
  process.exit(7);
};
export default defineAgent({
  ...ppo,
  name: 'dying',
  aliases: [],
  make: async (context) => {
    const agent = (await ppo.make(context)) as any;
    const { gradientUnit, sampleUnit } = agent;
    agent.gradientUnit = (...args: unknown[]) => (mark('learning'), gradientUnit.apply(agent, args));
    agent.sampleUnit = (...args: unknown[]) => (mark('sampling'), sampleUnit.apply(agent, args));
    return agent;
  },
});
`,
    );
    const warnings: string[] = [];
    const agent = { name: file, minibatches: 2, microBatch: 5, klCoefficient: 0.1, learningRate: 1e-3 };
    const { folder } = await start('dying', 2, { agent }, { warn: (m: string) => warnings.push(m) });
    const { folder: none } = await start('living', 0);
    expect(withoutTime(await folder.metrics())).toEqual(withoutTime(await none.metrics()));
    expect(warnings.filter((w) => /a worker thread died \(it exited with code 7\)/.test(w))).not.toHaveLength(0);
  });

  it('that cannot begin are told, and their work is done here', async () => {
    const file = join(temporary, 'mainly.ts');
    await writeFile(
      file,
      `import { isMainThread } from 'node:worker_threads';
import { ppo } from 'denoise-gym/agents';
if (!isMainThread) throw new Error('not in a thread');
export default { ...ppo, name: 'mainly', aliases: [] };
`,
    );
    const warnings: string[] = [];
    const { epoch } = await start('mainly', 2, { agent: file }, { warn: (m: string) => warnings.push(m) });
    expect(epoch).toBe(3);
    expect(warnings.join('\n')).toMatch(/a worker cannot begin: .*not in a thread/);
  });

  it('are refused where they cannot help, if they were asked for', async () => {
    await expect(start('negative', -1)).rejects.toThrow(/workers: must be/);
    const rule = { collect: 'nothing' as const, act: () => ({ actions: [] }), learn: () => ({}), save: async () => {} };
    const agent = defineAgent({ name: 'still', make: () => ({ ...rule, restore: async () => {}, dispose() {} }) });
    const more = { agent: {}, samplesPerEpoch: undefined };
    await expect(start('object', 2, more, { agent })).rejects.toThrow(
      /workers: must be 0 or auto here, because the agent is/,
    );
  });
});
