import * as tf from '@tensorflow/tfjs';
import { Random, type RandomState } from '../../core/random.js';
import type { FeatureNetwork } from '../../networks/feature-network.js';
import { Sgd } from '../../networks/sgd.js';
import type { LabelledImages } from '../data/index.js';
import { consistencyLoss, contrastiveLoss, linearLoss, modelContrastiveLoss, proximalLoss } from './losses.js';
import type { FederatedAction, LocalTraining } from './spaces.js';
import { parameterTensors, readWeights, writeWeights } from './weights.js';

/** How all clients train. */
export interface LocalOptions {
  readonly learningRate: number;
  readonly localEpochs: number;
  readonly batchSize: number;
  readonly momentum: number;
  readonly weightDecay: number;
  /** Gradients of a larger norm are scaled down to it. */
  readonly maxGradNorm: number;
  /** Pictures are moved by so many pixels at most, anew in each epoch. */
  readonly shift: number;
  /** Over the dimensions of the features: as in FPL's paper, or as in its code. */
  readonly consistency: 'sum' | 'mean';
}

/** What a client sends. */
export interface ClientUpdate {
  /** [P] */
  readonly parameters: Float32Array;
  /** [C, D], 0 for a class that it has no example of. */
  readonly prototypes: Float32Array;
  /** [C] */
  readonly counts: Int32Array;
  readonly loss: number;
}

/** What the server has sent to all clients: where there is no prototype, there is no loss of it. */
export interface Assignment {
  readonly local: LocalTraining;
  /** [K · D] and the class of each of the K. */
  readonly clusters: { readonly vectors: Float32Array; readonly classes: Int32Array } | undefined;
  /** [C · D] and [C]. */
  readonly unbiased: { readonly vectors: Float32Array; readonly present: Float32Array } | undefined;
}

/** Takes from an action what clients need. */
export function assignmentOf(action: FederatedAction, local: LocalTraining): Assignment {
  const { clusterPrototypes, clusterMask, unbiasedMask, unbiasedPrototypes } = action;
  const [, most, features] = clusterPrototypes.shape as [number, number, number];
  const rows = [...clusterMask.data.keys()].filter((i) => clusterMask.data[i]);
  const vectors = new Float32Array(rows.length * features);
  rows.forEach((row, i) => {
    vectors.set(clusterPrototypes.data.subarray(row * features, (row + 1) * features), i * features);
  });
  const classes = Int32Array.from(rows, (row) => Math.floor(row / most));
  const present = Float32Array.from(unbiasedMask.data);
  return {
    local,
    clusters: rows.length > 0 ? { vectors, classes } : undefined,
    unbiased: present.includes(1) ? { vectors: unbiasedPrototypes.data, present } : undefined,
  };
}

/**
 * All that a client's training in a round follows from, as plain data: whoever computes it, in whatever thread, comes to
 * the same bits.
 */
export interface ClientTask {
  readonly pictures: LabelledImages;
  readonly assignment: Assignment;
  /** [P] The global model. */
  readonly parameters: Float32Array;
  /** [P] MOON: the weights that the client had the last time. */
  readonly previous: Float32Array | undefined;
  /** [P] FedDyn: its correction h. */
  readonly correction: Float32Array | undefined;
  /** Decides the order and the shifts of the pictures. */
  readonly random: RandomState;
}

/** Computes what clients do, one after the other, with networks of its own. */
export class ClientTrainer {
  readonly #student: FeatureNetwork;
  readonly #options: LocalOptions;
  /** The networks of MOON, made when a strategy first needs them. */
  #anchors: { readonly global: FeatureNetwork; readonly previous: FeatureNetwork } | undefined;

  /** @param network is this object's from now on. */
  constructor(network: FeatureNetwork, options: LocalOptions) {
    this.#student = network;
    this.#options = options;
  }

