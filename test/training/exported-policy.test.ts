import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { Random } from '../../core/random.js';
import { makeVec } from '../../envs/index.js';
import { compose, evaluate, loadPolicy, openCheckpoint, parseConfig } from '../../training/index.js';
import { normalized } from './wrappers/normalized.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'exported-policy-'));
  await useBackend('wasm');
});
afterAll(() => rm(folder, { recursive: true }));

/** Evaluates as a run does. */
const measured = async (agent: Parameters<typeof evaluate>[0], env: Parameters<typeof evaluate>[1]) =>
  (await evaluate(agent, env, { episodes: 3, random: new Random('evaluation'), maxSteps: 40 })).mean;

it('acts outside of its run as in it, with the statistics of its training, and leaves no tensor behind', async () => {
  await normalized(folder, 'run', 4);
  const { path, config } = await openCheckpoint(join(folder, 'run'));
  const parts = await compose(config);
  const out = join(folder, 'out');
  await parts.agent.restore(path);
  await parts.saveModel!(out);
  await parts.close();

  const before = tf.memory().numTensors;
  const policy = await loadPolicy(out);
  // The run's last evaluation, which the run itself has made.
  const metrics = (await readFile(join(folder, 'run', 'metrics.jsonl'), 'utf8')).trim().split('\n');
  const expected = JSON.parse(metrics.at(-1)!)['eval/mean'];
  const env = await policy.around(await makeVec('CartPole-v1', 3));
  expect(await measured(policy, env)).toBe(expected);
  expect(await measured(policy, env)).toBe(expected);
  // Two frames of four numbers.
  expect(String(policy.observationSpace)).toContain('(2, 4)');
  expect(policy.env).toBe('CartPole-v1');
  policy.dispose();
  expect(tf.memory().numTensors).toBe(before);

  const statistics = join(out, 'normalization.json');
  const { normalizations } = JSON.parse(await readFile(statistics, 'utf8'));
  await writeFile(statistics, JSON.stringify({ normalizations: normalizations.slice(1) }));
  await expect(loadPolicy(out)).rejects.toThrow(/not those of its wrappers \(normalizeObservation, normalizeReward\)/);
  expect(tf.memory().numTensors).toBe(before);
});

it('executes the file of a wrapper only where that is trusted', async () => {
  const file = join(folder, 'wrapper.mjs');
  await writeFile(file, 'export default () => (env) => env;\n');
  const config = parseConfig({ env: 'CartPole-v1', policy: { hidden: [4] }, wrappers: [file] });
  const parts = await compose(config);
  const out = join(folder, 'own');
  await parts.saveModel!(out);
  await parts.close();
  const env = await makeVec('CartPole-v1', 2);
  const stranger = await loadPolicy(out);
  await expect(stranger.around(env)).rejects.toMatchObject({ code: 'E_TRUST', message: expect.stringContaining(file) });
  stranger.dispose();
  const trusted = await loadPolicy(out, { trust: true });
  expect((await trusted.around(env)).numEnvs).toBe(2);
  trusted.dispose();
});

it('is there only where the policy of a small network is trained', async () => {
  const agent = {
    ...{ name: 'still', defaults: { network: {} } },
    make: () => ({
      ...{
        collect: 'nothing' as const,
        act: (observations: readonly unknown[]) => ({ actions: observations.map(() => 0) }),
      },
      ...{ learn: () => ({}), save: async () => {}, restore: async () => {}, dispose: () => {} },
    }),
  };
  const config = parseConfig({ env: 'CartPole-v1', agent: 'still' }, 'test', { agent });
  const parts = await compose(config, { agent });
  expect(parts.saveModel).toBeUndefined();
  await parts.close();
});
