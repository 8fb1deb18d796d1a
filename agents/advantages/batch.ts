import { meanAndStd } from '../../core/statistics.js';
import type { Transitions } from '../transitions.js';
import { type AdvantageEstimator, type Advantages, episodeReturns } from './estimator.js';

/** (r − mean) / (std + 1e-8) over the whole batch (DDPO, arXiv 2305.13301 §5; ddpo-pytorch without its tracker). */
export function standardize(values: ArrayLike<number>): Float64Array {
  const { mean, std } = meanAndStd(values);
  return Float64Array.from(values, (r) => (r - mean) / (std + 1e-8));
}

/** The episode's return, standardised over the episodes of the rollout. */
export class BatchAdvantages implements AdvantageEstimator {
  estimate(transitions: Transitions<unknown, unknown>): Advantages {
    const { returns, spread } = episodeReturns(transitions);
    return spread(standardize(returns));
  }
}

/** The episode's return as it is. */
export class EpisodeReturns implements AdvantageEstimator {
  estimate(transitions: Transitions<unknown, unknown>): Advantages {
    const { returns, spread } = episodeReturns(transitions);
    return spread(returns);
  }
}
