import { expect, it } from 'vitest';
import { AdaptationKnobs, actionOf, knobsOf } from '../../../envs/adaptation/knobs.js';
import { makeAdaptation } from '../../../envs/adaptation/make.js';
import { checkEnv, describeFindings } from '../../../testing/index.js';
import { runTraining } from '../../../training/run.js';
import { withOwnCache } from './cache.js';

const made = withOwnCache();

const small = { sourceSize: 40, targetSize: 20, probeSize: 20, batchSize: 8, queueSize: 12, neighbours: 5, history: 3 };

it('knobs go from their lowest to their highest value', () => {
  const at = (x: number) => knobsOf({ data: new Float32Array(7).fill(x), shape: [7] }, 5);
  const lowest = { neighbours: 1, sharpness: 0, confidence: 0, history: 1, contrast: 0, diversity: 0, negative: 0 };
  expect(at(-1)).toEqual(lowest);
  const highest = { neighbours: 40, sharpness: 4, history: 5, contrast: 1, diversity: 2, negative: 1 };
  expect(at(1)).toEqual({ ...highest, confidence: expect.closeTo(0.95, 6) });
  const paper = { ...lowest, neighbours: 10, sharpness: 1, history: 5, contrast: 0.25, diversity: 1 };
  expect(knobsOf(actionOf(paper, 5), 5)).toEqual(paper);
});

it('a step is a pass, and the environment keeps the contract', async () => {
  const make = async () =>
    new AdaptationKnobs(await makeAdaptation({ ...small, source: 'clean', target: 'invert', epochs: 2 }));
  const errors = (await checkEnv(make, { steps: 4 })).filter(({ severity }) => severity === 'error');
  expect(describeFindings(errors)).toBe('nothing found');
  const env = await make();
  await env.reset({ seed: 1 });
  const action = { data: new Float32Array(7), shape: [7] };
  expect((await env.step(action)).terminated).toBe(false);
  expect((await env.step(action)).terminated).toBe(true);
  await env.reset({ seed: 1 });
  await expect(env.step({ data: new Float32Array(7).fill(2), shape: [7] })).rejects.toThrow(/must be of Box/);
  env.close();
});

it('PPO learns on it through the same command', async () => {
  const { folder: run } = await runTraining({
    ...{ env: 'SourceFreeAdaptation-v0', knobs: true, agent: { name: 'ppo', collect: { episodes: 2 } } },
    ...{ source: 'clean', target: 'invert', epochs: 2, runs: made.folder, name: 'knobs' },
    adaptation: { ...small, passes: 2 },
  });
  const metrics = await run.metrics();
  expect(metrics).toHaveLength(2);
  expect(metrics[0]).toMatchObject({ episodes: 2, envSteps: 4 });
  expect(metrics[1]!['reward/mean']).toBeTypeOf('number');
});
