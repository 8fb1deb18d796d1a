import * as z from 'zod';
import { GroupAdvantages } from './advantages/group.js';
import { defineAgent } from './define.js';
import { policyGradientMetrics, ratioMetrics } from './metrics.js';
import { weightedLoss } from './optimization/weighted-loss.js';
import { slidingWindow } from './optimization/window.js';
import {
  advantageOptions,
  collectOptions,
  customaryDefaults,
  denoisingMicroBatch,
  lossOptions,
  minibatchOptions,
  optimizerOptions,
  positive,
} from './options.js';
import { makeSurrogate, surrogateNames } from './surrogates/index.js';

const { rewardAggregation, advantageClip, timestepFraction } = advantageOptions;
const { entropyCoefficient, klCoefficient } = lossOptions;

const options = z.strictObject({
  ...collectOptions,
  ...optimizerOptions,
  ...minibatchOptions,
  groupSize: z.int().min(2).max(65_536).describe('how many episodes begin alike and are compared with each other'),
  groupStd: z
    .enum(['group', 'batch', 'none'])
    .describe(
      "what a return's distance to its group's mean is divided by: deviation of the group, of the rollout, or 1",
    ),
  dropZeroAdvantages: z
    .boolean()
    .describe('leaves out the episodes of groups whose returns are all equal: nothing is learned from them but the KL'),
  surrogate: z
    .enum(surrogateNames)
    .describe(
      "what keeps the policy near the one that sampled: PPO's clip, the guard of GRPO-Guard, or a limit on the exact divergence of each step (Flow-DPPO); the last two need denoising steps",
    ),
  clipRange: z
    .union([positive, z.strictObject({ from: positive, to: positive })])
    .describe(
      "clip, guard: how far the ratio may leave 1 (the guard's is of another unit, and wants a tenth of it); a number, or {from, to} over the run",
    ),
  divergenceThreshold: positive.describe('divergence: how far a step may move, in nats, a mean over dimensions'),
  window: slidingWindow
    .nullable()
    .describe('trains so many steps of the chain at a time, which alone are stochastic (MixGRPO); null: all'),
  rewardAggregation,
  advantageClip,
  timestepFraction,
  entropyCoefficient,
  klCoefficient,
});

/** On both kinds of policy. */
const common = {
  beta1: customaryDefaults.beta1,
  beta2: customaryDefaults.beta2,
  epsilon: customaryDefaults.epsilon,
  rewardAggregation: 'sum',
  advantageClip: 5,
  timestepFraction: 1,
  entropyCoefficient: 0,
  klCoefficient: 0,
  groupSize: 8,
  groupStd: 'group',
  dropZeroAdvantages: true,
  divergenceThreshold: 1e-5,
  window: null,
} satisfies Partial<z.input<typeof options>>;

/**
 * Group relative policy optimisation (DeepSeekMath, arXiv 2402.03300): PPO without a critic. Several episodes begin alike,
 * from one restored state or with one prompt, and an episode's advantage, the same for all its steps, is its return
 * compared with those of its group. On a denoising policy it is Flow-GRPO (arXiv 2505.05470) and DanceGRPO (2505.07818).
 *
 * The KL to the reference is the exact one of each step's distribution, where the paper estimates it from the sample.
 */
export const grpo = defineAgent({
  name: 'grpo',
  aliases: ['flow-grpo'],
  summary: 'episodes that begin alike are compared with each other; no critic',
  paper: 'arXiv 2402.03300; 2505.05470',
  options,
  defaults: {
    denoising: {
      ...common,
      learningRate: 1e-4,
      weightDecay: 1e-4,
      maxGradNorm: 1,
      microBatch: denoisingMicroBatch,
      innerEpochs: 1,
      minibatches: 4,
      surrogate: 'divergence',
      clipRange: 1e-3,
    },
    network: {
      ...common,
      collect: { episodes: 32 },
      learningRate: 5e-3,
      weightDecay: 0,
      maxGradNorm: 0.5,
      microBatch: 2048,
      innerEpochs: 8,
      minibatches: 4,
      surrogate: 'clip',
      clipRange: 0.2,
    },
  },
  metrics: {
    'train/clipFraction': {
      title: 'Clip fraction',
      unit: 'share of transitions',
      about: 'Transitions beyond what the surrogate allows. Near 0 the updates are timid, near 1 little is learned.',
      progress: { label: 'clipped', share: true },
    },
    'train/divergence': {
      title: 'Divergence',
      unit: 'nats a step, mean over dimensions',
      about: 'How far steps have moved from those that were sampled: what the surrogate divergence limits.',
    },
    ...ratioMetrics,
    ...policyGradientMetrics,
  },
  make: async (parts) => {
    const { PolicyGradient } = await import('./policy-gradient.js');
    const { options } = parts;
    const surrogate = makeSurrogate(options.surrogate, options);
    return new PolicyGradient(
      {
        name: 'grpo',
        options,
        innerEpochs: options.innerEpochs,
        minibatches: options.minibatches,
        importanceSampled: surrogate.isScoreFunctionAtFirst,
        displacement: surrogate.displacement,
        estimator: new GroupAdvantages({ std: options.groupStd }),
        dropZeroAdvantages: options.dropZeroAdvantages,
        window: options.window ?? undefined,

        // DeepSeekMath eq. 3, with a mean over all transitions: episodes of one length weigh the same either way.
        policyLoss: (input, progress) => surrogate.objective(input, progress).mean().neg(),

        loss: (policyLoss, input, progress) =>
          weightedLoss({
            policyLoss: [1, policyLoss],
            entropy: [-options.entropyCoefficient, input.entropy?.mean()],
            kl: [options.klCoefficient, input.kl?.mean()],
            divergence: [0, input.displacement?.divergence.mean()],
            clipFraction: [0, surrogate.beyond(input, progress).mean()],
          }),

        /** ½ E[(ln ρ)²], as in ddpo-pytorch. */
        ratioMetrics: (logRatio) => ({
          'train/approxKl': logRatio.reduce((sum, value) => sum + value * value, 0) / 2 / logRatio.length,
        }),
      },
      parts,
    );
  },
});
