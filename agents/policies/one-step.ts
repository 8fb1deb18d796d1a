import type { NdArray } from '../../core/ndarray.js';
import type { DenoisingObservation } from '../../envs/denoising/denoising.js';
import type { Decision } from '../agent.js';
import type { SampleOptions } from '../policy.js';
import { DenoisingPolicy } from './denoising.js';

/**
 * p_θ(x_0 | z) as a policy, for `OneStepDenoising-v0`: a decision is the whole chain from x_T to x_0, with the noise that
 * each of its steps has in `Denoising-v0`. What probability a finished sample has is not known, so that no policy gradient
 * can train it; agents can that learn from samples and their rewards alone.
 */
export class OneStepDenoisingPolicy extends DenoisingPolicy {
  readonly unscored = true;

  override async sample(
    observations: readonly DenoisingObservation[],
    options: Pick<SampleOptions, 'explore'>,
  ): Promise<Decision<NdArray>> {
    const { timesteps } = this.sampler;
    let latents: readonly NdArray[] = observations.map((observation) => observation.latents);
    for (const [step, timestep] of timesteps.entries()) {
      const present = observations.map((observation, i) => ({
        ...observation,
        ...{ step, timestep, latents: latents[i] as NdArray<Float32Array> },
      }));
      latents = (await super.sample(present, options)).actions;
    }
    return { actions: [...latents] };
  }
}
