import * as z from 'zod';

// Options that several agents share, as fields for `z.strictObject`. They have descriptions and ranges but no defaults:
// each agent states its own, so that none can inherit another one's by accident.

export const count = z.int().min(1);
export const positive = z.number().positive();
export const fraction = z.number().min(0).max(1);
const coefficient = z.number().min(0);

/** A constant, or a value that goes from one number to another in a straight line over the run. */
export const schedule = z.union([
  z.number().nonnegative(),
  z.strictObject({ from: z.number().nonnegative(), to: z.number().nonnegative() }),
]);

/** What makes a rollout. */
export const collectOptions = {
  collect: z
    .union([z.strictObject({ episodes: count.max(1_000_000) }), z.strictObject({ steps: count.max(1_000_000) })])
    .describe('what makes a rollout: {episodes: n}, or {steps: n} of every environment'),
};

/** AdamW and what it is fed. */
export const optimizerOptions = {
  learningRate: schedule.describe("AdamW's step size; a number, or {from, to} over the run"),
  beta1: z.number().min(0).lt(1).describe("AdamW's decay of the gradient's mean"),
  beta2: z.number().min(0).lt(1).describe("AdamW's decay of the gradient's square"),
  epsilon: positive.describe("AdamW's guard against division by zero"),
  weightDecay: coefficient.describe("AdamW's decoupled weight decay"),
  maxGradNorm: positive.describe('gradients of a larger global norm are scaled down to it'),
  microBatch: count.describe('transitions in one forward and backward pass; changes speed and memory, not the result'),
};

/** How rewards become advantages. */
export const advantageOptions = {
  advantage: z
    .enum(['batch', 'per-prompt', 'gae', 'reward-to-go', 'none'])
    .describe(
      'the return standardised over the rollout or by its prompt, generalized advantages (needs a policy with values), the discounted reward-to-go, or the return as it is',
    ),
  rewardAggregation: z
    .enum(['sum', 'per-term'])
    .describe(
      'of a reward that is an expression: sum takes its value; per-term normalises each of its rewards in the group, or else the rollout, before they are put together (GDPO)',
    ),
  advantageClip: positive.describe('advantages are cut to plus or minus this'),
  standardizeAdvantages: z.boolean().describe('gae, reward-to-go: to mean 0 and deviation 1 over the rollout'),
  perPromptBuffer: count.describe('per-prompt: how many past rewards of a prompt count'),
  perPromptMinCount: count.describe('per-prompt: with fewer than this the batch is used'),
  gamma: fraction.describe('gae, reward-to-go: discount of future rewards'),
  gaeLambda: fraction.describe('gae: 0 trusts the critic, 1 the rewards that were seen'),
  timestepFraction: z.number().gt(0).max(1).describe("the share of each episode's trainable steps that is trained"),
};

/** The terms of the loss beside the policy's own. */
export const lossOptions = {
  valueCoefficient: coefficient.describe("weight of the critic's squared error"),
  entropyCoefficient: coefficient.describe('weight of the entropy bonus'),
  klCoefficient: coefficient.describe('weight of the KL to the policy as the run found it; 0 keeps no copy of it'),
};

/** Several updates on one rollout. */
export const minibatchOptions = {
  innerEpochs: count.describe('passes over each rollout'),
  minibatches: count
    .max(1_000_000)
    .describe('optimiser steps a pass: the rollout is shuffled and split into so many minibatches'),
};

/** Fine-tuning on finished samples, by the denoising loss. */
export const sampleTuningOptions = {
  ...collectOptions,
  ...optimizerOptions,
  batch: count.describe('samples of an optimiser step, each with a timestep and noise drawn anew'),
  passes: count.describe('passes over a set of samples; an epoch is one'),
  guided: z
    .boolean()
    .describe('trains the prediction with guidance, as it is sampled with; else the plain conditional one'),
};

/** What weighs the samples of a set that is made once, by the pretrained model. */
export const fixedSetOptions = {
  rewardCoefficient: coefficient.describe('α, the weight of the rewards'),
  negativeWeights: z
    .enum(['clamp', 'shift', 'keep'])
    .describe('samples that would weigh less than 0 weigh 0, or all weigh so much more that none does, or as they are'),
};

/** DPOK's supervised algorithms that stay near the pretrained model. */
export const regularizedSetOptions = {
  ...sampleTuningOptions,
  ...fixedSetOptions,
  klCoefficient: coefficient.describe('γ, the weight of the KL to the pretrained model'),
};

/** Options of every algorithm that follows a policy gradient. */
export const policyGradientOptions = {
  ...collectOptions,
  ...optimizerOptions,
  ...advantageOptions,
  ...lossOptions,
};

/** The options of {@link policyGradientOptions}, validated. */
export type PolicyGradientOptions = z.output<z.ZodObject<typeof policyGradientOptions>>;
/** The options of {@link sampleTuningOptions}, validated. */
export type SampleTuningOptions = z.output<z.ZodObject<typeof sampleTuningOptions>>;
/** The options of {@link optimizerOptions}, validated. */
export type OptimizerOptions = z.output<z.ZodObject<typeof optimizerOptions>>;
/** The options of {@link advantageOptions}, validated. */
export type AdvantageOptions = z.output<z.ZodObject<typeof advantageOptions>>;

/**
 * Transitions in one pass through a small diffusion model. Larger passes are hardly faster a row, natively and on wasm, and
 * take more memory. With the other defaults (64 samples, 9 of whose 10 steps are trained, in 4 updates) a minibatch of 144
 * is 4 whole passes, so that two workers, or four, have the same to do.
 */
export const denoisingMicroBatch = 36;

/**
 * Values on which the papers' code and stable-baselines3 agree, for an agent to spread into its own defaults and to write
 * its own choices over: AdamW as PyTorch has it, one group of prompts of 16, no terms beside the policy's and the critic's.
 */
export const customaryDefaults = {
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  rewardAggregation: 'sum',
  advantageClip: 5,
  standardizeAdvantages: true,
  perPromptBuffer: 16,
  perPromptMinCount: 16,
  gaeLambda: 0.95,
  timestepFraction: 1,
  valueCoefficient: 0.5,
  entropyCoefficient: 0,
  klCoefficient: 0,
} satisfies Partial<PolicyGradientOptions>;

/** The same for small diffusion models that are fine-tuned on finished samples. */
export const customarySampleTuning = {
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  learningRate: 1e-4,
  weightDecay: 1e-4,
  maxGradNorm: 1,
  microBatch: 32,
  batch: 64,
  guided: false,
} satisfies Partial<SampleTuningOptions>;

/** The same where one set of samples is all there is. */
export const customaryFixedSet = {
  ...customarySampleTuning,
  passes: 100,
  rewardCoefficient: 1,
  negativeWeights: 'clamp',
} satisfies Partial<z.input<z.ZodObject<typeof fixedSetOptions & typeof sampleTuningOptions>>>;

/** The same for {@link regularizedSetOptions}. */
export const customaryRegularizedSet = { ...customaryFixedSet, klCoefficient: 1 } satisfies Partial<
  z.input<z.ZodObject<typeof regularizedSetOptions>>
>;
