import type { Scalar } from '@tensorflow/tfjs';
import * as z from 'zod';
import { defineAgent } from './define.js';
import { sampleTuningMetrics } from './metrics.js';
import { customarySampleTuning, sampleTuningOptions } from './options.js';
import { bestWeights } from './sample-weights.js';

/**
 * RWR-sparse (DDPO §4.2, arXiv 2305.13301): w = 1[r ≥ C], the denoising loss on the best of the model's own samples alone,
 * C being a percentile of their rewards.
 */
export const rwrSparse = defineAgent({
  name: 'rwr-sparse',
  summary: "the denoising loss on the best of the model's own samples",
  paper: 'arXiv 2305.13301 §4.2',
  options: z.strictObject({
    ...sampleTuningOptions,
    percentile: z
      .number()
      .min(0)
      .lt(1)
      .describe('samples whose reward is at least this percentile are kept; 0.9: the best tenth'),
    perPrompt: z.boolean().describe('the percentile is that of the samples of each prompt, instead of that of all'),
  }),
  defaults: {
    denoising: { ...customarySampleTuning, passes: 20, guided: true, percentile: 0.9, perPrompt: false },
  },
  metrics: sampleTuningMetrics,
  make: async ({ policy, options, random, warn }) => {
    const { SampleTuning } = await import('./sample-tuning.js');
    return new SampleTuning(
      {
        name: 'rwr-sparse',
        options,
        renews: true,
        reference: false,
        drops: true,
        weigh: (rewards, prompts) => bestWeights(rewards, prompts, options),
        /** mean(‖ε − ε_θ‖²) of those that are kept. */
        loss: ({ error }) => ({ loss: error.mean<Scalar>() }),
      },
      { policy, random, warn },
    );
  },
});
