import type { Scalar, Tensor1D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';

/** Differentiable, one entry a transition. */
export interface SurrogateInput {
  logProb: Tensor1D;
  /** ln π(a|s) − ln π_old(a|s), plus the policy's `ratioShift` if it has one. */
  logRatio: Tensor1D;
  advantages: Tensor1D;
}

/** −mean(A · ln π): its gradient is the score-function estimator, exact only where the data are on-policy (DDPO_SF, arXiv 2305.13301 §4.3). */
export function scoreFunctionLoss({ logProb, advantages }: SurrogateInput): Scalar {
  return advantages.mul(logProb).mean<Scalar>().neg();
}

/** mean(max(−Aρ, −A·clip(ρ, 1 ± ε))): PPO's clipped objective (arXiv 1707.06347 eq. 7), one ratio a denoising step (DDPO_IS, §4.3). */
export function clippedRatioLoss({ logRatio, advantages }: SurrogateInput, clipRange: number): Scalar {
  const ratio = logRatio.exp();
  const unclipped = advantages.mul(ratio);
  const clipped = advantages.mul(ratio.clipByValue(1 - clipRange, 1 + clipRange));
  // min of the gains = max of the losses; at a tie the gradient goes through the unclipped term
  return tf.minimum(unclipped, clipped).mean<Scalar>().neg();
}
