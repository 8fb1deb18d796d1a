import { meanAndStd } from '../../core/statistics.js';
import type { Transitions } from '../transitions.js';
import type { AdvantageEstimator, Advantages } from './estimator.js';
import { generalizedAdvantages } from './generalized.js';

/** The discounted sum of the rewards from a transition to the end of its episode; complete episodes only, no critic. */
export class RewardToGo implements AdvantageEstimator {
  readonly #gamma: number;
  readonly #standardize: boolean;

  /** @param options `gamma`: discount, 0 to 1; `standardize`: to mean 0 and deviation 1 over the rollout. */
  constructor(options: { gamma: number; standardize: boolean }) {
    this.#gamma = options.gamma;
    this.#standardize = options.standardize;
  }

  estimate(t: Transitions<unknown, unknown>): Advantages {
    const advantages = new Float64Array(t.rewards.length).fill(Number.NaN);
    const zeros = new Float64Array(t.rewards.length);
    const all: number[] = [];
    for (const { first, end, complete } of t.spans) {
      if (!complete) continue;
      const values = zeros.subarray(first, end);
      const rewards = t.rewards.subarray(first, end);
      const toGo = generalizedAdvantages({ rewards, values, nextValues: values, ends: values }, this.#gamma, 1);
      advantages.set(toGo, first);
      for (const value of toGo) all.push(value);
    }
    if (!this.#standardize) return { advantages };
    const { mean, std } = meanAndStd(all);
    return { advantages: advantages.map((a) => (a - mean) / (std + 1e-8)) };
  }
}
