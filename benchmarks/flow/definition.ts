import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { useBackend } from '../../backend/index.js';
import { pretrain } from '../../training/pretrain.js';
import type { PaperBenchmark, PrepareOptions } from '../paper/definition.js';
import { bySeed, positiveFinding } from '../paper/findings.js';
import { watched } from '../paper/watched.js';

/** Optimiser steps of flow matching, from the embedded model's weights on. */
const steps = 500;
const agents = { ppo: 'DDPO-IS', grpo: 'GRPO' } as const;

/** A model of flow matching, trained where there is none yet. */
async function prepare({ folder, backend, say }: PrepareOptions) {
  await useBackend(backend);
  const out = join(folder, 'flow');
  if (!existsSync(out)) {
    const resume = existsSync(`${out}.checkpoint`);
    for await (const { step, loss } of pretrain({
      ...{ out, objective: 'flow-matching', from: 'models/shapes', steps, checkpointEvery: 50, resume },
    }))
      if (step % 25 === 0) say(`flow: step ${step} of ${steps}, loss ${loss.toFixed(3)}`);
  }
  return {
    options: { model: out },
    about: `The model is \`pretrain --objective flow-matching --from models/shapes --steps ${steps}\`, seed 0: the weights of the embedded model, which learn to predict the velocity of straight paths.`,
  };
}

export const flow: PaperBenchmark = {
  name: 'flow',
  title: 'Fine-tuning a model of flow matching',
  about:
    'DDPO-IS (`ppo`) and GRPO in groups of eight on a rectified flow, by the stochastic steps of Flow-GRPO (Liu et al., [arXiv 2505.05470](https://arxiv.org/abs/2505.05470)) with the noise level .7 of that paper: 10 steps, 1,280 queries, all captions of composition, learning rate 1e-4. The score is the mean over 512 fixed prompts and noises after training, the same for all runs.',
  seeds: [0, 1, 2],
  parts: {
    composition: {
      title: 'Composition',
      about:
        'The reward is 1 where the two objects have the colours of the prompt ("a red circle and a blue square"). The guard is whether their shapes are right.',
      score: 'right',
      matrices: [
        {
          ...{ agents: Object.keys(agents), envs: ['Denoising-v0'], vary: {} },
          options: {
            ...{ 'sampling.eta': 0.7, numEnvs: 32, epochs: 20, samplesPerEpoch: 64, checkpointEvery: 5 },
            ...{ reward: 'shapes-composition', 'prompts.kinds': ['composition'], 'agent.learningRate': 1e-4 },
            ...{ 'evaluation.samples': 512, 'evaluation.pictures': 32 },
            ...{ 'watch.every': 1000, 'watch.samples': 32, 'watch.guard': 'shapes-shape' },
          },
        },
      ],
    },
  },
  prepare,
  ...watched,
  findings: (runs) =>
    Object.entries(agents).map(([algorithm, name]) =>
      positiveFinding(`${name} raises the reward of a flow`, 'rise', [
        ...bySeed(runs, { part: 'composition', algorithm, of: 'rise' }).values(),
      ]),
    ),
};
