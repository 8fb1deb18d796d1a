import { describe, expect, it } from 'vitest';
import { GroupAdvantages, perTermRewards, type Transitions } from '../../../agents/index.js';
import type { Info } from '../../../core/types.js';

/** Episodes of `length` steps, each with its return in the last one, and infos of that step. */
function episodes(returns: number[], infos: Info[], length = 2): Transitions<unknown, unknown> {
  const n = returns.length * length;
  const rewards = new Float64Array(n);
  const all: Info[] = Array.from({ length: n }, () => ({}));
  returns.forEach((reward, i) => {
    rewards[(i + 1) * length - 1] = reward;
    all[(i + 1) * length - 1] = infos[i]!;
  });
  return {
    observations: Array(n).fill(0),
    actions: Array(n).fill(0),
    rewards,
    terminated: new Uint8Array(n),
    truncated: new Uint8Array(n),
    infos: all,
    extras: {},
    successors: [],
    spans: returns.map((_, i) => ({ first: i * length, end: (i + 1) * length, complete: true })),
  };
}

/** The advantage of each episode, which all of its steps must have. */
function perEpisode(advantages: Float64Array, length = 2): number[] {
  return Array.from({ length: advantages.length / length }, (_, i) => {
    const own = advantages.subarray(i * length, (i + 1) * length);
    expect(new Set(own).size).toBe(1);
    return own[0]!;
  });
}

const close = (actual: ArrayLike<number>, expected: number[]) => {
  expect(actual).toHaveLength(expected.length);
  expected.forEach((value, i) => {
    expect(actual[i]).toBeCloseTo(value, 6);
  });
};

const groups = [0, 1, 0, 1, 0, 1].map((group) => ({ group }));

describe('the advantages of groups', () => {
  // Flow-GRPO's stat_tracking.py on the groups {1, 2, 3} and {10, 10, 10}: (r - mean) / (std + 1e-4), where
  // np.std([1, 2, 3]) = .8164966 and np.std([1, 2, 3, 10, 10, 10]) = 4.0414519
  it.each([
    ['group', [-1.2245949, 0, 0, 0, 1.2245949, 0]],
    ['batch', [-0.2474297, 0, 0, 0, 0.2474297, 0]],
    ['none', [-1, 0, 0, 0, 1, 0]],
  ] as const)('are those of Flow-GRPO, std of the %s', (std, expected) => {
    const transitions = episodes([1, 10, 2, 10, 3, 10], groups);
    close(perEpisode(new GroupAdvantages({ std }).estimate(transitions).advantages), [...expected]);
  });

  it('leave out an episode of which the rollout holds a part', () => {
    const transitions = episodes([1, 3, 100], [{ group: 0 }, { group: 0 }, { group: 0 }]);
    const cut = { ...transitions, spans: transitions.spans.map((s, i) => ({ ...s, complete: i < 2 })) };
    const { advantages } = new GroupAdvantages({ std: 'none' }).estimate(cut);
    expect([...advantages]).toEqual([-1, -1, 1, 1, Number.NaN, Number.NaN]);
  });

  it('need groups', () => {
    expect(() => new GroupAdvantages({ std: 'group' }).estimate(episodes([1, 2], [{}, {}]))).toThrow(
      /forms no groups.*groupSize/,
    );
  });
});

describe('the rewards of an expression, each normalised in its group', () => {
  const terms = (a: number, b: number, group?: number) => ({
    rewardTerms: { a, b, 'b/part': 7 },
    ...(group !== undefined && { group }),
  });
  const combine = ({ a, b }: Readonly<Record<string, number>>) => 2 * a! - b!;

  it('are put together by the expression, as GDPO does with weights', () => {
    // numpy, per group and reward: (r - r.mean()) / max(r.std(), 1e-6); then 2 a - b
    // group 0: a = [1, 2, 3] -> [-1.2247449, 0, 1.2247449], b = [300, 100, 200] -> [1.2247449, -1.2247449, 0]
    // group 1: a = [5, 5] -> [0, 0], b = [0, 4] -> [-1, 1]
    const infos = [terms(1, 300, 0), terms(2, 100, 0), terms(3, 200, 0), terms(5, 0, 1), terms(5, 4, 1)];
    const { rewards } = perTermRewards(episodes([9, 9, 9, 9, 9], infos), combine);
    close(rewards, [0, -3.6742346, 0, 1.2247449, 0, 2.4494897, 0, 1, 0, -1]);
  });

  it('take the rollout for one group where there is none', () => {
    const { rewards } = perTermRewards(episodes([9, 9], [terms(1, 0), terms(3, 0)]), combine);
    close(rewards, [0, -2, 0, 2]);
  });

  it('need their scores', () => {
    expect(() => perTermRewards(episodes([1], [{}]), combine)).toThrow(/needs the scores .* use 'sum'/);
  });
});
