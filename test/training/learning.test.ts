import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseConfig, readEvaluations, runTraining } from '../../training/index.js';

// What the whole framework claims: that it learns. A few slow runs with explicit bars.
let runs: string;
beforeAll(async () => {
  runs = await mkdtemp(join(tmpdir(), 'learning-'));
});
afterAll(() => rm(runs, { recursive: true }));

async function finalReward(input: Record<string, unknown>): Promise<number> {
  const config = parseConfig({ runs, checkpointEvery: 1000, ...input });
  await runTraining(config, { warn: () => {} });
  return (await readEvaluations(join(runs, config.name!))).at(-1)!.mean;
}

it.each([0, 1])('PPO balances the pole of CartPole-v1 (seed %d)', async (seed) => {
  // stable-baselines3's bar for PPO on CartPole-v1 is 475 of 500
  const reward = await finalReward({ name: `cartpole-${seed}`, env: 'CartPole-v1', agent: 'ppo', epochs: 40, seed });
  expect(reward).toBeGreaterThan(400);
});

// Andy Jones's probe environments, https://andyljones.com/posts/rl-debugging.html
it.each([
  ['ProbeAction-v0', 1],
  ['ProbePolicy-v0', 1],
])('%s is learned by PPO', async (env, best) => {
  const reward = await finalReward({ name: env, env, agent: 'ppo', epochs: 8, seed: 0 });
  expect(reward).toBeGreaterThan(0.95 * best);
});

it.each([
  0, 1, 2,
])('GRPO balances the pole from groups of the same start, within 200 000 steps (seed %d)', async (seed) => {
  const name = `grpo-${seed}`;
  const reward = await finalReward({ name, env: 'CartPole-v1', agent: 'grpo', epochs: 24, seed });
  expect(reward).toBeGreaterThan(400);
  const [last] = (await readFile(join(runs, name, 'metrics.jsonl'), 'utf8')).trim().split('\n').slice(-1);
  expect(JSON.parse(last!).envSteps).toBeLessThanOrEqual(200_000);
});

it('REINFORCE finds the best arm of Bandit-v0', async () => {
  const agent = { name: 'reinforce', advantage: 'batch', collect: { episodes: 64 }, learningRate: 0.02 };
  // the arms' means are 0, .5 and 1
  expect(await finalReward({ name: 'bandit', env: 'Bandit-v0', agent, epochs: 30, seed: 0 })).toBeGreaterThan(0.95);
});
