import { Denoising, type DenoisingOptions } from './denoising.js';

/**
 * Denoising as a problem of one step (Black et al. 2024, §4.2): the state is the prompt, with the latents x_T and the noise
 * seed that the chain is made from, the action x_0, and the reward r(x_0, z). Reward-weighted regression is policy search in
 * this one. Prompts, x_T and noise seeds are those of {@link Denoising} with the same options, so that a policy which
 * takes all steps by itself has the same returns.
 * @throws GymError E_CONFIG that names an option that is wrong.
 */
export function oneStepDenoising(options: DenoisingOptions): Denoising {
  return new Denoising({ ...options, timesteps: options.timesteps?.slice(0, 1) });
}
