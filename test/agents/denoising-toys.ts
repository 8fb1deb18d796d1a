import { DenoisingPolicy, type DenoisingPolicyOptions } from '../../agents/index.js';
import type { NdArray } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import type { RewardBatch } from '../../core/reward.js';
import { DDIMScheduler, flooredCosineBetas } from '../../diffusion/index.js';
import { Denoising, type DenoisingObservation, type DenoisingOptions } from '../../envs/denoising/index.js';
import type { VectorEnv } from '../../envs/vector-env.js';
import { PerPixel } from './per-pixel.js';

/** How red a picture is, or how little, as its prompt says: about −3 to 3. */
export function redness({ images, prompts }: RewardBatch): number[] {
  const size = images.data.length / prompts.length;
  return prompts.map((prompt, i) => {
    let sum = 0;
    for (let k = 0; k < size; k += 3) sum += images.data[i * size + k]! / 255;
    return ((prompt === 'more' ? 3 : -3) * sum) / size;
  });
}

/** A chain whose latents keep to about −3..3 under any small network: velocities, and a schedule that does not end in pure noise. */
export function shortChain(steps = 4): DDIMScheduler {
  const sampler = DDIMScheduler.fromConfig({
    ...{ trained_betas: flooredCosineBetas(1000), prediction_type: 'v_prediction' },
    ...{ timestep_spacing: 'trailing', clip_sample: false },
  });
  sampler.setTimesteps(steps);
  return sampler;
}

export type DenoisingEnv = VectorEnv<DenoisingObservation, NdArray>;

/** Denoising of 4×4 pictures. */
export function tinyDenoising(options: Partial<DenoisingOptions> = {}): DenoisingEnv {
  return new Denoising({
    ...{ timesteps: shortChain().timesteps, latentShape: [4, 4, 3], prompts: ['more', 'less'], reward: redness },
    ...{ numEnvs: 8, seed: 5 },
    ...options,
  }) as unknown as DenoisingEnv;
}

/** A policy of 12 weights for it. */
export function tinyPolicy(options: DenoisingPolicyOptions = {}): DenoisingPolicy {
  return new DenoisingPolicy({ unet: new PerPixel(new Random('pixels')), sampler: shortChain() }, options);
}
