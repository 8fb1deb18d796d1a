import type { Scalar } from '@tensorflow/tfjs';
import * as z from 'zod';
import { defineAgent } from './define.js';
import { sampleTuningMetrics } from './metrics.js';
import { customaryRegularizedSet, regularizedSetOptions } from './options.js';
import { affineWeights } from './sample-weights.js';

/**
 * KL-D (DPOK, arXiv 2305.16381): supervised fine-tuning with the KL to the *data* of the pretrained model,
 * KL(p_pre ‖ p_θ). That is, up to a constant, the denoising loss on its samples, so that the reward is only shifted:
 * E_{x_0 ~ p_pre}[(α r(x_0, z) + γ) ‖ε − ε_θ(x_t, t, z)‖²].
 */
export const klD = defineAgent({
  name: 'kl-d',
  summary:
    'reward-weighted denoising loss on samples of the pretrained model, with the KL to its data: the reward is shifted',
  paper: 'arXiv 2305.16381',
  options: z.strictObject(regularizedSetOptions),
  defaults: { denoising: customaryRegularizedSet },
  metrics: sampleTuningMetrics,
  make: async ({ policy, options, random, warn }) => {
    const { SampleTuning } = await import('./sample-tuning.js');
    const { rewardCoefficient: alpha, klCoefficient: gamma, negativeWeights } = options;
    return new SampleTuning(
      {
        name: 'kl-d',
        options,
        renews: false,
        reference: false,
        drops: false,
        weigh: (rewards) => affineWeights(rewards, alpha, gamma, negativeWeights),
        loss: ({ error, weights }) => ({ loss: weights.mul(error).mean<Scalar>(), means: { error: error.mean() } }),
      },
      { policy, random, warn },
    );
  },
});
