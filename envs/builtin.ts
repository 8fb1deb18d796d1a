import type { AcrobotOptions } from './classic/acrobot.js';
import type { BanditOptions } from './classic/bandit.js';
import type { CartPoleOptions } from './classic/cart-pole.js';
import type { IdentityOptions } from './classic/identity.js';
import type { MountainCarOptions } from './classic/mountain-car.js';
import type { PendulumOptions } from './classic/pendulum.js';
import type { ProbeKind, ProbeOptions } from './classic/probe.js';
import type { DenoisingOptions } from './denoising/index.js';
import type { Registration } from './registration.js';

const render = "what render() gives: 'rgb' (default, where there is a picture) or 'text'";
const random = "'numpy': resets equal Gymnasium's for the same seed (default 'seedrandom')";
const goalVelocity = 'the least velocity with which the goal counts (default 0)';

const probe = (id: string, kind: ProbeKind, description: string): Registration => ({
  id,
  description,
  options: { random, render, continuous: 'actions are float32 [1] in -1..1 instead of indices (default false)' },
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
    options: { random, render, suttonBartoReward: 'reward 0 a step and -1 for the fall (default false)' },
    create: async (options) => {
      const { CartPole } = await import('./classic/cart-pole.js');
      return new CartPole(options as CartPoleOptions);
    },
  },
  {
    id: 'MountainCar-v0',
    description: 'swing a weak car up a hill: -1 a step, until the flag or 200 steps',
    rewardThreshold: -110,
    maxEpisodeSteps: 200,
    options: { random, render, goalVelocity },
    create: async (options) => {
      const { MountainCar } = await import('./classic/mountain-car.js');
      return new MountainCar(options as MountainCarOptions);
    },
  },
  {
    id: 'MountainCarContinuous-v0',
    description: 'the same with a continuous force: 100 at the flag less 0.1 force^2 a step; 999 steps',
    rewardThreshold: 90,
    maxEpisodeSteps: 999,
    options: { random, render, goalVelocity },
    create: async (options) => {
      const { MountainCarContinuous } = await import('./classic/mountain-car.js');
      return new MountainCarContinuous(options as MountainCarOptions);
    },
  },
  {
    id: 'Pendulum-v1',
    description: 'swing a pendulum up and hold it by a continuous torque: the cost is angle, speed, torque; 200 steps',
    maxEpisodeSteps: 200,
    options: { random, render, g: 'gravity (default 10)' },
    create: async (options) => {
      const { Pendulum } = await import('./classic/pendulum.js');
      return new Pendulum(options as PendulumOptions);
    },
  },
  {
    id: 'Acrobot-v1',
    description: 'swing the tip of two links above a line: -1 a step, until then or 500 steps',
    rewardThreshold: -100,
    maxEpisodeSteps: 500,
    options: {
      random,
      render,
      dynamics: "'book' (default) or 'nips'",
      torqueNoise: 'size of uniform noise on the torque (default 0)',
    },
    create: async (options) => {
      const { Acrobot } = await import('./classic/acrobot.js');
      return new Acrobot(options as AcrobotOptions);
    },
  },
  {
    id: 'Bandit-v0',
    description: 'one step: choose one of k arms',
    options: {
      random,
      render,
      arms: 'mean reward of each arm (default [0, 0.5, 1])',
      std: 'of the reward (default 0)',
    },
    create: async (options) => {
      const { Bandit } = await import('./classic/bandit.js');
      return new Bandit(options as BanditOptions);
    },
  },
  {
    id: 'Identity-v0',
    description: 'repeat what you see, in any kind of action space: 1 where the action is the observation; 100 steps',
    rewardThreshold: 90,
    maxEpisodeSteps: 100,
    options: {
      random,
      render,
      kind: "of both spaces: 'discrete' (default), 'multidiscrete', 'multibinary' or 'box'",
      size: 'values of a Discrete, or elements of an array (default 2)',
      tolerance: 'how near each element of a Box action must be (default 0.5)',
    },
    create: async (options) => {
      const { Identity } = await import('./classic/identity.js');
      return new Identity(options as IdentityOptions);
    },
  },
  probe('ProbeConstant-v0', 'constant', 'debugging: one step, reward 1; is the value learned at all?'),
  probe('ProbeObservation-v0', 'observation', 'debugging: one step, reward = observation; does the value see it?'),
  probe('ProbeDiscount-v0', 'discount', 'debugging: two steps, reward at the end; is credit passed back?'),
  probe('ProbeAction-v0', 'action', 'debugging: one step, one action is right; does the policy learn?'),
  probe('ProbePolicy-v0', 'policy', 'debugging: one step, the observation says which action is right'),
];
