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
