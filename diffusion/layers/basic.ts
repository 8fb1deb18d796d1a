import * as tf from '@tensorflow/tfjs';
import { groupNorm, layerNorm } from '../../backend/index.js';
import type { Scope } from '../state.js';

/** A layer on images [batch, height, width, channels]. */
export type ImageLayer = (x: tf.Tensor4D) => tf.Tensor4D;
/** A layer on rows [rows, channels]. */
export type RowLayer = (x: tf.Tensor2D) => tf.Tensor2D;

export interface Convolution {
  /** [kernel, kernel, in, out] */
  readonly weight: tf.Variable<tf.Rank.R4>;
  /** [out] */
  readonly bias: tf.Variable<tf.Rank.R1>;
}

/** The parameters of a convolution with a square kernel. */
export function convolution(scope: Scope, inChannels: number, outChannels: number, kernel: number): Convolution {
  const fanIn = inChannels * kernel * kernel;
  return {
    weight: scope.variable('weight', [kernel, kernel, inChannels, outChannels], { fanIn }),
    bias: scope.variable('bias', [outChannels], { fanIn }),
  };
}

/** Convolution with stride 1 that keeps the size (odd kernels), with an added bias of [out]. */
export function convolve(x: tf.Tensor4D, weight: tf.Tensor4D, bias?: tf.Tensor1D): tf.Tensor4D {
  return bias ? tf.fused.conv2d({ x, filter: weight, strides: 1, pad: 'same', bias }) : tf.conv2d(x, weight, 1, 'same');
}

/** A convolution layer with stride 1 that keeps the size. */
export function conv2d(scope: Scope, inChannels: number, outChannels: number, kernel: number): ImageLayer {
  const { weight, bias } = convolution(scope, inChannels, outChannels, kernel);
  return (x) => convolve(x, weight, bias);
}

/** x · weight + bias on rows; `torch.nn.Linear`. */
export function linear(scope: Scope, inChannels: number, outChannels: number, { bias = true } = {}): RowLayer {
  const fanIn = inChannels;
  const weight = scope.variable<tf.Rank.R2>('weight', [inChannels, outChannels], { fanIn });
  const offset = bias ? scope.variable<tf.Rank.R1>('bias', [outChannels], { fanIn }) : undefined;
  return (x) => matMulBias(x, weight, offset);
}

/** A convolution with a 1×1 kernel, applied to rows (one a pixel). */
export function pointwise(scope: Scope, inChannels: number, outChannels: number): RowLayer {
  const { weight, bias } = convolution(scope, inChannels, outChannels, 1);
  return (x) => matMulBias(x, weight.reshape([inChannels, outChannels]), bias);
}

export function matMulBias(x: tf.Tensor2D, weight: tf.Tensor2D, bias?: tf.Tensor1D): tf.Tensor2D {
  return bias ? (tf.fused.matMul({ a: x, b: weight, bias }) as tf.Tensor2D) : tf.matMul(x, weight);
}

/** `torch.nn.GroupNorm` on images. */
export function groupNormalization(scope: Scope, channels: number, groups: number, epsilon: number): ImageLayer {
  const scale = scope.variable<tf.Rank.R1>('weight', [channels], 1);
  const offset = scope.variable<tf.Rank.R1>('bias', [channels], 0);
  return (x) => groupNorm(x, scale, offset, groups, epsilon);
}

/** `torch.nn.LayerNorm` on rows. */
export function layerNormalization(scope: Scope, channels: number, epsilon: number): RowLayer {
  const scale = scope.variable<tf.Rank.R1>('weight', [channels], 1);
  const offset = scope.variable<tf.Rank.R1>('bias', [channels], 0);
  return (x) => layerNorm(x, scale, offset, epsilon) as tf.Tensor2D;
}

/**
 * Convolution 3×3 with stride 2. Padding 1 is symmetric, which TensorFlow's 'same' is not for even sizes; padding 0 adds
 * one row and column at the end (diffusers' Downsample2D).
 */
export function downsample(scope: Scope, channels: number, padding: 0 | 1): ImageLayer {
  const { weight, bias } = convolution(scope.at('conv'), channels, channels, 3);
  return (x) => {
    const padded = tf.pad(x, [
      [0, 0],
      [padding, 1],
      [padding, 1],
      [0, 0],
    ]);
    return tf.fused.conv2d({ x: padded, filter: weight, strides: 2, pad: 'valid', bias });
  };
}

/** Nearest-neighbour enlargement to twice the size (or to `size`, where a skip connection asks for it), then a 3×3 convolution. */
export function upsample(
  scope: Scope,
  channels: number,
): (x: tf.Tensor4D, size?: readonly [number, number]) => tf.Tensor4D {
  const conv = conv2d(scope.at('conv'), channels, channels, 3);
  return (x, size) => conv(enlarge(x, size ?? [2 * x.shape[1], 2 * x.shape[2]]));
}

/** Nearest-neighbour enlargement; `torch.nn.functional.interpolate(mode='nearest')`. */
export function enlarge(x: tf.Tensor4D, [height, width]: readonly [number, number]): tf.Tensor4D {
  const [batch, h, w, channels] = x.shape;
  if (height === 2 * h && width === 2 * w) return double(x);
  // Where the small image came from rounding up, the nearest neighbours are those of twice the size, cut.
  if (Math.ceil(height / 2) === h && Math.ceil(width / 2) === w)
    return tf.slice(double(x), [0, 0, 0, 0], [batch, height, width, channels]);
  return tf.image.resizeNearestNeighbor(x, [height, width]);
}

/** Every pixel twice in both directions: two copies forward, one average pooling backward, which all backends do fast. */
function double(x: tf.Tensor4D): tf.Tensor4D {
  const [batch, height, width, channels] = x.shape;
  const op = tf.customGrad((...args) => {
    const input = args[0] as tf.Tensor4D;
    const pixels = input.reshape([batch * height * width, channels]);
    const rows = tf.concat([pixels, pixels], 1).reshape([batch * height, 2 * width * channels]);
    const value = tf.concat([rows, rows], 1).reshape([batch, 2 * height, 2 * width, channels]);
    const gradFunc = (dy: tf.Tensor) => tf.avgPool(dy as tf.Tensor4D, 2, 2, 'valid').mul(4);
    return { value, gradFunc };
  });
  return op(x) as tf.Tensor4D;
}
