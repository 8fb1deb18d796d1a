import type { Scalar } from '@tensorflow/tfjs';
import * as z from 'zod';
import { defineAgent } from './define.js';
import { sampleTuningMetrics } from './metrics.js';
import { customarySampleTuning, sampleTuningOptions } from './options.js';
import { softmaxWeights } from './sample-weights.js';

/**
 * Reward-weighted regression (DDPO §4.2, arXiv 2305.13301; Lee et al., 2302.12192): the denoising loss on the model's own
 * samples, each weighed by w = exp(β r) / Z. New samples are made after some passes, by the model as it then is.
 *
 * It is policy search on the one-step problem whose state is the prompt and whose action is x_0 (`OneStepDenoising-v0`), but
 * the denoising loss stands for ln p(x_0 | z) there as a bound only, which is why it lags behind a policy gradient on steps.
 */
export const rwr = defineAgent({
  name: 'rwr',
  summary: "reward-weighted regression: the denoising loss on the model's own samples, weighed by exp(β r)",
  paper: 'arXiv 2305.13301 §4.2; 2302.12192',
  options: z.strictObject({
    ...sampleTuningOptions,
    beta: z.number().positive().describe('inverse temperature of the weights exp(β r)'),
    perPrompt: z.boolean().describe('weights are made among the samples of each prompt, instead of among all'),
    normalizeRewards: z.boolean().describe('rewards to mean 0 and deviation 1 first, among those that are compared'),
  }),
  defaults: {
    denoising: {
      ...customarySampleTuning,
      passes: 5,
      guided: true,
      beta: 1,
      perPrompt: false,
      normalizeRewards: true,
    },
  },
  metrics: sampleTuningMetrics,
  make: async ({ policy, options, random, warn }) => {
    const { SampleTuning } = await import('./sample-tuning.js');
    return new SampleTuning(
      {
        name: 'rwr',
        options,
        renews: true,
        reference: false,
        drops: false,
        weigh: (rewards, prompts) => softmaxWeights(rewards, prompts, options),
        /** mean(w · ‖ε − ε_θ‖²), with weights whose mean is 1. */
        loss: ({ error, weights }) => ({ loss: weights.mul(error).mean<Scalar>(), means: { error: error.mean() } }),
      },
      { policy, random, warn },
    );
  },
});
