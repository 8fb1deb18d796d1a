import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Reward, ScoreBatch } from '../../core/reward.js';
import { scoreImages } from '../../core/score.js';
import { expressionReward } from '../../rewards/expression.js';
import { makeReward } from '../../rewards/registry.js';

const batch: ScoreBatch = { images: { data: new Uint8Array(3 * 48), shape: [3, 4, 4, 3] }, prompts: ['p', 'q', 'r'] };
const constant = (name: string, scores: number[], details?: Record<string, number[]>): Reward => ({
  name,
  score: async () => ({ scores, details }),
});
const toys: Record<string, Reward> = {
  a: constant('a', [1, 2, 3]),
  b: constant('b', [10, 20, 30], { part: [7, 8, 9] }),
  'a-b': constant('a-b', [100, 200, 300]),
  'jpeg-size': constant('jpeg-size', [0.5, 0, 2]),
};
const make = (expression: string) => expressionReward(expression, Object.keys(toys), async (spec) => toys[spec]!);
const scores = async (expression: string) => [...(await scoreImages(await make(expression), batch)).scores];

describe('expressionReward', () => {
  it.each([
    ['0.7*jpeg-size - 0.3*b', [0.35 - 3, -6, 1.4 - 9]],
    ['a-b', [100, 200, 300]],
    ['a - b', [-9, -18, -27]],
    ['b-a', [9, 18, 27]],
    ['b-a-b', [-90, -180, -270]],
    ['a-b-a', [99, 198, 297]],
    ['a-1', [0, 1, 2]],
    ['a-1.5', [-0.5, 0.5, 1.5]],
    ['a-1e-3', [0.999, 1.999, 2.999]],
    ['2e-1*b-3*a', [-1, -2, -3]],
    ['a- -b', [11, 22, 33]],
    ['a--b', [11, 22, 33]],
    ['-a^2', [-1, -4, -9]],
    ['2 a', [2, 4, 6]],
    ['max(a, 2) + min(b, 15, 12) + abs(-1) + sqrt(4)', [15, 17, 18]],
    ['clamp(b, 12, 25)', [12, 20, 25]],
    ['log(e) + a * pi / pi', [2, 3, 4]],
    ['a > 1 ? b : -1', [-1, 20, 30]],
    ['(a >= 2) * b', [0, 20, 30]],
    ['a > 1', [0, 1, 1]],
  ])('%s', async (expression, expected) => {
    const actual = await scores(expression);
    actual.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i]!, 12);
    });
    // The same from the scores of its terms.
    const reward = await make(expression);
    const { details } = await scoreImages(reward, batch);
    const terms = Object.fromEntries(Object.entries(details).map(([name, values]) => [name, values[1]!]));
    expect(reward.combine!(terms)).toBeCloseTo(expected[1]!, 12);
  });

  it('logs each term once, with its own details', async () => {
    const reward = await make('a + 2*b - a/2');
    expect(reward.name).toBe('a + 2*b - a/2');
    expect((await scoreImages(reward, batch)).details).toEqual({
      a: Float64Array.of(1, 2, 3),
      b: Float64Array.of(10, 20, 30),
      'b/part': Float64Array.of(7, 8, 9),
    });
  });

  it.each([
    ['jpeg-sice', /unknown reward `jpeg-sice`. Did you mean `jpeg-size`\? Known: a, b, a-b, jpeg-size\.$/],
    ['2*jpeg-sice', /unknown reward `jpeg-sice`. Did you mean `jpeg-size`/],
    ['squrt(a)', /unknown reward `squrt`. Did you mean `sqrt`/],
    ['1 + 2', /names no reward/],
    ['', /names no reward/],
    ['a +', /cannot be read: .*; check operators/],
    ['(a', /cannot be read: .*Parenthesis/],
    ['[a, b]', /`\[a, b\]` is not allowed; use numbers/],
    ['pi = a', /`pi = a` is not allowed/],
    ['a; b', /not allowed/],
    ['a.b', /not allowed|cannot be read/],
    ['a(2)', /not allowed/],
    ["a'", /`a'` is not allowed; use numbers, rewards, the operators \+/],
    ["jpeg-size'", /`jpeg-size'` is not allowed/],
    ['a ?? b', /`a \?\? b` is not allowed/],
    ['??', /names no reward/],
    ['a .^ 2', /`a \.\^ 2` is not allowed/],
    ['.^', /names no reward/],
    ['a!', /`a!` is not allowed/],
    ['a & 3', /`a & 3` is not allowed/],
    ['5 a cm', /unknown reward `cm`/],
    ['a + min()', /cannot be read: Too few arguments in function min/],
    ['log(a, 2, 3)', /cannot be read: Too many arguments/],
    [
      'min(a, ./my-reward.ts)',
      /the path \.\/my-reward\.ts must stand in quotes in "min\(a, .*"; write '\.\/my-reward\.ts'/,
    ],
    ['2*../sub/my-reward.mjs', /the path \.\.\/sub\/my-reward\.mjs must stand in quotes/],
    ['0.5*my-reward.ts + a', /the path my-reward\.ts must stand in quotes/],
    ['a + 2nd-reward.ts', /the path 2nd-reward\.ts must stand in quotes/],
    [`${'('.repeat(1900)}a${')'.repeat(1900)} + b(`, /cannot be read: |nested too deeply/],
    [`a + ${'b + '.repeat(1500)}a`, /it has 6005 characters; write it in at most 4000/],
  ])('refuses %s', async (expression, message) => {
    await expect(make(expression)).rejects.toThrow(message);
  });

  it('takes no longer for many hyphens than their number asks for', async () => {
    const start = performance.now();
    await expect(make(`e-${'1e-1-'.repeat(24)}x`)).rejects.toThrow(/unknown reward/);
    await expect(make(`e-${'1e-1-'.repeat(780)}x`)).rejects.toThrow(/unknown reward/);
    expect(await scores(`${'a-b-'.repeat(900)}a`)).toHaveLength(3);
    expect(performance.now() - start).toBeLessThan(2000);
  });

  it('asks only for the rewards that are in it', async () => {
    // `a` is read at first in the attempt to read a-b-x as a less b less x.
    const reward = await make('a-b - 1e-1');
    expect(Object.keys((await scoreImages(reward, batch)).details)).toEqual(['a-b']);
  });

  it('names the reward and the sample of a value that is not finite', async () => {
    await expect(scores('log(jpeg-size)')).rejects.toThrow(/`log\(jpeg-size\)`: sample 1 \(prompt "q"\) got -Infinity/);
    toys.broken = constant('broken', [1, Number.NaN, 2]);
    await expect(scores('a + broken')).rejects.toThrow(/`a \+ broken`: .*`broken`: sample 1 .* got NaN/);
  });

  describe('over registered rewards and files', () => {
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'reward-'));
      await writeFile(join(folder, 'my-reward.mjs'), 'export default ({ prompts }) => prompts.map(() => 4);');
    });
    afterAll(() => rm(folder, { recursive: true }));

    it('mixes names and quoted paths', async () => {
      const reward = await makeReward(`jpeg-incompressibility + 2 * "${join(folder, 'my-reward.mjs')}"`);
      const { scores, details } = await scoreImages(reward, batch);
      expect(Object.keys(details)).toEqual(['jpeg-incompressibility', 'my-reward']);
      expect(scores[2]).toBeCloseTo(details['jpeg-incompressibility']![2]! + 8, 12);
    });
  });
});
