import * as z from 'zod';
import { GymError } from '../core/errors.js';
import type { AdvantageEstimator } from './advantages/estimator.js';
import type { PolicyGradientAlgorithm } from './algorithm.js';
import { defineAgent } from './define.js';
import { policyGradientMetrics, ratioMetrics } from './metrics.js';
import { weightedLoss } from './optimization/weighted-loss.js';
import {
  advantageOptions,
  collectOptions,
  count,
  customaryDefaults,
  lossOptions,
  minibatchOptions,
  optimizerOptions,
  positive,
} from './options.js';
import { ReplayBuffer } from './replay-buffer.js';
import { clampSurrogate } from './surrogates/clamp.js';
import { clipSurrogate } from './surrogates/clip.js';

const { rewardAggregation, advantageClip, timestepFraction, perPromptBuffer, perPromptMinCount } = advantageOptions;
const { entropyCoefficient, klCoefficient } = lossOptions;

const options = z.strictObject({
  ...collectOptions,
  ...optimizerOptions,
  ...minibatchOptions,
  surrogate: z
    .enum(['clamp', 'clip'])
    .describe("clamp: DPOK's, no gradient for a ratio outside the clip range; clip: PPO's, which lets it come back"),
  clipRange: z
    .union([positive, z.strictObject({ from: positive, to: positive })])
    .describe('how far the probability ratio may leave 1; a number, or {from, to} over the run'),
  rewardCoefficient: positive.describe('α, the weight of the rewards'),
  klCoefficient,
  kl: z
    .enum(['exact', 'prediction'])
    .describe(
      'exact: of the distributions; prediction: squared distance of predictions (denoising), the released code',
    ),
  klCap: positive
    .nullable()
    .describe('exact (denoising): the most that the squared distance of predictions weighs in a step; null: no limit'),
  klIn: z
    .enum(['loss', 'reward'])
    .describe(
      'loss: a term a step; reward (denoising): −β ln p/p_reference of each step taken, so that steps before it count',
    ),
  baseline: z
    .enum(['value', 'per-prompt', 'none'])
    .describe('what is taken off the return: a value function, the mean return of the prompt, or nothing'),
  valueHidden: z.array(count.max(8192)).max(32).describe("value: widths of the value function's layers"),
  valueLearningRate: positive.describe("value: the value function's step size"),
  valueUpdates: count.describe("value: steps of the value function a rollout, before the policy's"),
  valueBatch: count.describe('value: transitions of each of these steps'),
  perPromptBuffer,
  perPromptMinCount,
  gamma: advantageOptions.gamma,
  standardizeAdvantages: z.boolean().describe('advantages to mean 0 and deviation 1 over all that is learned from'),
  bufferSize: count.describe('the most transitions that are learned from; those of the rollout at hand always are'),
  bufferRollouts: z.int().min(0).describe('for how many rollouts after its own an episode is learned from'),
  rewardAggregation,
  advantageClip,
  timestepFraction,
  entropyCoefficient,
});

type Options = z.output<typeof options>;

/** On both kinds of policy. */
const common = {
  beta1: customaryDefaults.beta1,
  beta2: customaryDefaults.beta2,
  epsilon: customaryDefaults.epsilon,
  weightDecay: 0,
  surrogate: 'clamp',
  rewardCoefficient: 1,
  kl: 'exact',
  klIn: 'loss',
  baseline: 'value',
  perPromptBuffer: customaryDefaults.perPromptBuffer,
  perPromptMinCount: customaryDefaults.perPromptMinCount,
  standardizeAdvantages: true,
  bufferRollouts: 1,
  rewardAggregation: customaryDefaults.rewardAggregation,
  advantageClip: customaryDefaults.advantageClip,
  timestepFraction: customaryDefaults.timestepFraction,
  entropyCoefficient: 0,
} satisfies Partial<z.input<typeof options>>;

/** DPOK's own part of the engine. @param beside where advantages come from, and what else stands beside the loss. */
export function dpokAlgorithm(
  options: Options,
  beside: { estimator: AdvantageEstimator<never> } & Pick<PolicyGradientAlgorithm, 'replay' | 'annotate'>,
): PolicyGradientAlgorithm {
  const { clipRange, rewardCoefficient, klCoefficient, kl, klCap, klIn } = options;
  const surrogate = options.surrogate === 'clamp' ? clampSurrogate(clipRange) : clipSurrogate(clipRange);
  return {
    ...{ name: 'dpok', options, innerEpochs: options.innerEpochs, minibatches: options.minibatches },
    importanceSampled: surrogate.isScoreFunctionAtFirst,
    kl: { form: kl, ...(klCap !== null && { cap: klCap }) },
    ...beside,

    /** −mean((R − V(x_t, t, z)) · clamp(ρ_t, 1 ± ε)). */
    policyLoss: (input, progress) => surrogate.objective(input, progress).mean().neg(),

    /**
     * α · policy loss + β · KL(p_θ(x_{t−1} | x_t, z) ‖ p_pre) (Lemma 4.2), a mean over transitions. On denoising both the
     * log-probability and this KL are means over the latents' dimensions, so that α and β weigh the reward against nats.
     */
    loss: (policyLoss, input, progress) =>
      weightedLoss({
        policyLoss: [rewardCoefficient, policyLoss],
        entropy: [-options.entropyCoefficient, input.entropy?.mean()],
        // Where it is among the rewards it is here for the log alone.
        kl: [klIn === 'loss' ? klCoefficient : 0, input.kl?.mean()],
        clipFraction: [0, surrogate.beyond(input, progress).mean()],
      }),

    /** ½ E[(ln ρ)²], as in ddpo-pytorch. */
    ratioMetrics: (logRatio) => ({
      'train/approxKl': logRatio.reduce((sum, value) => sum + value * value, 0) / 2 / logRatio.length,
    }),
  };
}

