import type { Env } from '../env.js';
import type { Registration } from '../registration.js';
import type { AdaptationOptions } from './options.js';
import type { AdaptationAction, AdaptationObservation } from './spaces.js';

declare module '../registration.js' {
  interface KnownEnvs {
    'SourceFreeAdaptation-v0': { env: Env<AdaptationObservation, AdaptationAction>; options: AdaptationOptions };
  }
}

/** What the registry is told of source-free adaptation. Its code, TensorFlow.js and the data are loaded when it is made. */
export const adaptation: readonly Registration[] = [
  {
    id: 'SourceFreeAdaptation-v0',
    description:
      'adapt a trained network to unlabelled pictures of another domain: the action is pseudo-labels, their weights, and which negatives count',
    options: {
      source:
        'what the network was trained on: a domain (clean, lowres, texture, street, street_hard, invert, mnist, usps, svhn), or the path of pictures',
      target: 'what it is adapted to; a list: one after another',
      sourceSize: 'pictures of the source (default 1500)',
      targetSize: 'pictures of each target (default 1500)',
      probeSize: "pictures of each target's test split that are measured on (default 500)",
      sourceFolder: 'where the files of the source lie, if they have to be looked for',
      targetFolder: 'the same for the targets',
      network: 'what is adapted: small, resnet18, resnet50 or resnet101 (default small)',
      weights: "a safetensors file of torchvision's weights that a ResNet begins with",
      imageSize: 'height and width of pictures from your own files (default 28, 224 for a ResNet)',
      sourceEpochs: 'passes over the source, at most (default 10)',
      sourceLearningRate: 'step size of SGD on the source (default 0.05, 0.01 for a ResNet)',
      setting: 'offline, online or continual (default: offline, continual for several targets)',
      reward: 'label-free, accuracy or sparse (default label-free)',
      epochs: 'passes over a target (default 12)',
      batchSize: 'samples of one update (default 64)',
      learningRate: 'step size of SGD (default 0.02)',
      momentum: 'of SGD (default 0.9)',
      weightDecay: 'of SGD (default 5e-4)',
      keyMomentum: 'what the momentum network keeps at an update (default 0.99)',
      temperature: 'of the contrastive loss (default 0.07)',
      queueSize: 'the most keys that are kept as negatives (default 1024)',
      history: "how many previous epochs' labels are shown (default 5)",
      neighbours: 'k of the vote by which is measured (default 10)',
      seed: 'fixes the data, the network and the episodes (default 0)',
    },
    create: async (options) => {
      const [{ makeAdaptation }, { useBackend }] = await Promise.all([
        import('./make.js'),
        import('../../networks/backend.js'),
      ]);
      await useBackend();
      return makeAdaptation(options as AdaptationOptions);
    },
  },
];
