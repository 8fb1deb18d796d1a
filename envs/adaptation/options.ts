import { GymError } from '../../core/errors.js';
import { shown } from '../../core/shown.js';
import type { LabelledImages } from '../data/labelled-images.js';

/** How the environment adapts, with every value said. */
export interface AdaptationSettings {
  /** Passes over the target. */
  readonly epochs: number;
  /** Samples of one update. */
  readonly batchSize: number;
  readonly learningRate: number;
  readonly momentum: number;
  readonly weightDecay: number;
  /** How much of its weights the momentum network keeps at each update. */
  readonly keyMomentum: number;
  /** Of the contrastive loss. */
  readonly temperature: number;
  /** K, the most keys that are kept as negatives. */
  readonly queueSize: number;
  /** T, how many previous epochs' labels are shown. */
  readonly history: number;
  /** k of the vote by which the environment measures; an agent has its own. */
  readonly neighbours: number;
  /**
   * What is rewarded at the end of each pass. `label-free`: how much the information maximisation score of the probe's
   * predictions has grown, the entropy of their mean less their mean entropy, as a share of log C; it needs no label.
   * `accuracy`: how much the probe's accuracy has grown, mean over classes. `sparse`: that accuracy, at the episode's end.
   * The last two use labels of the target: what is learned by them is no longer source-free and unsupervised there.
   */
  readonly reward: AdaptationReward;
  /** Fixes the episodes that follow resets without a seed. */
  readonly seed: number;
}

const rewards = ['label-free', 'accuracy', 'sparse'] as const;

/** What the environment can reward. */
export type AdaptationReward = (typeof rewards)[number];

/**
 * The defaults. The learning rate, the weight of the contrast and the momentum of keys are this project's for the small
 * network: the paper's own suit a ResNet and some hundred epochs (.999 would leave 79 % of the source in the keys here).
 */
export const defaultSettings: AdaptationSettings = {
  epochs: 12,
  batchSize: 64,
  learningRate: 0.02,
  momentum: 0.9,
  weightDecay: 5e-4,
  keyMomentum: 0.99,
  temperature: 0.07,
  queueSize: 1024,
  history: 5,
  neighbours: 10,
  reward: 'label-free',
  seed: 0,
};

/** What the environment can adapt. */
export const networkNames = ['small', 'resnet18', 'resnet50', 'resnet101'] as const;
export type NetworkName = (typeof networkNames)[number];

/** A domain handed in by a program: nothing of `test` is learned from. */
export interface OwnDomain {
  readonly train: LabelledImages;
  readonly test: LabelledImages;
}

/** What the environment is made from. */
export interface AdaptationOptions extends Partial<AdaptationSettings> {
  /** What the network was trained on: a name of {@link loadDomain}, or pictures. Default `texture`. */
  readonly source?: string | LabelledImages;
  /** What it is adapted to; several, one after another with the network as it then is (continual). Default `mnist`. */
  readonly target?: string | OwnDomain | readonly (string | OwnDomain)[];
  /** Pictures of the source that are trained on. Default 1500. */
  readonly sourceSize?: number;
  /** Pictures of each target. Default 1500. */
  readonly targetSize?: number;
  /** Pictures of each target's test split that are measured on. Default 500. */
  readonly probeSize?: number;
  /** What is adapted. `small`: a convolutional network for digits; the others are torchvision's. Default `small`. */
  readonly network?: NetworkName;
  /**
   * For a ResNet: a safetensors file of torchvision's weights, from which training on the source begins. Default: it begins
   * with random ones.
   */
  readonly weights?: string;
  /** Height and width to which pictures of one's own files are brought, in pixels. Default 28, and 224 for a ResNet. */
  readonly imageSize?: number;
  /** At most so many passes over the source. Default 10. */
  readonly sourceEpochs?: number;
  /** Step size of the training on the source. Default 0.05, and 0.01 for a ResNet. */
  readonly sourceLearningRate?: number;
  /** Where the files of a source or target lie that have to be looked for. */
  readonly sourceFolder?: string;
  readonly targetFolder?: string;
  /**
   * `offline`: `epochs` passes. `online`: one pass, in which each batch is predicted (`info.streamAccuracy`) before it is
   * learned from. `continual`: several targets, `epochs` passes each. Default: `offline`, or `continual` for several.
   */
  readonly setting?: 'offline' | 'online' | 'continual';
}

