import { describe, expect, it } from 'vitest';
import type { PaperRun } from '../../benchmarks/paper/definition.js';
import {
  all,
  any,
  bySeed,
  meanInterval,
  paired,
  positive,
  positiveFinding,
  separated,
  shownInterval,
} from '../../benchmarks/paper/findings.js';

function run(algorithm: string, seed: number, score: number | undefined, more: Partial<PaperRun> = {}): PaperRun {
  return {
    ...{ name: `${algorithm}-${seed}`, env: 'Denoising-v0', agent: algorithm, seed, varied: {}, state: 'finished' },
    ...{ score, before: 1, curve: [], part: 'one', command: '', options: {}, measures: { kl: score! / 2 } },
    ...more,
  };
}

describe('the interval of a mean', () => {
  it("is Student's", () => {
    // scipy.stats.t.interval(.95, 2, loc=np.mean(x), scale=scipy.stats.sem(x)) with x = [1, 2, 4]
    const { value, low, high } = meanInterval([1, 2, 4]);
    expect(value).toBeCloseTo(2.3333333, 6);
    expect(low).toBeCloseTo(-1.4612498, 3);
    expect(high).toBeCloseTo(6.1279165, 3);
  });

  it('of one value is infinite, so that one seed never decides', () => {
    expect(meanInterval([3])).toEqual({ value: 3, low: -Infinity, high: Infinity });
    expect(positive([3])).toBe('within noise');
    expect(separated([3], [1, 1.1])).toBe('within noise');
  });
});

describe('verdicts', () => {
  it('are for or against only where the interval leaves 0 out', () => {
    expect(positive([0.9, 1, 1.1])).toBe('for');
    expect(positive([-0.9, -1, -1.1])).toBe('against');
    expect(positive([-0.5, 1, 1.5])).toBe('within noise');
    expect(positive([])).toBe('not measured');
    // At the threshold: of 1 ± d with three values the half width is 4.3027 d / √3, so that d = .40 decides and .41 does not.
    expect(positive([0.6, 1, 1.4])).toBe('for');
    expect(positive([0.59, 1, 1.41])).toBe('within noise');
  });

  it('on two groups are for or against only where their intervals do not touch', () => {
    expect(separated([2.9, 3, 3.1], [0.9, 1, 1.1])).toBe('for');
    expect(separated([0.9, 1, 1.1], [2.9, 3, 3.1])).toBe('against');
    // Half widths of .248 each.
    expect(separated([1.4, 1.5, 1.6], [0.9, 1, 1.1])).toBe('for');
    expect(separated([1.39, 1.49, 1.59], [0.9, 1, 1.1])).toBe('within noise');
  });

  it('of several statements', () => {
    expect(all('for', 'within noise')).toBe('within noise');
    expect(all('for', 'against')).toBe('against');
    expect(all('for', 'for')).toBe('for');
    expect(any('against', 'for')).toBe('for');
    expect(any('against', 'within noise')).toBe('within noise');
    expect(any('against', 'against')).toBe('against');
  });
});

describe('selected numbers', () => {
  const runs = [
    run('ppo', 0, 3),
    run('ppo', 1, 4),
    run('rwr', 1, 2),
    run('rwr', 0, 2),
    run('rwr', 2, 9, { state: 'failed' }),
    run('ppo', 5, 9, { part: 'two' }),
  ];

  it('are those of finished runs of the part and algorithm, by seed', () => {
    expect([...bySeed(runs, { part: 'one', algorithm: 'ppo' })]).toEqual([
      [0, 3],
      [1, 4],
    ]);
    expect([...bySeed(runs, { part: 'one', algorithm: 'ppo', of: 'rise' }).values()]).toEqual([2, 3]);
    expect([...bySeed(runs, { part: 'one', algorithm: 'rwr', of: 'kl' }).keys()]).toEqual([1, 0]);
    expect(bySeed(runs, { part: 'one', algorithm: 'rwr', of: 'loss' }).size).toBe(0);
  });

  it('are paired by seed', () => {
    const pair = [
      { part: 'one', algorithm: 'ppo' },
      { part: 'one', algorithm: 'rwr' },
    ];
    expect(paired(runs, pair, (a, b) => a - b)).toEqual([1, 2]);
  });

  it('are told with their interval and how many seeds there are', () => {
    // 1.5 ± 12.7062 · .7071 / √2
    expect(shownInterval([1, 2])).toBe('1.5 (-4.85 to 7.85)');
    expect(positiveFinding('It rises', 'rise', [1, 1, 1])).toEqual({
      statement: 'It rises',
      verdict: 'for',
      evidence: 'rise: 1 (1 to 1), 3 seeds',
    });
  });
});
