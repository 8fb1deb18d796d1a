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

/** The way from samples to noise, on which a denoising network is trained. */
export interface ForwardProcess {
  /** The timesteps of training, from the least noise to the most. */
  readonly trainTimesteps: readonly number[];
  /** x_t of samples x_0 and standard normal noise, one timestep a row. The caller frees it. */
  addNoise(original: Tensor4D, noise: Tensor4D, timesteps: readonly number[]): Tensor4D;
  /** What the network learns to say of that x_t: by the kind of model the noise, x_0 or a velocity. The caller frees it. */
  target(original: Tensor4D, noise: Tensor4D, timesteps: readonly number[]): Tensor4D;
}

/** A scheduler of diffusers: how a model was trained and how it is sampled. Layout of the tensors: any, batch first. */
export interface Scheduler<Step extends GaussianStep = GaussianStep> extends GaussianSampler<Step>, ForwardProcess {
  /** What `scheduler_config.json` says, without the keys that the class does not know. */
  readonly config: { readonly num_train_timesteps: number };
  /** Chooses a chain of `count` steps; before that, `timesteps` is empty. */
  setTimesteps(count: number): void;
  /**
   * The mean of the transition and the predicted x_0, differentiable in `modelOutput` and `sample`.
   * @param rows one entry a row of the batch; rows may be at different timesteps.
   * @returns tensors that the caller frees.
   */
  mean(modelOutput: Tensor4D, sample: Tensor4D, rows: readonly Step[]): { mean: Tensor4D; predOriginal: Tensor4D };
  /** One step of the whole batch; `noise` (standard normal, of the sample's shape) is needed where sigma > 0. */
  step(
    modelOutput: Tensor4D,
    timestep: number,
    sample: Tensor4D,
    options?: { readonly eta?: number; readonly noise?: Tensor4D },
  ): { prevSample: Tensor4D; predOriginal: Tensor4D };
  /** x̂_0 from the network's output; one timestep a row. */
  predOriginal(modelOutput: Tensor4D, sample: Tensor4D, timesteps: readonly number[]): Tensor4D;
  /** Writes `scheduler_config.json` as Python's diffusers reads it. */
  save(folder: string): Promise<void>;
}
