import type { Registration } from '../registration.js';
import type { Acrobot, AcrobotOptions } from './acrobot.js';
import type { Bandit, BanditOptions } from './bandit.js';
import type { CartPole, CartPoleOptions } from './cart-pole.js';
import type { Identity, IdentityOptions } from './identity.js';
import type { MountainCar, MountainCarContinuous, MountainCarOptions } from './mountain-car.js';
import type { Pendulum, PendulumOptions } from './pendulum.js';
import type { Probe, ProbeKind, ProbeOptions } from './probe.js';

declare module '../registration.js' {
  interface KnownEnvs {
    'CartPole-v1': { env: CartPole; options: CartPoleOptions };
    'MountainCar-v0': { env: MountainCar; options: MountainCarOptions };
    'MountainCarContinuous-v0': { env: MountainCarContinuous; options: MountainCarOptions };
    'Pendulum-v1': { env: Pendulum; options: PendulumOptions };
    'Acrobot-v1': { env: Acrobot; options: AcrobotOptions };
    'Bandit-v0': { env: Bandit; options: BanditOptions };
    'Identity-v0': { env: Identity; options: IdentityOptions };
    'ProbeConstant-v0': { env: Probe; options: Omit<ProbeOptions, 'kind'> };
    'ProbeObservation-v0': { env: Probe; options: Omit<ProbeOptions, 'kind'> };
    'ProbeDiscount-v0': { env: Probe; options: Omit<ProbeOptions, 'kind'> };
    'ProbeAction-v0': { env: Probe; options: Omit<ProbeOptions, 'kind'> };
    'ProbePolicy-v0': { env: Probe; options: Omit<ProbeOptions, 'kind'> };
  }
}

const render = "what render() gives: 'rgb' (default, where there is a picture) or 'text'";
const random = "'numpy': resets equal Gymnasium's for the same seed (default 'seedrandom')";
const goalVelocity = 'the least velocity with which the goal counts (default 0)';

const probe = (id: string, kind: ProbeKind, description: string): Registration => ({
  id,
  description,
  options: { random, render, continuous: 'actions are float32 [1] in -1..1 instead of indices (default false)' },
  create: async (options) => {
    const { Probe } = await import('./probe.js');
    return new Probe({ ...(options as Omit<ProbeOptions, 'kind'>), kind });
  },
});

/** What the registry is told of the classic environments. The code of each is loaded when it is made. */
export const classic: readonly Registration[] = [
  {
    id: 'CartPole-v1',
    description: 'balance a pole on a cart: 1 a step, until it falls or 500 steps',
    rewardThreshold: 475,
    maxEpisodeSteps: 500,
    options: { random, render, suttonBartoReward: 'reward 0 a step and -1 for the fall (default false)' },
    create: async (options) => {
      const { CartPole } = await import('./cart-pole.js');
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
      const { MountainCar } = await import('./mountain-car.js');
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
      const { MountainCarContinuous } = await import('./mountain-car.js');
      return new MountainCarContinuous(options as MountainCarOptions);
    },
  },
  {
    id: 'Pendulum-v1',
    description: 'swing a pendulum up and hold it by a continuous torque: the cost is angle, speed, torque; 200 steps',
    maxEpisodeSteps: 200,
    options: { random, render, g: 'gravity (default 10)' },
    create: async (options) => {
      const { Pendulum } = await import('./pendulum.js');
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
      const { Acrobot } = await import('./acrobot.js');
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
      const { Bandit } = await import('./bandit.js');
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
      const { Identity } = await import('./identity.js');
      return new Identity(options as IdentityOptions);
    },
  },
  probe('ProbeConstant-v0', 'constant', 'debugging: one step, reward 1; is the value learned at all?'),
  probe('ProbeObservation-v0', 'observation', 'debugging: one step, reward = observation; does the value see it?'),
  probe('ProbeDiscount-v0', 'discount', 'debugging: two steps, reward at the end; is credit passed back?'),
  probe('ProbeAction-v0', 'action', 'debugging: one step, one action is right; does the policy learn?'),
  probe('ProbePolicy-v0', 'policy', 'debugging: one step, the observation says which action is right'),
];
