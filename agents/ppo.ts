import type { Scalar } from '@tensorflow/tfjs';
import type { Random } from '../core/random.js';
import type { Metrics } from '../core/types.js';
import type { Policy, Prepared } from './policy.js';
import { PolicyGradient, type PolicyGradientOptions } from './policy-gradient.js';
import { checkSchedule, type Schedule, scheduled } from './schedule.js';
import { clippedRatioLoss, type SurrogateInput } from './surrogates.js';

export interface PpoOptions extends PolicyGradientOptions {
  /**
   * Half-width of the trust region of the ratio. Default 1e-3. A denoising policy's log-probability is a mean over the latents'
   * dimensions, so its ratios stay close to 1, the closer the larger the latents: 1e-4 suits 4×64×64, 0.2 an ordinary policy.
   */
  clipRange?: Schedule;
}

/**
 * Proximal policy optimisation (arXiv 1707.06347); on a denoising policy it is DDPO_IS (arXiv 2305.13301 §4.3):
 * ∇J = E[Σ_t ρ_t ∇ ln p_θ(x_{t−1} | x_t, c) · r(x_0, c)], one ratio ρ_t a denoising step, clipped, so that a rollout serves several updates.
 */
export class Ppo<O, A, P extends Prepared = Prepared> extends PolicyGradient<O, A, P> {
  protected readonly importanceSampled = true;
  readonly #clipRange: Schedule;

  constructor(policy: Policy<O, A, P>, { clipRange = 1e-3, ...options }: PpoOptions, random: Random) {
    super('ppo', policy, options, random);
    checkSchedule('ppo.clipRange', clipRange, 0, true);
    this.#clipRange = clipRange;
  }

  protected surrogate(input: SurrogateInput): Scalar {
    return clippedRatioLoss(input, scheduled(this.#clipRange, this.progress));
  }

  /** `approxKl` = ½ E[(ln ρ)²] and the share of ratios outside the clip range, as in ddpo-pytorch. */
  protected override ratioMetrics(logRatio: Float32Array): Metrics {
    const clipRange = scheduled(this.#clipRange, this.progress);
    let squares = 0;
    let clipped = 0;
    for (const value of logRatio) {
      squares += value * value;
      if (Math.abs(Math.expm1(value)) > clipRange) clipped++;
    }
    return {
      'train/approxKl': squares / 2 / logRatio.length,
      'train/clipFraction': clipped / logRatio.length,
      'train/clipRange': clipRange,
    };
  }
}
