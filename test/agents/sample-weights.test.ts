import { describe, expect, it } from 'vitest';
import { affineWeights, bestWeights, softmaxWeights } from '../../agents/sample-weights.js';

const close = (actual: ArrayLike<number>, expected: readonly number[]) => {
  expect(actual.length).toBe(expected.length);
  expected.forEach((value, i) => {
    expect(actual[i]).toBeCloseTo(value, 6);
  });
};

describe('softmaxWeights', () => {
  const raw = { beta: 0.2, perPrompt: false, normalizeRewards: false };
  const rewards = [1, 2, 3, 4, 10];

  it('is n · softmax(β r), with a mean of 1', () => {
    // scipy.special.softmax(.2 * np.array([1, 2, 3, 4, 10])) * 5
    const weights = softmaxWeights(rewards, ['a', 'a', 'a', 'a', 'a'], raw);
    close(weights, [0.4315928, 0.5271487, 0.6438608, 0.7864134, 2.6109844]);
    expect(weights.reduce((a, b) => a + b) / 5).toBeCloseTo(1, 12);
  });

  it('per prompt is the same among the samples of each', () => {
    // softmax([.2, .8]) * 2 and softmax([.4, .6, 2]) * 3
    const weights = softmaxWeights(rewards, ['a', 'b', 'b', 'a', 'b'], { ...raw, perPrompt: true });
    const two = (x: number) => 2 / (1 + Math.exp(x));
    close([weights[0]!, weights[3]!], [two(0.6), two(-0.6)]);
    const z = Math.exp(0.4) + Math.exp(0.6) + Math.exp(2);
    close(
      [weights[1]!, weights[2]!, weights[4]!],
      [0.4, 0.6, 2].map((logit) => (3 * Math.exp(logit)) / z),
    );
  });

  it('of standardised rewards does not depend on their unit', () => {
    const options = { beta: 1, perPrompt: false, normalizeRewards: true };
    const one = softmaxWeights([1, 2, 3], ['', '', ''], options);
    close(
      softmaxWeights(
        [1000, 2000, 3000].map((r) => r - 5e4),
        ['', '', ''],
        options,
      ),
      [...one],
    );
    // z = (r − 2) / √(2/3)
    const z = Math.sqrt(1.5);
    const total = Math.exp(-z) + 1 + Math.exp(z);
    close(one, [(3 * Math.exp(-z)) / total, 3 / total, (3 * Math.exp(z)) / total]);
  });

  it('of rewards that are far apart is finite', () => {
    close(softmaxWeights([0, 1e6], ['', ''], raw), [0, 2]);
  });
});

describe('bestWeights', () => {
  it('keeps what is at least the percentile', () => {
    // np.percentile([5, 1, 4, 2, 3, 6, 8, 7, 10, 9], 80) = 8.2
    const rewards = [5, 1, 4, 2, 3, 6, 8, 7, 10, 9];
    close(
      bestWeights(
        rewards,
        rewards.map(() => ''),
        { percentile: 0.8, perPrompt: false },
      ),
      [0, 0, 0, 0, 0, 0, 0, 0, 1, 1],
    );
  });

  it('per prompt keeps the best of each', () => {
    const options = { percentile: 0.9, perPrompt: true };
    close(bestWeights([1, 2, 30, 10], ['a', 'a', 'b', 'b'], options), [0, 1, 1, 0]);
  });

  it('keeps all where all are equal', () => {
    close(bestWeights([2, 2, 2], ['', '', ''], { percentile: 0.9, perPrompt: false }), [1, 1, 1]);
  });
});

it('affineWeights are α r + γ, those below 0 cut, or all raised, or left', () => {
  close(affineWeights([1, -2, 0.5], 2, 1, 'keep'), [3, -3, 2]);
  close(affineWeights([1, -2, 0.5], 2, 1, 'clamp'), [3, 0, 2]);
  close(affineWeights([1, -2, 0.5], 2, 1, 'shift'), [6, 0, 5]);
  close(affineWeights([1, 2], 1, 1, 'shift'), [2, 3]);
});