/** Defaults of the data. */
export const dataDefaults = {
  source: 'texture',
  target: 'mnist',
  sourceSize: 1500,
  targetSize: 1500,
  probeSize: 500,
} as const;

const integers = ['epochs', 'batchSize', 'queueSize', 'history', 'neighbours'] as const;
const positives = ['learningRate', 'temperature'] as const;
const shares = ['momentum', 'keyMomentum'] as const;

/** What the network is, and how it is trained on the source. @throws GymError E_CONFIG on a value out of range. */
export function networkOptions(options: AdaptationOptions) {
  const { network = 'small', weights } = options;
  if (!networkNames.includes(network))
    throw new GymError(
      'E_CONFIG',
      `adaptation: network must be ${networkNames.join(', ')}, actual value ${shown(network)}.`,
    );
  const isSmall = network === 'small';
  if (isSmall && weights !== undefined)
    throw new GymError('E_CONFIG', 'adaptation: weights are for a ResNet; leave them out, or name one by network.');
  const {
    imageSize = isSmall ? 28 : 224,
    sourceEpochs: epochs = 10,
    sourceLearningRate: learningRate = isSmall ? 0.05 : 0.01,
  } = options;
  const smallest = isSmall ? 8 : 32;
  const problems = [
    [
      Number.isInteger(imageSize) && imageSize >= smallest,
      `imageSize must be an integer of at least ${smallest}`,
      imageSize,
    ],
    [Number.isInteger(epochs) && epochs >= 1, 'sourceEpochs must be an integer of at least 1', epochs],
    [learningRate > 0 && Number.isFinite(learningRate), 'sourceLearningRate must be a number above 0', learningRate],
  ] as const;
  for (const [fits, need, actual] of problems)
    if (!fits) throw new GymError('E_CONFIG', `adaptation: ${need}, actual value ${shown(actual)}.`);
  return { network, weights, imageSize, epochs, learningRate };
}

/** The settings with their defaults. @throws GymError E_CONFIG on a value out of range. */
export function settingsOf(options: AdaptationOptions): AdaptationSettings {
  const { setting, target } = options;
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const settings = Object.fromEntries(
    Object.entries({ ...defaultSettings, ...(setting === 'online' && { epochs: 1 }), ...given }).filter(([name]) =>
      Object.hasOwn(defaultSettings, name),
    ),
  ) as unknown as AdaptationSettings;
  const check = (name: keyof AdaptationSettings, need: string, fits: boolean) => {
    if (!fits)
      throw new GymError('E_CONFIG', `adaptation: ${name} must be ${need}, actual value ${shown(settings[name])}.`);
  };
  for (const name of integers)
    check(name, 'an integer of at least 1', Number.isInteger(settings[name]) && settings[name] >= 1);
  check('batchSize', 'at least 2, for the statistics of a batch', settings.batchSize >= 2);
  for (const name of positives) check(name, 'a number above 0', settings[name] > 0 && Number.isFinite(settings[name]));
  for (const name of shares) check(name, 'from 0 to below 1', settings[name] >= 0 && settings[name] < 1);
  check('weightDecay', 'a number of at least 0', settings.weightDecay >= 0 && Number.isFinite(settings.weightDecay));
  check('seed', 'an integer of at least 0', Number.isSafeInteger(settings.seed) && settings.seed >= 0);
  check('reward', rewards.join(', '), rewards.includes(settings.reward));
  const targets = Array.isArray(target) ? target.length : 1;
  if (targets < 1) throw new GymError('E_CONFIG', 'adaptation: target is an empty list; name at least one domain.');
  if (setting !== undefined && !['offline', 'online', 'continual'].includes(setting))
    throw new GymError(
      'E_CONFIG',
      `adaptation: setting must be offline, online or continual, actual value ${shown(setting)}.`,
    );
  if (setting !== undefined && (setting === 'continual') !== targets > 1)
    throw new GymError(
      'E_CONFIG',
      `adaptation: the setting ${setting} has ${setting === 'continual' ? 'several targets' : 'one target'}, target names ${targets}.`,
    );
  if (setting === 'online' && settings.epochs !== 1)
    throw new GymError(
      'E_CONFIG',
      `adaptation: the setting online is one pass, epochs is ${settings.epochs}; leave it out.`,
    );
  return settings;
}
