import { expect, it } from 'vitest';
import { Random } from '../../../core/random.js';
import { SyncVectorEnv } from '../../../envs/index.js';
import { evaluate } from '../../../training/evaluation/index.js';
import { Counter } from '../../envs/counter.js';
import { Lockstep, ToyAgent, Walks } from '../toys.js';

it('gives the same episodes for the same stream, and changes nothing in the agent', async () => {
  const agent = new ToyAgent({ episodes: 1 }, 1);
  const before = JSON.stringify(agent.act([0, 0, 0]));
  const fresh = new ToyAgent({ episodes: 1 }, 1);
  const run = (seed: number) =>
    evaluate(fresh, new Lockstep(), { episodes: 7, random: new Random(seed), explore: true });
  const first = await run(3);
  expect(await run(3)).toEqual(first);
  expect((await run(4)).mean).not.toBe(first.mean);
  expect(first.episodes).toHaveLength(7);
  expect(JSON.stringify(fresh.act([0, 0, 0]))).toBe(before);
});

it('reports mean, spread, standard error and terms', async () => {
  const result = await evaluate(new ToyAgent('nothing'), [new Lockstep(), new Lockstep()], {
    episodes: 6,
    random: new Random(1),
  });
  const rewards = result.episodes.map((e) => e.reward);
  const mean = rewards.reduce((a, b) => a + b) / 6;
  const squares = rewards.reduce((a, r) => a + (r - mean) ** 2, 0);
  expect(result.mean).toBeCloseTo(mean, 12);
  expect(result.std).toBeCloseTo(Math.sqrt(squares / 6), 12);
  expect(result.se).toBeCloseTo(Math.sqrt(squares / 5 / 6), 12);
  expect(result.terms.twice).toBeCloseTo(2 * mean, 12);
  expect(result.min).toBe(Math.min(...rewards));
});

it('runs whole episodes of any environment', async () => {
  const result = await evaluate(new ToyAgent('nothing'), new Walks('next-step'), {
    episodes: 9,
    random: new Random(1),
  });
  expect(result.episodes).toHaveLength(9);
  expect(result.mean).toBeGreaterThan(0);
});

for (const autoreset of ['next-step', 'same-step', 'disabled'] as const)
  it(`cuts episodes that are too long, and makes as many as it is asked for, with autoreset ${autoreset}`, async () => {
    const never = 1000;
    const env = new SyncVectorEnv([new Counter(never), new Counter(3), new Counter(never)], { autoreset });
    const agent = { act: (observations: readonly unknown[]) => ({ actions: observations.map(() => 1) }) };
    const warnings: string[] = [];
    const { episodes } = await evaluate<unknown, unknown>(agent as never, env as never, {
      ...{ episodes: 8, random: new Random(1), maxSteps: 7, warn: (message: string) => warnings.push(message) },
    });
    // A counter's reward is its number of steps: 1 + 2 + 3, or 1 + ... + 7 where it is cut.
    expect(episodes.map(({ reward }) => reward).sort((a, b) => a - b)).toEqual([6, 6, 6, 28, 28, 28, 28, 28]);
    expect(episodes.map(({ length }) => length).sort()).toEqual([3, 3, 3, 7, 7, 7, 7, 7]);
    expect(warnings).toEqual([expect.stringContaining('5 of 8 episodes had not ended after 7 steps')]);
  });
