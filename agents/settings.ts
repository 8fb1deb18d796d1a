// What each agent learns the environments of this package with, close to rl-baselines3-zoo where that has them. An agent
// takes its entry into its description (`settings`); measured means stand in benchmarks/README.md. Steps are whole rollouts.

/** A learning rate that goes down to 0 in a straight line over the run. */
const falling = (from: number) => ({ from, to: 0 });

/** Checkpoints of runs whose epochs take milliseconds. */
const checkpointEvery = 20;

const normalized = ['normalizeObservation', 'normalizeReward'];

/** Rewards follow from one action alone, so that little of the future counts. */
const identity = { numEnvs: 4, totalSteps: 1200 };

export const ppoSettings = {
  'CartPole-v1': {
    ...{ numEnvs: 8, totalSteps: 99_840, checkpointEvery },
    agent: {
      ...{ collect: { steps: 32 }, innerEpochs: 20, minibatches: 1, gamma: 0.98, gaeLambda: 0.8 },
      ...{ learningRate: falling(1e-3), clipRange: { from: 0.2, to: 1e-3 } },
    },
  },
  'Pendulum-v1': {
    // Costs of up to 16 a step would be a critic's error that leaves nothing of the policy's gradient under maxGradNorm.
    ...{ numEnvs: 4, totalSteps: 98_304, checkpointEvery, wrappers: [{ normalizeReward: { gamma: 0.9 } }] },
    // The costs of a swing are seen within some ten steps; with a γ of 0.99 the critic has to tell hundreds of them apart.
    agent: {
      ...{ collect: { steps: 1024 }, innerEpochs: 10, minibatches: 64, gamma: 0.9, gaeLambda: 0.95 },
      ...{ learningRate: falling(2e-3), clipRange: 0.2 },
    },
  },
  'Acrobot-v1': {
    ...{ numEnvs: 16, totalSteps: 294_912, checkpointEvery },
    agent: {
      ...{ collect: { steps: 128 }, innerEpochs: 4, minibatches: 8, gamma: 0.99, gaeLambda: 0.94 },
      ...{ learningRate: falling(1e-3), clipRange: 0.2 },
    },
  },
  'MountainCar-v0': {
    ...{ numEnvs: 16, totalSteps: 999_936, checkpointEvery, wrappers: normalized },
    agent: {
      ...{ collect: { steps: 16 }, innerEpochs: 4, minibatches: 1, gamma: 0.99, gaeLambda: 0.98 },
      ...{ learningRate: falling(1e-3), clipRange: 0.2 },
    },
  },
  'MountainCarContinuous-v0': {
    ...{ numEnvs: 8, totalSteps: 299_008, checkpointEvery, wrappers: normalized },
    agent: {
      ...{ collect: { steps: 256 }, innerEpochs: 10, minibatches: 8, gamma: 0.9999, gaeLambda: 0.9 },
      ...{ learningRate: falling(3e-4), clipRange: 0.2 },
    },
  },
  'Identity-v0': {
    ...identity,
    // Rewards of 0 and 1 are left as they are: standardised, the first hits would fix the policy before it has tried more.
    // A learning rate that stays as it is takes back at last, for a few unlucky draws, what was learned.
    agent: {
      ...{ collect: { steps: 15 }, innerEpochs: 8, minibatches: 4, gamma: 0, standardizeAdvantages: false },
      ...{ learningRate: falling(5e-3), entropyCoefficient: 0.02 },
    },
  },
};

export const a2cSettings = {
  'CartPole-v1': {
    ...{ numEnvs: 8, totalSteps: 199_680, checkpointEvery: 100 },
    agent: { collect: { steps: 8 }, learningRate: falling(2e-3), gamma: 0.99 },
  },
  'Identity-v0': { ...identity, agent: { collect: { steps: 5 }, learningRate: 5e-3, gamma: 0.4 } },
};

export const reinforceSettings = {
  'CartPole-v1': {
    ...{ numEnvs: 8, totalSteps: 198_656, checkpointEvery },
    // With the critic as baseline: without one the mean return after 200k steps is about 230.
    agent: {
      ...{ collect: { steps: 128 }, advantage: 'gae' as const, gamma: 0.99, gaeLambda: 1 },
      learningRate: falling(5e-3),
    },
  },
  'Identity-v0': {
    ...identity,
    agent: {
      ...{ collect: { steps: 5 }, advantage: 'gae' as const, gamma: 0, standardizeAdvantages: false },
      ...{ learningRate: falling(1e-2), entropyCoefficient: 0.05 },
    },
  },
};
