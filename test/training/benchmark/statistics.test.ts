import { describe, expect, it } from 'vitest';
import { Random } from '../../../core/random.js';
import {
  interquartileMean,
  meanOfMeans,
  medianOfMeans,
  optimalityGap,
  probabilityOfImprovement,
  quantile,
  withInterval,
} from '../../../training/benchmark/statistics.js';

// rng = np.random.RandomState(0); a = np.round(rng.normal(1, .5, (5, 3)), 3); b = np.round(rng.normal(.8, .4, (6, 3)), 3)
// Runs are rows there, and tasks are rows here.
const transpose = (rows: number[][]) => rows[0]!.map((_, task) => rows.map((row) => row[task]!));
const a = transpose([
  [1.882, 1.2, 1.489],
  [2.12, 1.934, 0.511],
  [1.475, 0.924, 0.948],
  [1.205, 1.072, 1.727],
  [1.381, 1.061, 1.222],
]);
const b = transpose([
  [0.933, 1.398, 0.718],
  [0.925, 0.458, -0.221],
  [1.061, 1.146, 0.503],
  [1.708, 0.218, 0.818],
  [0.725, 1.413, 1.388],
  [0.862, 0.951, 0.445],
]);

describe('the numbers of rliable 1.2', () => {
  it('aggregates', () => {
    expect(interquartileMean(a)).toBeCloseTo(1.3146666666666667, 12); // metrics.aggregate_iqm(a)
    expect(interquartileMean(b)).toBeCloseTo(0.8642, 12);
    expect(meanOfMeans(a)).toBeCloseTo(1.3434, 12); // metrics.aggregate_mean(a)
    expect(medianOfMeans(a)).toBeCloseTo(1.2382, 12); // metrics.aggregate_median(a)
    expect(optimalityGap(a)).toBeCloseTo(0.041133333333333244, 12); // metrics.aggregate_optimality_gap(a)
    expect(probabilityOfImprovement(a, b)).toBeCloseTo(0.7777777777777778, 12); // metrics.probability_of_improvement(a, b)
  });

  it('intervals', () => {
    // library.get_interval_estimates({'A': a, 'B': b}, aggregate_iqm, reps=20000)
    const of = (scores: typeof a) => withInterval([scores], interquartileMean, new Random(1), 20_000);
    const [A, B] = [of(a), of(b)];
    expect(A.value).toBeCloseTo(1.3146666666666667, 12);
    expect(A.low).toBeCloseTo(1.1351, 1.7);
    expect(A.high).toBeCloseTo(1.5663, 1.7);
    expect(B.low).toBeCloseTo(0.6788, 1.7);
    expect(B.high).toBeCloseTo(1.0967, 1.7);
  });
});

it('one run has no spread, and says so', () => {
  expect(withInterval([[[3]]], interquartileMean, new Random(1), 10)).toEqual({ value: 3, low: 3, high: 3 });
});

it('quantiles are numpy’s', () => {
  // np.quantile([4, 1, 3, 2], [0, .025, .5, 1])
  expect([0, 0.025, 0.5, 1].map((share) => quantile([4, 1, 3, 2], share))).toEqual([1, 1.075, 2.5, 4]);
});

it('a fixed stream gives fixed intervals', () => {
  const once = () => withInterval([a, b], probabilityOfImprovement, new Random(7), 200);
  expect(once()).toEqual(once());
  expect(once().low).toBeLessThan(once().value);
});
