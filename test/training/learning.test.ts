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

// With the settings of the package (agents/settings.ts); all seeds and environments: npm run bench -- classic

it.each([0, 1])('PPO balances the pole of CartPole-v1 within 100k steps (seed %d)', async (seed) => {
  // Gymnasium's reward_threshold of CartPole-v1 is 475 of 500
  expect(await finalReward({ name: `cartpole-${seed}`, env: 'CartPole-v1', seed })).toBeGreaterThan(475);
});

it('REINFORCE balances it within 200k steps', async () => {
  expect(await finalReward({ name: 'cartpole-reinforce', env: 'CartPole-v1', agent: 'reinforce' })).toBeGreaterThan(
    400,
  );
});

it('PPO swings up the pendulum of Pendulum-v1 within 100k steps', async () => {
  // rl-baselines3-zoo's PPO has -172; a policy that does nothing about -1200
  expect(await finalReward({ name: 'pendulum', env: 'Pendulum-v1' })).toBeGreaterThan(-250);
});

it.each([
  ...['discrete', 'multidiscrete', 'multibinary'].flatMap((kind) =>
    ['ppo', 'a2c', 'reinforce'].map((agent) => [agent, kind] as const),
  ),
  ['ppo', 'box'] as const,
])('%s repeats what it sees in Identity-v0 (%s) after 1200 steps', async (agent, kind) => {
  // stable-baselines3's tests/test_identity.py asks for the same: more than 90 of 100 after 1200 steps
  const input = { name: `${agent}-${kind}`, env: 'Identity-v0', envOptions: { kind }, agent, seed: 3 };
  expect(await finalReward(input)).toBeGreaterThan(90);
});

it.each([0, 1, 2])('DPOK does so within 200,000 steps (seed %d)', async (seed) => {
  const name = `dpok-${seed}`;
  const reward = await finalReward({ name, env: 'CartPole-v1', agent: 'dpok', epochs: 30, seed });
  expect(reward).toBeGreaterThan(400);
  const lines = (await readFile(join(runs, name, 'metrics.jsonl'), 'utf8')).trim().split('\n');
  expect(JSON.parse(lines.at(-1)!).envSteps).toBeLessThan(200_000);
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
  const reward = await finalReward({ name, env: 'CartPole-v1', agent: 'grpo', epochs: 40, stopAtReward: 450, seed });
  expect(reward).toBeGreaterThan(400);
  const [last] = (await readFile(join(runs, name, 'metrics.jsonl'), 'utf8')).trim().split('\n').slice(-1);
  expect(JSON.parse(last!).envSteps).toBeLessThanOrEqual(200_000);
});

it('REINFORCE finds the best arm of Bandit-v0', async () => {
  const agent = { name: 'reinforce', advantage: 'batch', collect: { episodes: 64 }, learningRate: 0.02 };
  // the arms' means are 0, .5 and 1
  expect(await finalReward({ name: 'bandit', env: 'Bandit-v0', agent, epochs: 30, seed: 0 })).toBeGreaterThan(0.95);
});
