import { GymError } from '../../core/errors.js';
import type { LossInput } from '../algorithm.js';
import { type Schedule, scheduled } from '../optimization/schedule.js';
import type { Rows } from '../rows.js';
import { beyondClip } from './clip.js';
import type { Surrogate } from './surrogate.js';

/**
 * The ratio normalisation of GRPO-Guard (arXiv 2510.22319). The logarithm of a Gaussian step's ratio has the mean
 * −D, D = ‖Δμ‖² / 2σ², and a spread that goes with 1/σ: a clip range around 1 then cuts gains sooner than losses, and
 * the quiet last steps of a chain sooner than the first ones. So the mean is taken away and σ multiplied in,
 * ρ = exp((ln ρ + D) σ), PPO's clip is put on that, and a step's part of the gradient divided by its gain, which leaves
 * all steps alike.
 */
export function guardSurrogate(clipRange: Schedule): Surrogate {
  const logRatioOf = ({ logRatio, displacement }: LossInput): Rows =>
    logRatio.add(displacement!.divergence).mul(displacement!.sigma);
  return {
    displacement: true,
    isScoreFunctionAtFirst: false,
    objective: (input, progress) => {
      const { advantages, displacement } = input;
      if (displacement!.gain === undefined)
        throw new GymError(
          'E_CONFIG',
          'surrogate guard: the sampler does not say the `gain` of its steps; give it in coefficients(), or use another surrogate.',
        );
      const clip = scheduled(clipRange, progress);
      const ratio = logRatioOf(input).exp();
      const clipped = advantages.mul(ratio.clipByValue(1 - clip, 1 + clip));
      return advantages.mul(ratio).minimum(clipped).div(displacement!.gain);
    },
    beyond: (input, progress) => beyondClip(logRatioOf(input), scheduled(clipRange, progress)),
  };
}
