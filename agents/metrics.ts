import type { MetricDescription } from './define.js';

type Descriptions = Readonly<Record<string, MetricDescription>>;

/** What every policy-gradient agent logs. */
export const policyGradientMetrics: Descriptions = {
  'train/loss': { title: 'Loss', unit: 'loss', about: 'What is made small: the sum of the weighted terms below.' },
  'train/policyLoss': {
    title: 'Policy loss',
    unit: 'loss',
    about: 'Of little meaning by itself: it is made anew from each rollout.',
  },
  'train/valueLoss': { title: 'Value loss', unit: 'squared error', about: 'How far the critic is from its targets.' },
  'train/explainedVariance': {
    title: 'Explained variance',
    unit: "share of the targets' variance",
    about:
      'How well the critic foresaw the rollout: 1 is perfect, 0 is as good as saying the same of every state, below 0 is worse.',
  },
  'train/entropy': { title: 'Entropy', unit: 'nats', about: 'How undecided the policy is.' },
  'train/kl': {
    title: 'KL to the reference',
    unit: 'nats',
    about: 'How far the policy has gone from what it was at the start of the run.',
  },
  'train/gradNorm': {
    title: 'Gradient norm',
    unit: 'global norm, before clipping',
    about: 'Steady is good. A rise without end is not.',
  },
  'train/transitions': {
    title: 'Transitions',
    unit: 'transitions an epoch',
    about: 'How many steps of episodes were learned from.',
  },
  'train/skippedUpdates': {
    title: 'Skipped updates',
    unit: 'updates an epoch',
    about: 'Updates left out because loss or gradient were not finite; it should be 0.',
  },
  'check/ratioError': {
    title: 'Ratio check',
    unit: 'largest |ratio − 1|',
    about: 'Of the rollout, scored again by the weights that made it: anything but rounding is a defect.',
  },
  'train/learningRate': { title: 'Learning rate', unit: 'step size', about: "The optimiser's step size." },
};

/** What agents log whose surrogate stands on ratios. */
export const ratioMetrics: Descriptions = {
  'train/approxKl': {
    title: 'Approximate KL',
    unit: 'nats',
    about: 'How far an epoch moved the policy from the one that made its rollout.',
  },
  'check/gradientError': {
    title: 'Gradient check',
    unit: 'relative distance',
    about:
      'Before the first update, between the gradient of the ratios and that of the score function: they are equal.',
  },
};

/** What agents log that fine-tune on finished samples. */
export const sampleTuningMetrics: Descriptions = {
  'train/loss': { title: 'Loss', unit: 'loss', about: 'What is made small.' },
  'train/error': {
    title: 'Denoising error',
    unit: 'squared error',
    about: 'How far the predictions are from their targets, whatever the samples weigh.',
  },
  'train/samples': { title: 'Samples', unit: 'samples', about: 'How many samples are learned from.' },
  'train/samplesOf90': {
    title: 'Samples with 90 % of the weight',
    unit: 'samples',
    about: 'Close to 1, a handful of samples is all that is learned from; then lower what sharpens the weights.',
    progress: { label: '90 % weight' },
  },
  'train/weightedReward': {
    title: 'Weighted reward',
    unit: 'reward',
    about: 'The mean reward of the samples by what they weigh: what perfect imitation of them would yield.',
  },
  'train/reward': { title: 'Reward of the samples', unit: 'reward', about: 'Their plain mean.' },
  'train/pass': { title: 'Pass', unit: 'passes', about: 'Passes over the present samples.' },
  'train/gradNorm': {
    title: 'Gradient norm',
    unit: 'global norm, before clipping',
    about: 'Steady is good. A rise without end is not.',
  },
  'train/skippedUpdates': {
    title: 'Skipped updates',
    unit: 'updates an epoch',
    about: 'Updates left out because loss or gradient were not finite; it should be 0.',
  },
  'train/learningRate': { title: 'Learning rate', unit: 'step size', about: "The optimiser's step size." },
};
