import type { Scalar } from '@tensorflow/tfjs';
import type { Random } from '../core/random.js';
import type { Policy, Prepared } from './policy.js';
import { PolicyGradient, type PolicyGradientOptions } from './policy-gradient.js';
import { type SurrogateInput, scoreFunctionLoss } from './surrogates.js';

export type ReinforceOptions = Omit<PolicyGradientOptions, 'innerEpochs' | 'updates'>;

/**
 * REINFORCE (Williams 1992); on a denoising policy it is DDPO_SF (arXiv 2305.13301 §4.3):
 * ∇J = E[Σ_t ∇ ln p_θ(x_{t−1} | x_t, c) · r(x_0, c)]. The estimator is exact on-policy only, so a rollout gives exactly one update.
 */
export class Reinforce<O, A, P extends Prepared = Prepared> extends PolicyGradient<O, A, P> {
  protected readonly importanceSampled = false;

  constructor(policy: Policy<O, A, P>, options: ReinforceOptions, random: Random) {
    super('reinforce', policy, { ...options, innerEpochs: 1, updates: 1 }, random);
  }

  protected surrogate(input: SurrogateInput): Scalar {
    return scoreFunctionLoss(input);
  }
}
