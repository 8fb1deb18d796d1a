import { mean, standardDeviation } from '../../core/statistics.js';
import type { Metrics } from '../../core/types.js';
import type { EvaluationRecord } from '../evaluation/index.js';
import { number } from '../progress.js';
import type { WatchRecord } from '../watch/index.js';
import type { Finding } from './findings.js';

const last = <T>(list: readonly T[], count: number) => list.slice(-count);

/** What the log says of the learning. */
export function judgeMetrics(metrics: readonly Metrics[]): Finding[] {
  const findings: Finding[] = [];
  const values = (key: string, of = metrics) => of.flatMap((m) => m[key] ?? []);
  const spreads = values('reward/std', last(metrics, 3));
  if (spreads.length === 3 && spreads.every((spread) => spread === 0))
    findings.push({
      name: 'equal-rewards',
      text: 'the rewards of the last three epochs were all equal, so nothing could be learned from them.',
    });
  const ratioError = Math.max(0, ...values('check/ratioError').filter((value) => !Number.isNaN(value)));
  if (ratioError > 1e-3)
    findings.push({
      name: 'ratio',
      text: `samples that were scored again by the weights that made them had ratios as far as ${number(ratioError)} from 1; sampling and training do not compute the same probability.`,
    });
  const clipped = values('train/clipFraction', last(metrics, Math.ceil(metrics.length / 5)));
  if (clipped.length > 0 && mean(clipped) > 0.9)
    findings.push({
      name: 'clipped',
      text: `${Math.round(100 * mean(clipped))} % of the ratios are clipped, which have no gradient: lower the learning rate, or raise the clip range.`,
    });
  const skipped = values('train/skippedUpdates').reduce((sum, value) => sum + value, 0);
  if (skipped > 0)
    findings.push({
      name: 'skipped',
      text: `${skipped} updates were left out, because their loss or gradient was not finite.`,
    });
  return findings;
}

/** Whether training has made the reward of the fixed samples worse, by more than chance. */
export function judgeReward(before: EvaluationRecord, after: EvaluationRecord): Finding[] {
  const count = Math.min(before.samples.length, after.samples.length);
  const changes = Array.from({ length: count }, (_, i) => after.samples[i]!.reward - before.samples[i]!.reward);
  const change = mean(changes);
  const se = standardDeviation(changes, 1) / Math.sqrt(count);
  if (!(change < 0 && -change > 3 * se)) return [];
  return [
    {
      name: 'reward',
      text: `the mean reward of the fixed samples fell from ${number(before.mean)} to ${number(after.mean)}: training has made the agent worse at what it is trained for.`,
    },
  ];
}

/** What the watch has seen. */
export function judgeWatch(records: readonly WatchRecord[]): Finding[] {
  const [start, end] = [records[0], records.at(-1)];
  if (start === undefined || end === undefined || start === end) return [];
  const findings: Finding[] = [];
  const fallen = (start.guard ?? Number.NaN) - (end.guard ?? Number.NaN);
  // Where all samples were right at the start they had no spread: what a few wrong ones make of it counts as well.
  const spread = Math.max(start.guardStd ?? Number.NaN, end.guardStd ?? Number.NaN);
  // Without a rise of the reward it takes more, since that is no over-optimisation, but a model that breaks.
  const rose = end.reward > start.reward;
  if (fallen > (rose ? 0.5 : 1) * spread)
    findings.push({
      name: 'guard',
      text: `the trained reward ${rose ? 'rose' : 'went'} from ${number(start.reward)} to ${number(end.reward)} while the guard, which is not trained on, fell from ${number(start.guard)} to ${number(end.guard)}.`,
    });
  if (end.diversity < 0.6 * start.diversity)
    findings.push({
      name: 'diversity',
      text: `two pictures of one prompt differ by ${number(end.diversity)} on average, and by ${number(start.diversity)} before training: the model says the same again and again.`,
    });
  return findings;
}
