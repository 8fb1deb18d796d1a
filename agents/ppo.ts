import * as z from 'zod';
import { defineAgent } from './define.js';
import { policyGradientMetrics, ratioMetrics } from './metrics.js';
import { scheduled } from './optimization/schedule.js';
import { weightedLoss } from './optimization/weighted-loss.js';
import {
  customaryDefaults,
  denoisingMicroBatch,
  minibatchOptions,
  policyGradientOptions,
  positive,
} from './options.js';
import { ppoSettings } from './settings.js';

const options = z.strictObject({
  ...policyGradientOptions,
  ...minibatchOptions,
  clipRange: z
    .union([positive, z.strictObject({ from: positive, to: positive })])
    .describe('how far the probability ratio may leave 1; a number, or {from, to} over the run'),
});

/**
 * Proximal policy optimisation (arXiv 1707.06347). On a denoising policy it is DDPO-IS (arXiv 2305.13301 §4.3):
 * ∇J = E[Σ_t ρ_t ∇ ln p_θ(x_{t−1} | x_t, c) · r(x_0, c)], one ratio ρ_t a denoising step, clipped, so that a rollout
 * serves several updates.
 */
export const ppo = defineAgent({
  name: 'ppo',
  aliases: ['ddpo-is', 'ddpo'],
  summary: 'DDPO-IS: clipped importance ratios, several updates on a rollout (on denoising one ratio a step)',
  paper: 'arXiv 1707.06347; 2305.13301',
  options,
  defaults: {
    // Small diffusion models. A denoising policy's log-probability is a mean over the latents' dimensions, so its ratios
    // stay close to 1, the closer the larger the latents: a clip range of 1e-4 suits 4×64×64, 1e-3 suits 3×16×16.
    denoising: {
      ...customaryDefaults,
      learningRate: 1e-4,
      weightDecay: 1e-4,
      maxGradNorm: 1,
      microBatch: denoisingMicroBatch,
      advantage: 'batch',
      gamma: 1,
      innerEpochs: 1,
      minibatches: 4,
      clipRange: 1e-3,
    },
    // Close to stable-baselines3's.
    network: {
      ...customaryDefaults,
      collect: { steps: 128 },
      learningRate: { from: 1e-3, to: 0 },
      weightDecay: 0,
      maxGradNorm: 0.5,
      microBatch: 256,
      advantage: 'gae',
      gamma: 0.99,
      innerEpochs: 8,
      minibatches: 4,
      clipRange: 0.2,
    },
  },
  settings: ppoSettings,
  metrics: {
    'train/clipFraction': {
      title: 'Clip fraction',
      unit: 'share of ratios',
      about: 'Ratios outside the clip range. Near 0 the updates are timid, above 0.9 hardly anything is learned.',
      progress: { label: 'clipped', share: true },
    },
    'train/clipRange': { title: 'Clip range', unit: 'ratio', about: 'How far a ratio may leave 1.' },
    ...ratioMetrics,
    ...policyGradientMetrics,
  },
  make: async (parts) => {
    const { options } = parts;
    const { PolicyGradient } = await import('./policy-gradient.js');
    const { clipRange } = options;
    return new PolicyGradient(
      {
        name: 'ppo',
        options,
        innerEpochs: options.innerEpochs,
        minibatches: options.minibatches,
        importanceSampled: true,

        /** mean(max(−Aρ, −A·clip(ρ, 1 ± ε))), arXiv 1707.06347 eq. 7. */
        policyLoss: ({ logRatio, advantages }, progress) => {
          const clip = scheduled(clipRange, progress);
          const ratio = logRatio.exp();
          const unclipped = advantages.mul(ratio);
          const clipped = advantages.mul(ratio.clipByValue(1 - clip, 1 + clip));
          // The smaller gain is the larger loss. Where both are equal the gradient goes through the unclipped term.
          return unclipped.minimum(clipped).mean().neg();
        },

        loss: (policyLoss, { values, targets, entropy, kl }) =>
          weightedLoss({
            policyLoss: [1, policyLoss],
            entropy: [-options.entropyCoefficient, entropy?.mean()],
            valueLoss: [options.valueCoefficient, values?.sub(targets!).square().mean()],
            kl: [options.klCoefficient, kl?.mean()],
          }),

        /** `approxKl` = ½ E[(ln ρ)²] and the share of ratios outside the clip range, as in ddpo-pytorch. */
        ratioMetrics: (logRatio, progress) => {
          const clip = scheduled(clipRange, progress);
          let squares = 0;
          let clipped = 0;
          for (const value of logRatio) {
            squares += value * value;
            if (Math.abs(Math.expm1(value)) > clip) clipped++;
          }
          return {
            'train/approxKl': squares / 2 / logRatio.length,
            'train/clipFraction': clipped / logRatio.length,
            'train/clipRange': clip,
          };
        },
      },
      parts,
    );
  },
});