/**
 * DPOK (arXiv 2305.16381): a policy gradient on α (r − V) with the KL to the pretrained policy, on the episodes of the last
 * rollouts. The KL is a term of the loss (which holds the states of a step fixed), or a reward of each step that was taken
 * (which does not: its expected gradient is that of the KL of whole trajectories).
 */
export const dpok = defineAgent({
  name: 'dpok',
  summary: 'policy gradient with the KL to the pretrained policy, a value function, and the last rollouts',
  paper: 'arXiv 2305.16381',
  options,
  defaults: {
    denoising: {
      ...common,
      learningRate: 1e-4,
      maxGradNorm: 1,
      microBatch: 36,
      innerEpochs: 1,
      minibatches: 4,
      clipRange: 1e-3,
      klCoefficient: 0.1,
      klCap: 1,
      valueHidden: [64, 64, 64],
      valueLearningRate: 1e-3,
      valueUpdates: 20,
      valueBatch: 256,
      gamma: 1,
      bufferSize: 1280,
    },
    network: {
      ...common,
      collect: { episodes: 16 },
      learningRate: { from: 3e-3, to: 0 },
      maxGradNorm: 0.5,
      microBatch: 2048,
      innerEpochs: 4,
      minibatches: 4,
      clipRange: 0.2,
      klCoefficient: 0.01,
      klCap: null,
      valueHidden: [64, 64],
      valueLearningRate: 3e-3,
      valueUpdates: 40,
      valueBatch: 512,
      gamma: 0.99,
      bufferSize: 8192,
    },
  },
  metrics: {
    'train/clipFraction': {
      title: 'Clip fraction',
      unit: 'share of transitions',
      about: 'Ratios outside the clip range: nothing is learned from these.',
      progress: { label: 'clipped', share: true },
    },
    'train/baselineLoss': {
      title: 'Baseline loss',
      unit: 'squared error',
      about: 'How far the value function of states and timesteps is from the returns.',
    },
    ...ratioMetrics,
    ...policyGradientMetrics,
  },
  make: async (parts) => {
    const [{ PolicyGradient }, { BaselinedReturns }, { ValueBaseline }, { PromptBaseline }, { referenceLogRatios }] =
      await Promise.all([
        import('./policy-gradient.js'),
        import('./advantages/baseline.js'),
        import('./advantages/value-baseline.js'),
        import('./advantages/prompt-baseline.js'),
        import('./optimization/reference-log-ratios.js'),
      ]);
    const { policy, options, random } = parts;
    if (policy.kind === 'network' && (options.kl === 'prediction' || options.klCap !== null))
      throw new GymError(
        'E_CONFIG',
        `dpok.kl: a KL of predictions (kl: ${options.kl}) and a cap on its weight (klCap: ${options.klCap}) are for denoising policies; use kl: exact and klCap: null.`,
      );
    const { gamma, standardizeAdvantages: standardize, perPromptBuffer: bufferSize, perPromptMinCount } = options;
    const { valueHidden, valueLearningRate, valueUpdates, valueBatch } = options;
    const inReward = options.klCoefficient > 0 && options.klIn === 'reward';
    const baselines = {
      none: () => undefined,
      value: () =>
        new ValueBaseline(
          policy,
          { hidden: valueHidden, learningRate: valueLearningRate, updates: valueUpdates, batch: valueBatch },
          random.child('value'),
        ),
      'per-prompt': () =>
        new PromptBaseline({ bufferSize, minCount: perPromptMinCount, promptOf: (o) => policy.group?.(o) ?? '' }),
    };
    const estimator = new BaselinedReturns(baselines[options.baseline](), {
      ...{ gamma, standardize, klReward: inReward ? options.klCoefficient : 0 },
    });
    return new PolicyGradient(
      dpokAlgorithm(options, {
        estimator,
        replay: new ReplayBuffer(options.bufferSize, options.bufferRollouts),
        ...(inReward && { annotate: referenceLogRatios(policy, options.microBatch) }),
      }),
      parts,
    );
  },
});
