import { describe, expect, it } from 'vitest';
import { standardize } from '../../../agents/advantages/batch.js';
import { generalizedAdvantages } from '../../../agents/advantages/generalized.js';
import { PerPromptStats } from '../../../agents/advantages/per-prompt.js';

const close = (actual: ArrayLike<number>, expected: number[], digits = 6) =>
  expected.forEach((value, i) => {
    expect(actual[i]).toBeCloseTo(value, digits);
  });

describe('standardize', () => {
  it('is (r - r.mean()) / (r.std() + 1e-8)', () => {
    // numpy: r = np.array([1., 2., 3., 4.]); (r - r.mean()) / (r.std() + 1e-8)
    close(standardize([1, 2, 3, 4]), [-1.3416407, -0.4472136, 0.4472136, 1.3416407]);
  });

  it('is 0 where all rewards are equal', () => {
    expect([...standardize([5, 5, 5])]).toEqual([0, 0, 0]);
  });
});

describe('PerPromptStats', () => {
  it('gives the numbers of ddpo-pytorch', () => {
    // PerPromptStatTracker(buffer_size=4, min_count=2); update(['a','a','b','c'], [1.,2.,3.,4.]), then (['a','a','a','b'], [5.,6.,7.,8.])
    const tracker = new PerPromptStats(4, 2);
    close(tracker.update(['a', 'a', 'b', 'c'], [1, 2, 3, 4]), [-0.999998, 0.999998, 0.4472132, 1.3416396]);
    close(tracker.update(['a', 'a', 'a', 'b'], [5, 6, 7, 8]), [0, 0.5345222, 1.0690444, 0.9999996]);
    const stats = tracker.stats();
    expect(stats.get('a')?.mean).toBeCloseTo(5);
    expect(stats.get('a')?.std).toBeCloseTo(1.8708, 4);
    expect(stats.get('a')?.count).toBe(4);
    expect(stats.get('b')).toEqual({ count: 2, mean: 5.5, std: 2.5 });
  });

  it('does not truncate the advantages of integer rewards', () => {
    const tracker = new PerPromptStats(4, 4);
    close(tracker.update(['a', 'b', 'c'], Int32Array.of(1, 2, 3)), [-1.2247434, 0, 1.2247434]);
  });

  it('goes on from a saved state', () => {
    const a = new PerPromptStats(3, 1);
    a.update(['x', 'x'], [1, 2]);
    const b = new PerPromptStats(3, 1);
    b.restore(JSON.parse(JSON.stringify(a.state())));
    expect([...b.update(['x'], [4])]).toEqual([...a.update(['x'], [4])]);
  });

  it('refuses a minCount that the buffer can never reach', () => {
    expect(() => new PerPromptStats(4, 5)).toThrow(/minCount 5, bufferSize 4/);
  });
});

describe('generalizedAdvantages', () => {
  it('is the closed form on three steps', () => {
    // by hand: gamma .9, lambda .8; d0 = 1 + .9*2 - 1 = 1.8, d1 = 0 + .9*3 - 2 = .7, d2 = 2 + .9*0 - 3 = -1
    // A2 = -1, A1 = .7 - .72 = -.02, A0 = 1.8 + .72*-.02 = 1.7856
    const result = generalizedAdvantages(
      { rewards: [1, 0, 2], values: [1, 2, 3], nextValues: [2, 3, 0], ends: [0, 0, 1] },
      0.9,
      0.8,
    );
    close(result, [1.7856, -0.02, -1], 12);
  });

  it('lets nothing flow back over an end', () => {
    const result = generalizedAdvantages({ rewards: [1, 5], values: [0, 0], nextValues: [0, 0], ends: [1, 1] }, 1, 1);
    expect([...result]).toEqual([1, 5]);
  });

  it('is the discounted reward-to-go without values at lambda 1', () => {
    const zeros = [0, 0, 0];
    const result = generalizedAdvantages({ rewards: [1, 2, 4], values: zeros, nextValues: zeros, ends: zeros }, 0.5, 1);
    close(result, [3, 4, 4], 12);
  });
});
