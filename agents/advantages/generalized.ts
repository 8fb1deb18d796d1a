import { GymError } from '../../core/errors.js';
import type { Awaitable } from '../../core/types.js';
import type { Transitions } from '../transitions.js';
import { standardize } from './batch.js';
import type { AdvantageEstimator, Advantages } from './estimator.js';

/** One environment's consecutive transitions, for {@link generalizedAdvantages}. */
export interface Sequence {
  rewards: ArrayLike<number>;
  /** V(s_t), one a transition. */
  values: ArrayLike<number>;
  /** V of the state after each transition; 0 where the episode terminated there. */
  nextValues: ArrayLike<number>;
  /** 1 where an episode ended (terminated or truncated) with the transition: nothing flows back over it. */
  ends: ArrayLike<number>;
}

/**
 * Generalized advantage estimation (arXiv 1506.02438 eq. 16): A_t = δ_t + γλ A_{t+1}, δ_t = r_t + γ V(s_{t+1}) − V(s_t).
 * With λ = 1 and values of 0 it is the discounted reward-to-go.
 */
export function generalizedAdvantages(sequence: Sequence, gamma: number, lambda: number): Float64Array {
  const { rewards, values, nextValues, ends } = sequence;
  const advantages = new Float64Array(rewards.length);
  let next = 0;
  for (let t = rewards.length - 1; t >= 0; t--) {
    const delta = rewards[t]! + gamma * nextValues[t]! - values[t]!;
    next = delta + (ends[t] ? 0 : gamma * lambda * next);
    advantages[t] = next;
  }
  return advantages;
}

export interface GeneralizedOptions<O> {
  /** Discount of future rewards, 0 to 1. */
  gamma: number;
  /** λ, 0 to 1. */
  lambda: number;
  /** To mean 0 and deviation 1 over the rollout. */
  standardize: boolean;
  /** V(s), for bootstrapping where a rollout was cut or an episode truncated. */
  values(observations: readonly O[]): Awaitable<ArrayLike<number>>;
}

/**
 * Generalized advantages of every transition, with targets for the critic: A_t + V(s_t) before standardising. The values
 * of the states are those that the policy wrote beside its actions (`extras.value`).
 */
export class GeneralizedAdvantages<O> implements AdvantageEstimator<O> {
  readonly #options: GeneralizedOptions<O>;

  constructor(options: GeneralizedOptions<O>) {
    this.#options = options;
  }

  /** @throws GymError E_STATE when the rollout holds no `value`. */
  async estimate(t: Transitions<O, unknown>): Promise<Advantages> {
    const { gamma, lambda } = this.#options;
    const values = t.extras.value;
    if (!(values instanceof Float32Array))
      throw new GymError('E_STATE', 'learn: the rollout holds no `value`, which generalized advantages need.');
    const cut = t.successors.flatMap((observation, i) => (observation === undefined ? [] : [{ observation, i }]));
    const bootstrap =
      cut.length === 0 ? [] : await this.#options.values(cut.map(({ observation }) => observation as O));
    const successorValue = new Float64Array(t.spans.length);
    cut.forEach(({ i }, k) => {
      successorValue[i] = bootstrap[k]!;
    });
    const advantages = new Float64Array(t.rewards.length);
    const targets = new Float32Array(t.rewards.length);
    t.spans.forEach(({ first, end }, i) => {
      const own = values.subarray(first, end);
      const nextValues = Float64Array.from(own, (_, k) => (k + 1 < own.length ? own[k + 1]! : successorValue[i]!));
      const rewards = t.rewards.subarray(first, end);
      const ends = new Uint8Array(own.length);
      ends[own.length - 1] = 1;
      const result = generalizedAdvantages({ rewards, values: own, nextValues, ends }, gamma, lambda);
      advantages.set(result, first);
      result.forEach((a, k) => {
        targets[first + k] = a + own[k]!;
      });
    });
    return { advantages: this.#options.standardize ? standardize(advantages) : advantages, targets };
  }
}
