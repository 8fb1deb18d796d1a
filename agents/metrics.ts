import type { MetricDescription } from './define.js';

type Descriptions = Readonly<Record<string, MetricDescription>>;

/** What every policy-gradient agent logs. */
export const policyGradientMetrics: Descriptions = {
  'train/policyLoss': {
    title: 'Policy loss',
    unit: 'loss',
    about: 'Of little meaning by itself: it is made anew from each rollout.',
  },
  'train/valueLoss': { title: 'Value loss', unit: 'squared error', about: 'How far the critic is from its targets.' },
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
  'train/learningRate': { title: 'Learning rate', unit: 'step size', about: "The optimiser's step size." },
};

/** What agents log whose surrogate stands on ratios. */
export const ratioMetrics: Descriptions = {
  'train/approxKl': {
    title: 'Approximate KL',
    unit: 'nats',
    about: 'How far an epoch moved the policy from the one that made its samples.',
  },
};