  /** Trains a client's network from the global weights, by a new optimiser, and measures its prototypes. */
  async train({ pictures, assignment, parameters, previous, correction, random }: ClientTask): Promise<ClientUpdate> {
    const { clusters, unbiased, local } = assignment;
    writeWeights(this.#student, parameters);
    if (local.modelContrastive > 0) {
      this.#anchors ??= { global: this.#student.clone(), previous: this.#student.clone() };
      writeWeights(this.#anchors.global, parameters);
      writeWeights(this.#anchors.previous, previous ?? parameters);
    }
    const targets: Targets = {
      clusters: clusters && {
        vectors: tf.tensor2d(clusters.vectors, [
          clusters.classes.length,
          clusters.vectors.length / clusters.classes.length,
        ]),
        classes: tf.tensor1d(clusters.classes, 'int32'),
      },
      unbiased: unbiased && {
        vectors: tf.tensor2d(unbiased.vectors, [
          unbiased.present.length,
          unbiased.vectors.length / unbiased.present.length,
        ]),
        present: tf.tensor1d(unbiased.present),
      },
      correction: correction && parameterTensors(this.#student, correction),
      anchors: local.modelContrastive > 0 ? this.#anchors : undefined,
    };
    const loss = await trainedLoss(this.#student, pictures, local, targets, this.#options, Random.restore(random));
    tf.dispose([
      ...Object.values(targets.clusters ?? {}),
      ...Object.values(targets.unbiased ?? {}),
      ...(targets.correction ?? []),
    ]);
    return {
      parameters: await readWeights(this.#student),
      ...(await measurePrototypes(this.#student, pictures)),
      loss,
    };
  }

  /** The share of pictures that the network with these weights [P] classifies as they are labelled. */
  async accuracy(parameters: Float32Array, data: LabelledImages): Promise<number> {
    writeWeights(this.#student, parameters);
    return await accuracyOf(this.#student, data);
  }

  dispose(): void {
    this.#student.dispose();
    this.#anchors?.global.dispose();
    this.#anchors?.previous.dispose();
  }
}

/** What a client's losses pull towards, as tensors. */
interface Targets {
  readonly clusters: { readonly vectors: tf.Tensor2D; readonly classes: tf.Tensor1D } | undefined;
  readonly unbiased: { readonly vectors: tf.Tensor2D; readonly present: tf.Tensor1D } | undefined;
  readonly correction: readonly tf.Tensor[] | undefined;
  readonly anchors: { readonly global: FeatureNetwork; readonly previous: FeatureNetwork } | undefined;
}

/** Trains a network, and says its mean loss in the last epoch. */
async function trainedLoss(
  student: FeatureNetwork,
  data: LabelledImages,
  local: LocalTraining,
  { clusters, unbiased, correction, anchors }: Targets,
  options: LocalOptions,
  random: Random,
): Promise<number> {
  const classes = data.classes.length;
  const weights = [...student.parameters.values()];
  const start = tf.tidy(() => weights.map((weight) => weight.clone()));
  const proximal = local.proximal + local.dynamic;
  const lossOf = (images: tf.Tensor4D, labels: tf.Tensor1D, moon: [tf.Tensor2D, tf.Tensor2D] | undefined): tf.Scalar =>
    tf.tidy(() => {
      const { features, logits } = student.forward(images, 'train');
      const terms: [number, () => tf.Scalar][] = [
        [local.crossEntropy, () => tf.losses.softmaxCrossEntropy(tf.oneHot(labels, classes), logits) as tf.Scalar],
      ];
      if (clusters)
        terms.push([local.contrastive, () => contrastiveLoss(features, labels, clusters, local.temperature)]);
      if (unbiased)
        terms.push([local.consistency, () => consistencyLoss(features, labels, unbiased, options.consistency)]);
      if (moon)
        terms.push([
          local.modelContrastive,
          () => modelContrastiveLoss(features, moon[0], moon[1], local.modelTemperature),
        ]);
      terms.push([proximal, () => proximalLoss(weights, start)]);
      if (correction) terms.push([1, () => linearLoss(weights, correction)]);
      const used = terms.filter(([weight]) => weight > 0);
      // A term of weight 0 that all weights are in keeps the gradient defined where nothing else is asked for.
      return used.length > 0
        ? (tf.addN(used.map(([weight, term]) => tf.mul(term(), weight))) as tf.Scalar)
        : (tf.mul(proximalLoss(weights, start), 0) as tf.Scalar);
    });
  const optimizer = new Sgd(student.parameters, options);
  const epochs = Math.max(1, Math.round(options.localEpochs * local.epochs));
  const learningRate = options.learningRate * local.learningRate;
  let loss = 0;
  for (let epoch = 0; epoch < epochs; epoch++) {
    const order = random.permutation(data.labels.length);
    const losses: tf.Scalar[] = [];
    for (let first = 0; first < order.length; first += options.batchSize) {
      const batch = order.subarray(first, first + options.batchSize);
      const images = batchOf(data, batch, options.shift, random);
      const labels = tf.tensor1d(
        Int32Array.from(batch, (i) => data.labels[i]!),
        'int32',
      );
      const moon =
        anchors && ([anchors.global, anchors.previous].map((network) => featuresOf(network, images)) as Moon);
      const step = optimizer.minimize(() => lossOf(images, labels, moon), learningRate);
      tf.dispose([images, labels, step.gradNorm, ...(moon ?? [])]);
      losses.push(step.loss);
    }
    const mean = tf.tidy(() => tf.mean(tf.stack(losses)));
    tf.dispose(losses);
    if (epoch === epochs - 1) loss = (await mean.data())[0]!;
    mean.dispose();
  }
  optimizer.dispose();
  tf.dispose(start);
  return loss;
}

type Moon = [tf.Tensor2D, tf.Tensor2D];

function featuresOf(network: FeatureNetwork, images: tf.Tensor4D): tf.Tensor2D {
  return tf.tidy(() => network.forward(images, 'eval').features);
}

/** The mean feature of each class over a client's pictures as they are (FPL's equation 2). */
async function measurePrototypes(
  network: FeatureNetwork,
  data: LabelledImages,
): Promise<Pick<ClientUpdate, 'prototypes' | 'counts'>> {
  const images = batchOf(data, [...data.labels.keys()], 0);
  const features = featuresOf(network, images);
  images.dispose();
  const values = await features.data();
  const size = features.shape[1];
  features.dispose();
  const classes = data.classes.length;
  const sums = new Float64Array(classes * size);
  const counts = new Int32Array(classes);
  data.labels.forEach((label, i) => {
    counts[label]!++;
    for (let k = 0; k < size; k++) sums[label * size + k]! += values[i * size + k]!;
  });
  const prototypes = Float32Array.from(sums, (sum, i) => sum / Math.max(1, counts[Math.floor(i / size)]!));
  return { prototypes, counts };
}

/** The share of pictures that a network classifies as they are labelled. */
async function accuracyOf(network: FeatureNetwork, data: LabelledImages): Promise<number> {
  const chunk = 256;
  let right = 0;
  for (let first = 0; first < data.labels.length; first += chunk) {
    const labels = data.labels.subarray(first, first + chunk);
    const images = batchOf(
      data,
      Int32Array.from(labels, (_, i) => first + i),
      0,
    );
    const guesses = tf.tidy(() => tf.argMax(network.forward(images, 'eval').logits, 1));
    const values = await guesses.data();
    tf.dispose([images, guesses]);
    right += labels.filter((label, i) => label === values[i]).length;
  }
  return right / data.labels.length;
}

/** Some pictures as float32 −1..1, each moved by up to `shift` pixels; what comes in at the rim is as the rim is. */
function batchOf({ images }: LabelledImages, indices: ArrayLike<number>, shift: number, random?: Random): tf.Tensor4D {
  const [, height, width, channels] = images.shape as [number, number, number, number];
  const size = height * width * channels;
  const data = new Float32Array(indices.length * size);
  const within = (i: number, length: number) => Math.min(length - 1, Math.max(0, i));
  for (let i = 0; i < indices.length; i++) {
    const from = indices[i]! * size;
    const [dy, dx] = random && shift > 0 ? [0, 1].map(() => random.integer(2 * shift + 1) - shift) : [0, 0];
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const source = from + (within(y + dy!, height) * width + within(x + dx!, width)) * channels;
        const target = i * size + (y * width + x) * channels;
        for (let c = 0; c < channels; c++) data[target + c] = images.data[source + c]! / 127.5 - 1;
      }
  }
  return tf.tensor4d(data, [indices.length, height, width, channels]);
}
