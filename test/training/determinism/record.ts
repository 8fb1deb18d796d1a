// The metrics of small runs with every option given, for comparing them bit for bit with those that were recorded:
// node --import ./register.mjs test/training/determinism/record.ts BACKEND FILE
// Whoever means to change the arithmetic records wasm.json and cpu.json anew by this program, and says why.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BackendName, useBackend } from '../../../backend/index.js';
import { runTraining } from '../../../training/index.js';
import { saveTinyDenoiser } from '../tiny-denoiser.js';

const [backend, file] = process.argv.slice(2) as [BackendName, string];
await useBackend(backend);
const temporary = await mkdtemp(join(tmpdir(), 'determinism-'));
await saveTinyDenoiser(join(temporary, 'tiny'));

const common = { runs: temporary, backend, seed: 7, checkpointEvery: 1, keepCheckpoints: 1, epochs: 2 };
const optimizer = {
  beta1: 0.9,
  beta2: 0.99,
  epsilon: 1e-6,
  weightDecay: 1e-3,
  maxGradNorm: 0.7,
  advantageClip: 4,
  standardizeAdvantages: true,
  perPromptBuffer: 8,
  perPromptMinCount: 2,
  valueCoefficient: 0.4,
  klCoefficient: 0,
  gamma: 0.98,
  gaeLambda: 0.9,
  microBatch: 10,
};
const ppo = { ...optimizer, name: 'ppo', innerEpochs: 2, minibatches: 3 };
const reinforce = { ...optimizer, name: 'reinforce' };
const denoising = {
  ...common,
  env: 'Denoising-v0',
  model: join(temporary, 'tiny'),
  reward: 'jpeg-incompressibility',
  rewardTimeout: 60,
  numEnvs: 4,
  overlap: 1,
  prompts: { kind: 'shapes', kinds: ['color', 'count'], limit: 6, order: 'random' },
  sampling: { steps: 3, scheduler: 'ddim', spacing: 'trailing', eta: 0.9, guidanceScale: 2 },
  evaluation: { samples: 4, every: 2, pictures: 0, explore: true, maxSteps: 1000 },
};
const cartPole = {
  ...common,
  env: 'CartPole-v1',
  envOptions: {},
  policy: { hidden: [32, 16], engine: 'tensors' },
  numEnvs: 4,
  evaluation: { samples: 4, every: 2, explore: false, maxSteps: 1000 },
};
const runs = {
  'denoising-ppo': {
    ...denoising,
    agent: {
      ...ppo,
      learningRate: { from: 1e-3, to: 1e-4 },
      clipRange: 0.01,
      advantage: 'per-prompt',
      entropyCoefficient: 0,
      timestepFraction: 0.75,
      collect: { episodes: 8 },
    },
  },
  'denoising-reinforce': {
    ...denoising,
    agent: {
      ...reinforce,
      learningRate: 5e-4,
      advantage: 'batch',
      entropyCoefficient: 0,
      timestepFraction: 1,
      collect: { episodes: 8 },
    },
  },
  'cartpole-ppo': {
    ...cartPole,
    agent: {
      ...ppo,
      learningRate: { from: 3e-3, to: 0 },
      clipRange: { from: 0.2, to: 0.1 },
      advantage: 'gae',
      entropyCoefficient: 0.01,
      timestepFraction: 1,
      collect: { steps: 48 },
    },
  },
  'cartpole-ppo-arrays': {
    ...cartPole,
    policy: { hidden: [32, 16], engine: 'arrays' },
    agent: {
      ...ppo,
      learningRate: { from: 3e-3, to: 0 },
      clipRange: { from: 0.2, to: 0.1 },
      advantage: 'gae',
      entropyCoefficient: 0.01,
      timestepFraction: 1,
      collect: { steps: 48 },
    },
  },
  'cartpole-reinforce': {
    ...cartPole,
    agent: {
      ...reinforce,
      learningRate: 3e-3,
      advantage: 'reward-to-go',
      entropyCoefficient: 0.01,
      timestepFraction: 1,
      collect: { episodes: 10 },
    },
  },
};

const result: Record<string, object[]> = {};
for (const [name, config] of Object.entries(runs)) {
  const { folder } = await runTraining({ ...config, name }, { warn: () => {} });
  result[name] = (await folder.metrics()).map((metrics) =>
    Object.fromEntries(Object.entries(metrics).filter(([key]) => !key.startsWith('time/'))),
  );
}
await writeFile(file, `${JSON.stringify(result, null, 1)}\n`);
await rm(temporary, { recursive: true });
process.exit(0);
