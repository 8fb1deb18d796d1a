import { createHash } from 'node:crypto';
import * as tf from '@tensorflow/tfjs';
import { readBytes } from '../../core/files.js';
import type { NdArray } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import { DigitsNetwork, normalizedImages } from '../../networks/digits-network.js';
import type { FeatureNetwork } from '../../networks/feature-network.js';
import { ResNet, type ResNetDepth } from '../../networks/resnet.js';
import { Sgd } from '../../networks/sgd.js';
import { cached } from '../data/cache.js';
import { type LabelledImages, pick } from '../data/labelled-images.js';
import { crossEntropy } from './losses.js';
import { accuracyOf } from './measures.js';
import type { NetworkName } from './options.js';
import { argmaxRows, oneHot } from './rules.js';
import { weakViews } from './views.js';

export interface SourceTraining {
  /** At most so many passes over the source. */
  readonly epochs: number;
  readonly batchSize: number;
  readonly learningRate: number;
  readonly momentum: number;
  readonly weightDecay: number;
  /** The share of each label that goes to all classes alike. */
  readonly labelSmoothing: number;
  /** The share of the source on which the best epoch is chosen, and which is not trained on. */
  readonly heldOut: number;
  /** It ends after so many epochs without a better one. */
  readonly patience: number;
}

/** The paper's loss at the learning rate that suits the small network. */
export const sourceTraining: SourceTraining = {
  epochs: 10,
  batchSize: 64,
  learningRate: 0.05,
  momentum: 0.9,
  weightDecay: 5e-4,
  labelSmoothing: 0.1,
  heldOut: 0.1,
  patience: 3,
};

/** Pictures in pieces that are computed at once. */
const piece = 250;

/** Features and probabilities of pictures in evaluation mode, on the host. */
export async function evaluated(
  network: FeatureNetwork,
  images: NdArray<Uint8Array>,
): Promise<{ features: NdArray<Float32Array>; probs: NdArray<Float32Array> }> {
  const [count = 0, height, width] = images.shape;
  const size = height! * width! * 3;
  const parts: { features: Float32Array; probs: Float32Array }[] = [];
  for (let from = 0; from < count; from += piece) {
    const to = Math.min(count, from + piece);
    const data = images.data.subarray(from * size, to * size);
    const result = tf.tidy(() => {
      const { features, logits } = network.forward(
        normalizedImages({ data, shape: [to - from, height!, width!, 3] }),
        'eval',
      );
      return { features, probs: tf.softmax(logits) };
    });
    parts.push({
      features: (await result.features.data()) as Float32Array,
      probs: (await result.probs.data()) as Float32Array,
    });
    tf.dispose(result);
  }
  const joined = (name: 'features' | 'probs') => {
    const arrays = parts.map((part) => part[name]);
    const data = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0));
    arrays.reduce((at, array) => {
      data.set(array, at);
      return at + array.length;
    }, 0);
    return { data, shape: [count, data.length / count] };
  };
  return { features: joined('features'), probs: joined('probs') };
}

/**
 * Trains a network on labelled pictures of the source, with weak views and smoothed labels, and keeps the weights of the
 * epoch with the lowest loss on a held-out part. The accuracy there would end it too early: it is at 100 % after a few
 * epochs, while the network goes on to learn what carries over to other domains.
 * @param network its weights are trained.
 * @returns the accuracy on the held-out part.
 */
async function trainOnSource(
  network: FeatureNetwork,
  data: LabelledImages,
  options: SourceTraining,
  random: Random,
): Promise<number> {
  const { epochs, batchSize, learningRate, momentum, weightDecay, labelSmoothing, heldOut, patience } = options;
  const order = random.child('held-out').permutation(data.labels.length);
  const kept = Math.max(1, Math.round(heldOut * order.length));
  const [test, train] = [pick(data, order.subarray(0, kept)), pick(data, order.subarray(kept))];
  const classes = data.classes.length;
  const [, height, width] = data.images.shape;
  const sgd = new Sgd(network.parameters, { momentum, weightDecay });
  const best = network.clone();
  let accuracy = 0;
  let [lowest, bestEpoch] = [Number.POSITIVE_INFINITY, 0];
  try {
    for (let epoch = 1; epoch <= epochs && epoch - bestEpoch <= patience; epoch++) {
      const shuffled = random.child(`order/${epoch}`).permutation(train.labels.length);
      for (let at = 0; at + 2 <= shuffled.length; at += batchSize) {
        const batch = shuffled.subarray(at, at + batchSize);
        if (batch.length < 2) break; // a single picture has no statistics of a batch
        const views = weakViews(train.images, batch, random.child(`views/${epoch}/${at}`));
        const hot = oneHot(
          Int32Array.from(batch, (i) => train.labels[i]!),
          classes,
        ).data;
        const inputs = tf.tidy(() => ({
          x: tf.tensor4d(views, [batch.length, height!, width!, 3]),
          targets: tf
            .tensor2d(hot, [batch.length, classes])
            .mul<tf.Tensor2D>(1 - labelSmoothing)
            .add<tf.Tensor2D>(labelSmoothing / classes),
          weights: tf.ones([batch.length]) as tf.Tensor1D,
        }));
        const step = sgd.minimize(
          () => crossEntropy(network.forward(inputs.x, 'train').logits, inputs.targets, inputs.weights),
          learningRate,
        );
        tf.dispose([step.loss, step.gradNorm, inputs.x, inputs.targets, inputs.weights]);
      }
      const { probs } = await evaluated(network, test.images);
      const loss = smoothedLoss(probs, test.labels, labelSmoothing);
      if (loss < lowest) {
        [lowest, bestEpoch] = [loss, epoch];
        accuracy = accuracyOf(argmaxRows(probs), test.labels, classes).overall;
        copyWeights(network, best);
      }
    }
    copyWeights(best, network);
    return accuracy;
  } finally {
    sgd.dispose();
    best.dispose();
  }
}

