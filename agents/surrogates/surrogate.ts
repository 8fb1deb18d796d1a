import type { LossInput } from '../algorithm.js';
import type { Rows } from '../rows.js';

/**
 * The policy's own term of a loss on ratios ρ = π_θ(a|s) / π_old(a|s), in a form that serves several updates on one
 * rollout: each keeps the policy from running away from the one that sampled, in its own way.
 */
export interface Surrogate {
  /** Whether it looks at {@link LossInput.displacement}, which only policies of Gaussian steps have. */
  readonly displacement: boolean;
  /** Whether its gradient is that of the score function, A ∇ ln π, where the policy has not moved yet. */
  readonly isScoreFunctionAtFirst: boolean;
  /** What is to be made large, one entry a row; differentiable. */
  objective(input: LossInput, progress: number): Rows;
  /** 1 for rows that lie beyond what it allows, else 0. Its mean is logged as the clip fraction. */
  beyond(input: LossInput, progress: number): Rows;
}
