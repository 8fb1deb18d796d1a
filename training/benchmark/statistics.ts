import type { Random } from '../../core/random.js';
import { mean } from '../../core/statistics.js';

// The statistics of Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice", as their
// package rliable computes them. Scores are a list of tasks, each a list with a score a run.

/** Scores of one algorithm: for each task, one a run. */
export type Scores = readonly (readonly number[])[];

/** An estimate with its 95 % interval. */
export interface Interval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** The mean of the middle half of all runs of all tasks (scipy's `trim_mean(scores, 0.25)`): robust, and yet of many runs. */
export function interquartileMean(scores: Scores): number {
  const all = scores.flat().sort((a, b) => a - b);
  const cut = Math.floor(0.25 * all.length);
  return mean(all.slice(cut, all.length - cut));
}

/** The mean over tasks of their mean scores. */
export function meanOfMeans(scores: Scores): number {
  return mean(scores.map(mean));
}

/** The median over tasks of their mean scores. */
export function medianOfMeans(scores: Scores): number {
  return quantile(scores.map(mean), 0.5);
}

/**
 * How far scores fall short of `target`, on average; what is above it does not make up for what is below.
 * @param target default 1, for normalised scores.
 */
export function optimalityGap(scores: Scores, target = 1): number {
  return target - mean(scores.flat().map((score) => Math.min(score, target)));
}

/**
 * How likely a run of the first algorithm is to score higher than one of the second (Mann–Whitney; equal scores count half),
 * averaged over the tasks.
 */
export function probabilityOfImprovement(first: Scores, second: Scores): number {
  return mean(
    first.map((a, task) => {
      const b = second[task]!;
      let wins = 0;
      for (const x of a) for (const y of b) wins += x > y ? 1 : x === y ? 0.5 : 0;
      return wins / (a.length * b.length);
    }),
  );
}

/**
 * A statistic with its 95 % interval by the stratified bootstrap: runs are drawn anew within each task, and the interval
 * holds the middle 95 % of the statistic's values.
 */
export function withInterval(
  scores: readonly Scores[],
  statistic: (...scores: Scores[]) => number,
  random: Random,
  repetitions = 2000,
): Interval {
  const values = new Float64Array(repetitions);
  for (let r = 0; r < repetitions; r++) {
    const drawn = scores.map((one) => one.map((runs) => runs.map(() => runs[random.integer(runs.length)]!)));
    values[r] = statistic(...drawn);
  }
  return { value: statistic(...scores), low: quantile(values, 0.025), high: quantile(values, 0.975) };
}

/** A quantile with linear interpolation (numpy's default). */
export function quantile(values: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(values).sort();
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const next = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return sorted[below]! + (at - below) * (next - sorted[below]!);
}
