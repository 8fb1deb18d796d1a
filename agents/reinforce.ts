import * as z from 'zod';
import { defineAgent } from './define.js';
import { policyGradientMetrics } from './metrics.js';
import { weightedLoss } from './optimization/weighted-loss.js';
import { customaryDefaults, denoisingMicroBatch, policyGradientOptions } from './options.js';
import { reinforceSettings } from './settings.js';

/**
 * REINFORCE (Williams 1992). On a denoising policy it is DDPO-SF (arXiv 2305.13301 §4.3):
 * ∇J = E[Σ_t ∇ ln p_θ(x_{t−1} | x_t, c) · r(x_0, c)]. The estimator is exact on-policy only, so a rollout gives exactly
 * one update.
 */
export const reinforce = defineAgent({
  name: 'reinforce',
  aliases: ['ddpo-sf'],
  summary: 'DDPO-SF: the score-function estimator, exactly one update on a rollout',
  paper: 'Williams 1992; arXiv 2305.13301',
  options: z.strictObject(policyGradientOptions),
  defaults: {
    denoising: {
      ...customaryDefaults,
      learningRate: 1e-4,
      weightDecay: 1e-4,
      maxGradNorm: 1,
      microBatch: denoisingMicroBatch,
      advantage: 'batch',
      gamma: 1,
    },
    network: {
      ...customaryDefaults,
      collect: { episodes: 16 },
      learningRate: 5e-3,
      weightDecay: 0,
      maxGradNorm: 0.5,
      microBatch: 2048,
      advantage: 'reward-to-go',
      gamma: 0.99,
    },
  },
  settings: reinforceSettings,
  metrics: policyGradientMetrics,
  make: async (parts) => {
    const { options } = parts;
    const { PolicyGradient } = await import('./policy-gradient.js');
    return new PolicyGradient(
      {
        name: 'reinforce',
        options,
        innerEpochs: 1,
        minibatches: 1,
        importanceSampled: false,

        /** −mean(A · ln π): its gradient is the score-function estimator. */
        policyLoss: ({ logProb, advantages }) => advantages.mul(logProb).mean().neg(),

        // With a critic (advantage: gae), its values are the baseline.
        loss: (policyLoss, { values, targets, entropy, kl }) =>
          weightedLoss({
            policyLoss: [1, policyLoss],
            entropy: [-options.entropyCoefficient, entropy?.mean()],
            valueLoss: [options.valueCoefficient, values?.sub(targets!).square().mean()],
            kl: [options.klCoefficient, kl?.mean()],
          }),
      },
      parts,
    );
  },
});
