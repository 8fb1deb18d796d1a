import * as tf from '@tensorflow/tfjs';
import type { Random } from '../../core/random.js';
import type { DigitsNetwork } from '../../networks/digits-network.js';
import { Sgd } from '../../networks/sgd.js';
import type { LabelledImages } from '../data/index.js';
import { consistencyLoss, contrastiveLoss, linearLoss, modelContrastiveLoss, proximalLoss } from './losses.js';
import type { FederatedAction, LocalTraining } from './spaces.js';

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

/** What the server has sent, as tensors. The caller frees them. */
export interface Assignment {
  readonly local: LocalTraining;
  readonly clusters: { readonly vectors: tf.Tensor2D; readonly classes: tf.Tensor1D } | undefined;
  readonly unbiased: { readonly vectors: tf.Tensor2D; readonly present: tf.Tensor1D } | undefined;
}

/** Takes from an action what clients need; where there is no prototype, there is no loss of it. */
export function assignmentOf(action: FederatedAction, local: LocalTraining): Assignment {
  const { clusterPrototypes, clusterMask, unbiasedMask, unbiasedPrototypes } = action;
  const [classes, most, features] = clusterPrototypes.shape as [number, number, number];
  const rows = [...clusterMask.data.keys()].filter((i) => clusterMask.data[i]);
  const vectors = new Float32Array(rows.length * features);
  rows.forEach((row, i) => {
    vectors.set(clusterPrototypes.data.subarray(row * features, (row + 1) * features), i * features);
  });
  const owners = rows.map((row) => Math.floor(row / most));
  const some = [...unbiasedMask.data].some((present) => present === 1);
  return {
    local,
    clusters:
      rows.length > 0
        ? { vectors: tf.tensor2d(vectors, [rows.length, features]), classes: tf.tensor1d(owners, 'int32') }
        : undefined,
    unbiased: some
      ? {
          vectors: tf.tensor2d(unbiasedPrototypes.data, [classes, features]),
          present: tf.tensor1d(Float32Array.from(unbiasedMask.data)),
        }
      : undefined,
  };
}

export function disposeAssignment({ clusters, unbiased }: Assignment): void {
  tf.dispose(
    [clusters?.vectors, clusters?.classes, unbiased?.vectors, unbiased?.present].filter((t) => t !== undefined),
  );
}

/** The networks that clients compute with, one after the other. */
export interface Networks {
  /** Trained. It has the global weights when a client begins. */
  readonly student: DigitsNetwork;
  /** The global weights, and those that the client had the last time, for MOON; else undefined. */
  readonly anchors: { readonly global: DigitsNetwork; readonly previous: DigitsNetwork } | undefined;
}

/**
 * Trains a client's network from the weights that it has, by a new optimiser, and measures its prototypes.
 * @param correction FedDyn's h of this client, one tensor a parameter.
 * @param random decides the order and the shifts of the pictures.
 * @returns what it sends: numbers that are not finite, where it has diverged.
 */
export async function trainClient(
  { student, anchors }: Networks,
  data: LabelledImages,
  { local, clusters, unbiased }: Assignment,
  correction: readonly tf.Tensor[] | undefined,
  options: LocalOptions,
  random: Random,
): Promise<ClientUpdate> {
  const classes = student.config.classes;
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
  return { parameters: await readWeights(student), ...(await measurePrototypes(student, data)), loss };
}

type Moon = [tf.Tensor2D, tf.Tensor2D];

function featuresOf(network: DigitsNetwork, images: tf.Tensor4D): tf.Tensor2D {
  return tf.tidy(() => network.forward(images, 'eval').features);
}

/** The mean feature of each class over a client's pictures as they are (FPL's equation 2). */
async function measurePrototypes(
  network: DigitsNetwork,
  data: LabelledImages,
): Promise<Pick<ClientUpdate, 'prototypes' | 'counts'>> {
  const images = batchOf(data, [...data.labels.keys()], 0);
  const features = featuresOf(network, images);
  images.dispose();
  const values = await features.data();
  const size = features.shape[1];
  features.dispose();
  const { classes } = network.config;
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
export async function accuracyOf(network: DigitsNetwork, data: LabelledImages): Promise<number> {
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

/** Everything that is averaged of a network: its parameters, and tracked statistics where it has any. */
function variablesOf(network: DigitsNetwork): tf.Variable[] {
  return [...network.parameters.values(), ...network.buffers.values()];
}

/** The number of weights of a network. */
export function weightCount(network: DigitsNetwork): number {
  return variablesOf(network).reduce((sum, { size }) => sum + size, 0);
}

/** All weights of a network as one vector [P]. */
export async function readWeights(network: DigitsNetwork): Promise<Float32Array> {
  const flat = tf.tidy(() => tf.concat(variablesOf(network).map((variable) => tf.reshape(variable, [-1]))));
  const data = (await flat.data()) as Float32Array;
  flat.dispose();
  return data;
}

/** Gives a network the weights of one vector [P]. */
export function writeWeights(network: DigitsNetwork, weights: Float32Array): void {
  variablesOf(network).forEach((variable, i, all) => {
    const first = all.slice(0, i).reduce((sum, { size }) => sum + size, 0);
    const value = tf.tensor(weights.slice(first, first + variable.size), variable.shape);
    variable.assign(value);
    value.dispose();
  });
}

/** A vector [P] as one tensor for each parameter; the caller frees them. */
export function parameterTensors(network: DigitsNetwork, weights: Float32Array): tf.Tensor[] {
  let first = 0;
  return [...network.parameters.values()].map(({ size, shape }) => {
    first += size;
    return tf.tensor(weights.slice(first - size, first), shape);
  });
}
