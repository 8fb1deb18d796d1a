import { mean, standardDeviation } from '../../core/statistics.js';
import { algorithmOf } from '../../training/benchmark/results.js';
import type { Interval } from '../../training/benchmark/statistics.js';
import type { PaperRun } from './definition.js';

/** What the runs say of a statement. `not measured`: runs that it needs are not there. */
export type Verdict = 'for' | 'against' | 'within noise' | 'not measured';

/** A statement of a paper, and what came of it. */
export interface Finding {
  readonly statement: string;
  readonly verdict: Verdict;
  /** The numbers that it rests on. */
  readonly evidence: string;
}

/** Quantiles of Student's t at 97.5 % for 1 to 30 degrees of freedom (`scipy.stats.t.ppf(.975, df)`). */
const t975 = [
  12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.306, 2.2622, 2.2281, 2.201, 2.1788, 2.1604, 2.1448, 2.1314,
  2.1199, 2.1098, 2.1009, 2.093, 2.086, 2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
];

/**
 * The mean of independent values with its 95 % interval by Student's t, which is honest about how little three seeds say
 * (a bootstrap of three values is too narrow). A single value has an infinite interval; no values, NaN.
 */
export function meanInterval(values: readonly number[]): Interval {
  const value = mean(values);
  if (values.length < 2) return { value, low: -Infinity, high: Infinity };
  const t = t975[values.length - 2] ?? 1.96;
  const half = (t * standardDeviation(values, 1)) / Math.sqrt(values.length);
  return { value, low: value - half, high: value + half };
}

/** Which runs, and which number of them. */
export interface Select {
  readonly part: string;
  /** As {@link algorithmOf} says it. */
  readonly algorithm: string;
  /** A key of a run's measures, `score`, or `rise`: the score less that before training. Default score. */
  readonly of?: string;
}

/** The selected number of each finished run that has it, by seed. */
export function bySeed(runs: readonly PaperRun[], { part, algorithm, of = 'score' }: Select): Map<number, number> {
  const values = new Map<number, number>();
  for (const run of runs) {
    if (run.state !== 'finished' || run.part !== part || algorithmOf(run) !== algorithm) continue;
    const rise = run.score !== undefined && run.before !== undefined ? run.score - run.before : undefined;
    const value = of === 'score' ? run.score : of === 'rise' ? rise : run.measures[of];
    if (value !== undefined) values.set(run.seed, value);
  }
  return values;
}

/** A function of several selected numbers of the same seed, for each seed that has all of them. */
export function paired(
  runs: readonly PaperRun[],
  selects: readonly Select[],
  of: (...values: number[]) => number,
): number[] {
  const maps = selects.map((select) => bySeed(runs, select));
  return [...(maps[0]?.keys() ?? [])]
    .filter((seed) => maps.every((map) => map.has(seed)))
    .map((seed) => of(...maps.map((map) => map.get(seed)!)));
}

/** What the mean of one selection is of that of another, over the seeds that have both, as text. */
export function shownShare(runs: readonly PaperRun[], own: Select, whole: Select): string {
  const both = [own, whole];
  return shown(mean(paired(runs, both, (value) => value)) / mean(paired(runs, both, (_, value) => value)), 2);
}

/** Whether values are above 0: `for` and `against` where the 95 % interval of their mean leaves 0 out. */
export function positive(values: readonly number[]): Verdict {
  if (values.length === 0) return 'not measured';
  const { low, high } = meanInterval(values);
  return low > 0 ? 'for' : high < 0 ? 'against' : 'within noise';
}

/** Whether the 95 % interval of the first lies above that of the second, and does not touch it. */
export function separated(first: readonly number[], second: readonly number[]): Verdict {
  if (first.length === 0 || second.length === 0) return 'not measured';
  const [a, b] = [meanInterval(first), meanInterval(second)];
  return a.low > b.high ? 'for' : a.high < b.low ? 'against' : 'within noise';
}

const order: readonly Verdict[] = ['for', 'within noise', 'not measured', 'against'];

/** All of several statements: as good as the worst of them. */
export function all(...verdicts: readonly Verdict[]): Verdict {
  return order[Math.max(...verdicts.map((verdict) => order.indexOf(verdict)))] ?? 'not measured';
}

/** At least one of several statements: as good as the best of them. */
export function any(...verdicts: readonly Verdict[]): Verdict {
  return order[Math.min(...verdicts.map((verdict) => order.indexOf(verdict)))] ?? 'not measured';
}

/** A number for the page: three significant digits, or as many as are asked for. */
export function shown(value: number, digits = 3): string {
  if (!Number.isFinite(value)) return '–';
  return String(Number(value.toPrecision(digits)));
}

/** The mean of values and their 95 % interval, as text. */
export function shownInterval(values: readonly number[], digits = 3): string {
  if (values.length === 0) return '–';
  const { value, low, high } = meanInterval(values);
  if (values.length === 1) return shown(value, digits);
  return `${shown(value, digits)} (${shown(low, digits)} to ${shown(high, digits)})`;
}

/** A finding on whether values are above 0; `what` says what they are. */
export function positiveFinding(statement: string, what: string, values: readonly number[]): Finding {
  return { statement, verdict: positive(values), evidence: `${what}: ${shownInterval(values)}, ${seeds(values)}` };
}

/** How many seeds there are. */
export function seeds(values: readonly number[]): string {
  return `${values.length} ${values.length === 1 ? 'seed' : 'seeds'}`;
}
