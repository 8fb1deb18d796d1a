import { mean, standardDeviation } from '../core/statistics.js';
import type { Metrics } from '../core/types.js';
import type { Episode } from './collect/index.js';

/** The named terms of the episodes' rewards (`info.rewardTerms` of the last step); without NaN, which says that a term does not apply. */
export function rewardTerms(episodes: readonly Episode[]): Map<string, number[]> {
  const terms = new Map<string, number[]>();
  for (const { info } of episodes)
    for (const [name, value] of Object.entries((info.rewardTerms ?? {}) as Record<string, number>)) {
      if (!terms.has(name)) terms.set(name, []);
      if (!Number.isNaN(value)) terms.get(name)!.push(value);
    }
  return terms;
}

/** Mean, spread and range of an epoch's rewards, and the mean of each named term. */
export function rewardMetrics(episodes: readonly Episode[]): Metrics {
  if (episodes.length === 0) return {};
  const rewards = episodes.map((episode) => episode.reward);
  const metrics: Metrics = {
    'reward/mean': mean(rewards),
    'reward/std': standardDeviation(rewards),
    'reward/min': Math.min(...rewards),
    'reward/max': Math.max(...rewards),
    'episode/length': mean(episodes.map((episode) => episode.length)),
  };
  for (const [name, values] of rewardTerms(episodes)) metrics[`term/${name}`] = mean(values);
  return metrics;
}

/** How many episodes the rolling mean is of, at most. */
export const rollingWindow = 100;

/** The rewards of the episodes that ended last, at most {@link rollingWindow}, with those of an epoch added. */
export function recentRewards(before: readonly number[], episodes: readonly Episode[]): readonly number[] {
  return [...before, ...episodes.slice(-rollingWindow).map((episode) => episode.reward)].slice(-rollingWindow);
}

/** The mean of the last rewards. An epoch in which no episode ended has the one from before; there is none before the first. */
export function rollingMetrics(recent: readonly number[]): Metrics {
  return recent.length === 0 ? {} : { 'reward/rolling': mean(recent) };
}
