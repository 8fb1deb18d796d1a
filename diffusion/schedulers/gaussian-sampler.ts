import type { Tensor4D } from '@tensorflow/tfjs';

/** The numbers of one transition of a {@link GaussianSampler}. A sampler may keep more in it for its own `mean`. */
export interface GaussianStep {
  /** The timestep at which the network is asked. */
  readonly timestep: number;
  /** Standard deviation of the step; 0 for a deterministic one, which has no log-probability. */
  readonly sigma: number;
  /**
   * How strongly the mean follows the network's output, |∂μ/∂output|; −dt for an Euler step of flow matching. GRPO-Guard
   * evens out by it what the steps of a chain contribute to a gradient.
   */
  readonly gain?: number;
}

/**
 * A way of sampling in which every step is a Gaussian: p_θ(x_{t−1} | x_t) = N(μ_θ(x_t, t), σ_t² I).
 *
 * This is all that a policy needs of a scheduler, so that DDIM, DDPM and the stochastic differential equation of flow
 * matching can each be fine-tuned by the same agents.
 */
export interface GaussianSampler<Step extends GaussianStep = GaussianStep> {
  /** The timesteps of the chain, from noise to sample. */
  readonly timesteps: readonly number[];
  /** Standard deviation of the first latents. */
  readonly initNoiseSigma: number;
  /** The transition that starts at a timestep. @param options `eta`: the share of the sampler's full noise, 0 to 1. */
  coefficients(timestep: number, options?: { readonly eta?: number | undefined }): Step;
  /**
   * μ of a batch of transitions, which may be at different timesteps; differentiable in the network's output.
   * @param rows one entry a row of the batch.
   * @returns a tensor that the caller frees, and others that a sampler may add.
   */
  mean(modelOutput: Tensor4D, sample: Tensor4D, rows: readonly Step[]): { mean: Tensor4D };
}
