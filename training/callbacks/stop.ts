import { GymError } from '../../core/errors.js';
import type { Snapshot } from '../../core/snapshot.js';
import type { Callback } from '../train.js';

/** What a callback watches among an epoch's metrics. */
export interface Watched {
  /** The metric's name. An epoch that lacks it does not count. */
  readonly metric: string;
}

const rounded = (value: number) => String(Number(value.toPrecision(6)));

/** What a metric is called in a sentence. */
function named(metric: string): string {
  return metric === 'reward/rolling' ? 'the mean reward of the last episodes (reward/rolling)' : metric;
}

/**
 * Ends a run once a metric has reached a threshold. The rolling mean counts only when 100 episodes have ended: that of the
 * first few says little.
 * @param threshold in the unit of the reward.
 */
export function stopAtReward<O, A>(threshold: number, { metric }: Watched): Callback<O, A> {
  let highest: number | undefined;
  return {
    name: 'stopAtReward',
    epoch: (_, metrics) => {
      const value = metrics[metric];
      const few = metric === 'reward/rolling' && (metrics.episodes ?? 0) < 100;
      if (value !== undefined && !few && !(highest !== undefined && highest >= value)) highest = value;
      return undefined;
    },
    stop: () =>
      highest !== undefined && highest >= threshold
        ? `${named(metric)} has reached ${rounded(highest)}, and ${rounded(threshold)} were asked for (stopAtReward)`
        : undefined,
    state: () => ({ metric, highest: highest ?? null }),
    restore: (state) => {
      const saved = state as { metric: string; highest: number | null };
      if (saved.metric === metric) highest = saved.highest ?? undefined;
    },
  };
}

/**
 * Ends a run once a metric has not risen above its best for several epochs in a row that have it: evaluations, for
 * `eval/mean`.
 * @param patience how many, at least 1.
 * @throws GymError E_VALUE when that is no whole number from 1.
 */
export function stopWithoutImprovement<O, A>(
  patience: number,
  { metric }: Watched = { metric: 'eval/mean' },
): Callback<O, A> {
  if (!Number.isInteger(patience) || patience < 1)
    throw new GymError(
      'E_VALUE',
      `stopWithoutImprovement: patience must be a whole number from 1, actual value ${patience}.`,
    );
  let best: number | undefined;
  let since = 0;
  return {
    name: 'patience',
    epoch: (_, metrics) => {
      const value = metrics[metric];
      if (value === undefined) return undefined;
      if (best === undefined ? !Number.isNaN(value) : value > best) [best, since] = [value, 0];
      else since++;
      return undefined;
    },
    stop: () =>
      since >= patience
        ? `${metric} has not ${best === undefined ? 'been a number' : `risen above ${rounded(best)}`} in the last ${since} evaluations (patience)`
        : undefined,
    state: (): Snapshot => ({ metric, best: best ?? null, since }),
    restore: (state) => {
      const saved = state as { metric: string; best: number | null; since: number };
      if (saved.metric === metric) [best, since] = [saved.best ?? undefined, saved.since];
    },
  };
}
