import * as z from 'zod';
import { defineAgent } from './define.js';
import { policyGradientMetrics } from './metrics.js';
import { weightedLoss } from './optimization/weighted-loss.js';
import { customaryDefaults, policyGradientOptions } from './options.js';
import { a2cSettings } from './settings.js';

/** Synchronous advantage actor-critic (arXiv 1602.01783): one update on a short rollout, bootstrapped where it is cut. */
export const a2c = defineAgent({
  name: 'a2c',
  summary: 'advantage actor-critic: short rollouts, one update each, a critic as baseline',
  paper: 'arXiv 1602.01783',
  options: z.strictObject(policyGradientOptions),
  // None for denoising policies: they have no critic.
  defaults: {
    network: {
      ...customaryDefaults,
      ...{ collect: { steps: 16 }, advantage: 'gae', gamma: 0.99, gaeLambda: 1, standardizeAdvantages: false },
      ...{ learningRate: 2e-3, weightDecay: 0, maxGradNorm: 0.5, microBatch: 2048 },
    },
  },
  settings: a2cSettings,
  metrics: policyGradientMetrics,
  make: async (parts) => {
    const { options } = parts;
    const { PolicyGradient } = await import('./policy-gradient.js');
    return new PolicyGradient(
      {
        ...{ name: 'a2c', options, innerEpochs: 1, minibatches: 1, importanceSampled: false },
        policyLoss: ({ logProb, advantages }) => advantages.mul(logProb).mean().neg(),
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
