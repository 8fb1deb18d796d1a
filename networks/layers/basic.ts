import * as tf from '@tensorflow/tfjs';
import {
  type Activation,
  convolution,
  type GroupNormOptions,
  groupNorm,
  layerNorm,
  linear,
  upsampleNearest2x,
} from '../../backend/index.js';
import type { Scope } from '../weights.js';

/** A layer on images [batch, height, width, channels]. */
export type ImageLayer = (x: tf.Tensor4D) => tf.Tensor4D;
/** A layer on the last axis of a tensor, whose other axes stay: rows [rows, channels] or the pixels of images. */
export type RowLayer = <T extends tf.Tensor>(x: T, residual?: T) => T;

/** The parameters of a convolution. */
export interface Convolution {
  /** [kernel, kernel, in, out] */
  readonly weight: tf.Variable<tf.Rank.R4>;
  /** [out] */
  readonly bias: tf.Variable<tf.Rank.R1>;
}

/** Makes the parameters of a convolution with a square kernel. */
export function convolutionParameters(
  scope: Scope,
  inChannels: number,
  outChannels: number,
  kernel: number,
): Convolution {
  const fanIn = inChannels * kernel * kernel;
  return {
    weight: scope.variable('weight', [kernel, kernel, inChannels, outChannels], { fanIn }),
    bias: scope.variable('bias', [outChannels], { fanIn }),
  };
}

/** A convolution layer with stride 1 that keeps height and width. */
export function conv2d(scope: Scope, inChannels: number, outChannels: number, kernel: number): ImageLayer {
  const { weight, bias } = convolutionParameters(scope, inChannels, outChannels, kernel);
  return (x) => convolution(x, weight, bias);
}

/** The options of a {@link linearLayer}. */
export interface LinearLayerOptions {
  /** Whether it has a bias, as it has by default. */
  readonly bias?: boolean;
  readonly activation?: Activation;
}

/** A linear layer, x · weight + bias (`torch.nn.Linear`), to which a residual is added where one is given. */
export function linearLayer(
  scope: Scope,
  inChannels: number,
  outChannels: number,
  { bias = true, activation }: LinearLayerOptions = {},
): RowLayer {
  const fanIn = inChannels;
  const weight = scope.adaptableWeight<tf.Rank.R2>([inChannels, outChannels], { fanIn });
  const offset = bias ? scope.variable<tf.Rank.R1>('bias', [outChannels], { fanIn }) : undefined;
  return (x, residual) => linear(x, weight(), { bias: offset, activation, residual });
}

/** A convolution with a 1×1 kernel, computed as a linear layer on each pixel. */
export function pointwise(scope: Scope, inChannels: number, outChannels: number): RowLayer {
  const fanIn = inChannels;
  const weight = scope.adaptableWeight<tf.Rank.R4>([1, 1, inChannels, outChannels], { fanIn });
  const bias = scope.variable<tf.Rank.R1>('bias', [outChannels], { fanIn });
  return (x, residual) => linear(x, weight(), { bias, residual });
}

/** `torch.nn.GroupNorm` on images, with what {@link groupNorm} computes in the same call. */
export function groupNormalization(
  scope: Scope,
  channels: number,
  groups: number,
  epsilon: number,
): (x: tf.Tensor4D, options?: Omit<GroupNormOptions, 'groups' | 'epsilon'>) => tf.Tensor4D {
  const gamma = scope.variable<tf.Rank.R1>('weight', [channels], 1);
  const beta = scope.variable<tf.Rank.R1>('bias', [channels], 0);
  return (x, options) => groupNorm(x, gamma, beta, { groups, epsilon, ...options });
}

/** `torch.nn.LayerNorm` over the last axis. */
export function layerNormalization(scope: Scope, channels: number, epsilon: number): RowLayer {
  const gamma = scope.variable<tf.Rank.R1>('weight', [channels], 1);
  const beta = scope.variable<tf.Rank.R1>('bias', [channels], 0);
  return (x) => layerNorm(x, gamma, beta, epsilon);
}

/**
 * A 3×3 convolution with stride 2 (diffusers' Downsample2D).
 * @param padding 1 pads all sides alike, which TensorFlow's 'same' does not for even sizes; 0 adds one row and one
 *   column at the end
 */
export function downsample(scope: Scope, channels: number, padding: 0 | 1): ImageLayer {
  const { weight, bias } = convolutionParameters(scope.at('conv'), channels, channels, 3);
  return (x) => {
    const padded = tf.pad(x, [
      [0, 0],
      [padding, 1],
      [padding, 1],
      [0, 0],
    ]);
    return convolution(padded, weight, bias, { strides: 2, pad: 'valid' });
  };
}

/**
 * A layer that enlarges an image to twice its size, or to `size` where a skip connection has another one, by nearest
 * neighbours, and then applies a 3×3 convolution (diffusers' Upsample2D).
 */
export function upsample(
  scope: Scope,
  channels: number,
): (x: tf.Tensor4D, size?: readonly [number, number]) => tf.Tensor4D {
  const conv = conv2d(scope.at('conv'), channels, channels, 3);
  return (x, size) => conv(enlarge(x, size ?? [2 * x.shape[1], 2 * x.shape[2]]));
}

/** Enlarges an image by nearest neighbours, as `torch.nn.functional.interpolate(mode='nearest')` does. */
export function enlarge(x: tf.Tensor4D, [height, width]: readonly [number, number]): tf.Tensor4D {
  const [batch, h, w, channels] = x.shape;
  if (height === 2 * h && width === 2 * w) return upsampleNearest2x(x);
  // Where the size of the small image is half of an odd size, rounded up, the nearest neighbours are those of the image
  // of twice its size, of which the last row or column is cut off.
  if (Math.ceil(height / 2) === h && Math.ceil(width / 2) === w)
    return tf.slice(upsampleNearest2x(x), [0, 0, 0, 0], [batch, height, width, channels]);
  return tf.image.resizeNearestNeighbor(x, [height, width]);
}
