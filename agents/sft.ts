import type { Scalar } from '@tensorflow/tfjs';
import * as z from 'zod';
import { defineAgent } from './define.js';
import { sampleTuningMetrics } from './metrics.js';
import { customaryFixedSet, fixedSetOptions, sampleTuningOptions } from './options.js';
import { affineWeights } from './sample-weights.js';

/**
 * Reward-weighted supervised fine-tuning (DPOK, arXiv 2305.16381; Lee et al., 2302.12192): E[α r(x_0, z) ‖ε − ε_θ‖²] on
 * one set of samples of the pretrained model. Perfect imitation yields the reward-weighted mean of that set
 * (`train/weightedReward`), and no more.
 */
export const sft = defineAgent({
  name: 'sft',
  summary: 'reward-weighted denoising loss on one set of samples of the pretrained model, without a KL',
  paper: 'arXiv 2305.16381; 2302.12192',
  options: z.strictObject({ ...sampleTuningOptions, ...fixedSetOptions }),
  defaults: { denoising: customaryFixedSet },
  metrics: sampleTuningMetrics,
  make: async ({ policy, options, random, warn }) => {
    const { SampleTuning } = await import('./sample-tuning.js');
    return new SampleTuning(
      {
        name: 'sft',
        options,
        renews: false,
        reference: false,
        drops: false,
        weigh: (rewards) => affineWeights(rewards, options.rewardCoefficient, 0, options.negativeWeights),
        loss: ({ error, weights }) => ({ loss: weights.mul(error).mean<Scalar>(), means: { error: error.mean() } }),
      },
      { policy, random, warn },
    );
  },
});
