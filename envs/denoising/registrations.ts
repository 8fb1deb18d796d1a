import type { Registration } from '../registration.js';
import type { Denoising, DenoisingOptions } from './denoising.js';

declare module '../registration.js' {
  interface KnownVectorEnvs {
    'Denoising-v0': { env: Denoising; options: Omit<DenoisingOptions, 'numEnvs'> };
    'OneStepDenoising-v0': { env: Denoising; options: Omit<DenoisingOptions, 'numEnvs'> };
  }
}

/** The options of both. */
const options = {
  timesteps: "the scheduler's timesteps, one a step",
  latentShape: '[height, width, channels] of the latents',
  initNoiseSigma: 'standard deviation of the first latents (default 1)',
  decode: 'latents to uint8 images (default: latents of 3 or 1 channels are the image, -1..1)',
  prompts: 'a list of prompts, or promptList, promptFile, promptGenerator',
  reward: 'a function of images and prompts, or an object with `score`',
  seed: 'fixes prompts and noise of all episodes (default 0)',
  groupSize: 'so many consecutive episodes have one prompt, to be compared with each other (default 1: no groups)',
  sharedNoise: 'whether the episodes of a group start from the same latents (default: their own)',
  rewardTimeoutMs: 'milliseconds after which a pending reward counts as failed (default: none)',
} as const;

/** What the registry is told of denoising. Its code is loaded when it is made. */
export const denoising: readonly Registration[] = [
  {
    id: 'Denoising-v0',
    description: 'fine-tune a diffusion model: the action is the next latents, the reward that of the finished image',
    options,
    createVec: async (numEnvs, options) => {
      const { Denoising } = await import('./denoising.js');
      return new Denoising({ ...(options as unknown as DenoisingOptions), numEnvs });
    },
  },
  {
    id: 'OneStepDenoising-v0',
    description:
      'the same as a problem of one step: the action is the finished latents, the reward that of their image',
    options: { ...options, timesteps: "the scheduler's timesteps; the first of them is the one that is observed" },
    createVec: async (numEnvs, options) => {
      const { oneStepDenoising } = await import('./one-step.js');
      return oneStepDenoising({ ...(options as unknown as DenoisingOptions), numEnvs });
    },
  },
];