/** The mean cross-entropy of predictions with smoothed labels. @param probs [N, C] */
function smoothedLoss({ data, shape }: NdArray<Float32Array>, labels: Int32Array, smoothing: number): number {
  const classes = shape[1]!;
  let sum = 0;
  for (let i = 0; i < data.length; i++) {
    const target = smoothing / classes + (i % classes === labels[Math.floor(i / classes)] ? 1 - smoothing : 0);
    sum -= target * Math.log(Math.max(data[i]!, 1e-12));
  }
  return sum / labels.length;
}

/** Gives a network the values of another one of the same kind, tracked statistics included. */
export function copyWeights(from: FeatureNetwork, to: FeatureNetwork): void {
  for (const [name, variable] of from.parameters) to.parameters.get(name)!.assign(variable);
  for (const [name, variable] of from.buffers) to.buffers.get(name)!.assign(variable);
}

/** The values of a network by name, in TensorFlow's layout. */
export async function weightsOf({ parameters, buffers }: FeatureNetwork): Promise<Map<string, NdArray<Float32Array>>> {
  const values = new Map<string, NdArray<Float32Array>>();
  for (const [name, variable] of [...parameters, ...buffers])
    values.set(name, { data: (await variable.data()) as Float32Array, shape: variable.shape });
  return values;
}

/** The inverse of {@link weightsOf}. */
export function setWeights({ parameters, buffers }: FeatureNetwork, values: ReadonlyMap<string, NdArray>): void {
  for (const [name, variable] of [...parameters, ...buffers]) {
    const { data, shape } = values.get(name)!;
    tf.tidy(() => variable.assign(tf.tensor(data as Float32Array, [...shape])));
  }
}

/** Which network is trained, and the file of torchvision's weights that a ResNet begins with. */
export interface Architecture {
  readonly network: NetworkName;
  readonly weights?: string | undefined;
}

/** A network that has not seen the source yet. @throws GymError E_FILE on weights that are not there or do not fit. */
async function untrained(
  { network, weights }: Architecture,
  { images, classes: { length: classes } }: LabelledImages,
  random: Random,
): Promise<FeatureNetwork> {
  if (network === 'small') return DigitsNetwork.create({ classes, imageSize: images.shape[1]! }, random);
  const config = { classes, depth: { resnet18: 18, resnet50: 50, resnet101: 101 }[network] as ResNetDepth };
  return weights === undefined ? ResNet.create(config, random) : await ResNet.load(weights, config, random);
}

/**
 * A network as it is after training on a source; from the user's cache where it was trained on the very same pictures
 * before.
 * @throws GymError E_FILE on weights that are not there or do not fit.
 */
export async function sourceNetwork(
  data: LabelledImages,
  seed: number,
  architecture: Architecture = { network: 'small' },
  options: SourceTraining = sourceTraining,
): Promise<FeatureNetwork> {
  const random = new Random(seed).child('source');
  const network = await untrained(architecture, data, random.child('weights'));
  try {
    const { images, labels } = data;
    const digest = (...parts: (Uint8Array | Int32Array)[]) => {
      const hash = createHash('sha256');
      for (const part of parts) hash.update(part);
      return hash.digest('hex');
    };
    const begun = architecture.weights === undefined ? null : digest(await readBytes(architecture.weights));
    // Backends differ in the last digits. The first entry is raised with every change of how it is trained.
    const key = [
      3,
      tf.getBackend(),
      digest(images.data, labels),
      images.shape,
      architecture.network,
      begun,
      seed,
      options,
    ];
    const weights = await cached('networks', key, async () => {
      await trainOnSource(network, data, options, random);
      return weightsOf(network);
    });
    setWeights(network, weights);
    return network;
  } catch (error) {
    network.dispose();
    throw error;
  }
}
