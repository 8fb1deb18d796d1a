import type { MetricDescription } from '../define.js';

const share = 'share';

/** What a run of SourceFreeAdaptation-v0 logs at the end of each pass over the target. */
export const adaptationMetrics: Readonly<Record<string, MetricDescription>> = {
  'adaptation/accuracy': {
    title: 'Accuracy on the target',
    unit: 'share, mean over classes',
    about: 'Of the network, on pictures of the target that are never learned from; the mean over classes.',
    progress: { label: 'accuracy', share: true },
  },
  'adaptation/neighbourAccuracy': {
    title: "Accuracy of the neighbours' vote",
    unit: 'share, mean over classes',
    about: 'The same pictures, labelled by the vote of their nearest neighbours among the learned ones.',
  },
  'adaptation/streamAccuracy': {
    title: 'Accuracy on arrival',
    unit: share,
    about: 'Of the pictures that are learned from: how the network read each batch of this pass before its update.',
  },
  'adaptation/pseudoLabelAccuracy': {
    title: 'Right pseudo-labels',
    unit: share,
    about:
      'Of the labels that the agent gave in this pass; only labels of the target, which it never sees, can say so.',
    progress: { label: 'labels right', share: true },
  },
  'adaptation/weightRight': {
    title: 'Weight of right labels',
    unit: 'mean weight',
    about: 'How much labels counted that were right; above that of wrong ones where the weights help.',
  },
  'adaptation/weightWrong': {
    title: 'Weight of wrong labels',
    unit: 'mean weight',
    about: 'How much labels counted that were wrong.',
  },
  'adaptation/falseNegatives': {
    title: 'False negatives',
    unit: share,
    about:
      "Of the kept negatives those of the anchor's own class, which the contrast pushes away by mistake: 10 % by chance.",
  },
  'adaptation/wrongExclusions': {
    title: 'Excluded by mistake',
    unit: share,
    about: 'Of the excluded pairs those of two different classes.',
  },
  'adaptation/excludedNegatives': {
    title: 'Excluded negatives',
    unit: share,
    about: 'Of all pairs of a sample and a negative of the queue those that the contrast leaves out.',
  },
  'adaptation/labelsChanged': {
    title: 'Changed labels',
    unit: share,
    about: 'Of the samples those whose label is another one than in the pass before.',
  },
  'adaptation/informationScore': {
    title: 'Information score',
    unit: 'share of log C',
    about: 'Entropy of the mean prediction less the mean entropy of predictions: what the label-free reward pays.',
  },
};
