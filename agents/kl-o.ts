import * as z from 'zod';
import { defineAgent } from './define.js';
import { sampleTuningMetrics } from './metrics.js';
import { weightedLoss } from './optimization/weighted-loss.js';
import { customaryRegularizedSet, regularizedSetOptions } from './options.js';
import { affineWeights } from './sample-weights.js';

/**
 * KL-O (DPOK, arXiv 2305.16381): supervised fine-tuning with a penalty on leaving the *outputs* of the pretrained
 * model: E_{x_0 ~ p_pre}[α r(x_0, z) ‖ε − ε_θ(x_t, t, z)‖² + γ ‖ε_pre(x_t, t, z) − ε_θ(x_t, t, z)‖²].
 */
export const klO = defineAgent({
  name: 'kl-o',
  summary: 'reward-weighted denoising loss on samples of the pretrained model, with a penalty on leaving its outputs',
  paper: 'arXiv 2305.16381',
  options: z.strictObject(regularizedSetOptions),
  defaults: { denoising: customaryRegularizedSet },
  metrics: {
    ...sampleTuningMetrics,
    'train/distance': {
      title: 'Distance to the pretrained model',
      unit: 'squared distance of predictions',
      about: 'How far what the model predicts has gone from what it predicted at the start of the run.',
    },
  },
  make: async ({ policy, options, random, warn }) => {
    const { SampleTuning } = await import('./sample-tuning.js');
    return new SampleTuning(
      {
        name: 'kl-o',
        options,
        renews: false,
        reference: true,
        drops: false,
        weigh: (rewards) => affineWeights(rewards, options.rewardCoefficient, 0, options.negativeWeights),
        loss: ({ error, distance, weights }) =>
          weightedLoss({
            weightedError: [1, weights.mul(error).mean()],
            distance: [options.klCoefficient, distance!.mean()],
            error: [0, error.mean()],
          }),
      },
      { policy, random, warn },
    );
  },
});
