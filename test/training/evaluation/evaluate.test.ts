import { expect, it } from 'vitest';
import { Random } from '../../../core/random.js';
import { evaluate } from '../../../training/evaluation/index.js';
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
