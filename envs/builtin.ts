import type { BanditOptions } from './classic/bandit.js';
import type { CartPoleOptions } from './classic/cart-pole.js';
import type { ProbeKind, ProbeOptions } from './classic/probe.js';
import type { DenoisingOptions } from './denoising/index.js';
import type { Registration } from './registration.js';

const random = "'numpy': resets equal Gymnasium's for the same seed (default 'seedrandom')";

const probe = (id: string, kind: ProbeKind, description: string): Registration => ({
  id,
  description,
  options: { random, continuous: 'actions are float32 [1] in -1..1 instead of indices (default false)' },
  create: async (options) => {
    const { Probe } = await import('./classic/probe.js');
    return new Probe({ ...(options as Omit<ProbeOptions, 'kind'>), kind });
  },
});

/** The environments of this package; each is loaded when it is made. */
export const builtin: readonly Registration[] = [
  {
    id: 'Denoising-v0',
    description: 'fine-tune a diffusion model: the action is the next latents, the reward that of the finished image',
    options: {
      timesteps: "the scheduler's timesteps, one a step",
      latentShape: '[height, width, channels] of the latents',
      initNoiseSigma: 'standard deviation of the first latents (default 1)',
      decode: 'latents to uint8 images (default: 3-channel latents are the image, -1..1)',
      prompts: 'a list of prompts, or promptList, promptFile, promptGenerator',
      reward: 'a function of images and prompts, or an object with `score`',
      seed: 'fixes prompts and noise of all episodes (default 0)',
      rewardTimeoutMs: 'milliseconds after which a pending reward counts as failed (default: none)',
    },
    createVec: async (numEnvs, options) => {
      const { Denoising } = await import('./denoising/index.js');
      return new Denoising({ ...(options as unknown as DenoisingOptions), numEnvs });
    },
  },
  {
    id: 'CartPole-v1',
    description: 'balance a pole on a cart: 1 a step, until it falls or 500 steps',
    rewardThreshold: 475,
    maxEpisodeSteps: 500,
    options: { random, suttonBartoReward: 'reward 0 a step and -1 for the fall (default false)' },
    create: async (options) => {
      const { CartPole } = await import('./classic/cart-pole.js');
      return new CartPole(options as CartPoleOptions);
    },
  },
  {
    id: 'Bandit-v0',
    description: 'one step: choose one of k arms',
    options: { random, arms: 'mean reward of each arm (default [0, 0.5, 1])', std: 'of the reward (default 0)' },
    create: async (options) => {
      const { Bandit } = await import('./classic/bandit.js');
      return new Bandit(options as BanditOptions);
    },
  },
  probe('ProbeConstant-v0', 'constant', 'debugging: one step, reward 1; is the value learned at all?'),
  probe('ProbeObservation-v0', 'observation', 'debugging: one step, reward = observation; does the value see it?'),
  probe('ProbeDiscount-v0', 'discount', 'debugging: two steps, reward at the end; is credit passed back?'),
  probe('ProbeAction-v0', 'action', 'debugging: one step, one action is right; does the policy learn?'),
  probe('ProbePolicy-v0', 'policy', 'debugging: one step, the observation says which action is right'),
];
