import type { LossInput } from '../algorithm.js';
import type { Rows } from '../rows.js';
import type { Surrogate } from './surrogate.js';

/**
 * The mask of Flow-DPPO (arXiv 2606.11025): Aρ, unless the step's exact divergence D = KL(π_old ‖ π_θ) has passed δ and
 * the update would take it further from π_old (A > 0 and ρ > 1, or A < 0 and ρ < 1). Updates that lead back stay.
 *
 * D is a number of the step, not of the sample. The ratio, of which a clip range cuts off both ends, is a sample whose
 * logarithm has the mean −D and the standard deviation √(2D/N) in N dimensions: so a clip range must be tuned to the size
 * of the pictures, and δ need not be.
 */
export function divergenceSurrogate(threshold: number): Surrogate {
  const beyond = ({ logRatio, advantages, displacement }: LossInput): Rows =>
    displacement!.divergence.sub(threshold).step().mul(advantages.mul(logRatio).step());
  return {
    displacement: true,
    isScoreFunctionAtFirst: true,
    objective: (input) => input.advantages.mul(input.logRatio.exp()).mul(beyond(input).neg().add(1)),
    beyond,
  };
}
