import * as tf from '@tensorflow/tfjs';
import { groupNorm, layerNorm } from '../../backend/index.js';
import type { Scope } from '../weights.js';

/** A layer on images [batch, height, width, channels]. */
export type ImageLayer = (x: tf.Tensor4D) => tf.Tensor4D;
/** A layer on rows [rows, channels]. */
export type RowLayer = (x: tf.Tensor2D) => tf.Tensor2D;

/** The parameters of a convolution. */
export interface Convolution {
  /** [kernel, kernel, in, out] */
  readonly weight: tf.Variable<tf.Rank.R4>;
  /** [out] */
  readonly bias: tf.Variable<tf.Rank.R1>;
}

/** Makes the parameters of a convolution with a square kernel. */
export function convolution(scope: Scope, inChannels: number, outChannels: number, kernel: number): Convolution {
  const fanIn = inChannels * kernel * kernel;
  return {
    weight: scope.variable('weight', [kernel, kernel, inChannels, outChannels], { fanIn }),
    bias: scope.variable('bias', [outChannels], { fanIn }),
  };
}

/**
 * Convolution with an added bias [out]. The gradient of its bias, a sum over pixels, is computed as a matrix product,
 * which is much faster than the reduction over leading axes of `tf.fused.conv2d`, above all on wasm.
 */
export function convolve(
  x: tf.Tensor4D,
  weight: tf.Tensor4D,
  bias: tf.Tensor1D,
  strides: 1 | 2 = 1,
  pad: 'same' | 'valid' = 'same',
): tf.Tensor4D {
  const op = tf.customGrad((...args) => {
    const [x, filter, bias, save] = args as unknown as [tf.Tensor4D, tf.Tensor4D, tf.Tensor1D, tf.GradSaveFunc];
    const value = tf.fused.conv2d({ x, filter, bias, strides, pad });
    save([x, filter]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [x, filter] = saved as [tf.Tensor4D, tf.Tensor4D];
      const attributes = { strides, pad, dataFormat: 'NHWC' };
      const engine = tf.engine();
      return [
        engine.runKernel(tf.Conv2DBackpropInput, { dy, filter }, { ...attributes, inputShape: x.shape }) as tf.Tensor,
        engine.runKernel(tf.Conv2DBackpropFilter, { x, dy }, { ...attributes, filterShape: filter.shape }) as tf.Tensor,
        sumRows(dy.reshape([-1, filter.shape[3]])),
      ];
    };
    return { value, gradFunc };
  });
  return op(x, weight, bias) as tf.Tensor4D;
}

/** Sums [rows, channels] over its rows, to [channels]. */
function sumRows(x: tf.Tensor2D): tf.Tensor1D {
  return tf.matMul(tf.ones([1, x.shape[0]]), x).reshape([x.shape[1]]);
}

/**
 * Adds two tensors of the same shape. The gradient of `tf.add` would reshape both sides, in case they were broadcast,
 * which costs a kernel call for each.
 */
export function plus<T extends tf.Tensor>(a: T, b: T): T {
  const op = tf.customGrad((...args) => {
    const [a, b] = args as unknown as [T, T];
    return { value: tf.add(a, b), gradFunc: (dy: tf.Tensor) => [dy.clone(), dy.clone()] };
  });
  return op(a, b) as T;
}

/** Adds one row of `row` [batch, channels] to each pixel of its sample in `x` [batch, height, width, channels]. */
export function addToPixels(x: tf.Tensor4D, row: tf.Tensor2D): tf.Tensor4D {
  const op = tf.customGrad((...args) => {
    const [x, row] = args as unknown as [tf.Tensor4D, tf.Tensor2D];
    const [batch, height, width, channels] = x.shape;
    const value = tf.add(x, row.reshape([batch, 1, 1, channels]));
    const gradFunc = (dy: tf.Tensor) => {
      // The sum over pixels is computed as an average pooling of the whole image. Unlike a reduction of middle axes,
      // this is fast on every backend.
      const mean = tf.avgPool(dy as tf.Tensor4D, [height, width], 1, 'valid').reshape([batch, channels]);
      return [dy.clone(), mean.mul(height * width)];
    };
    return { value, gradFunc };
  });
  return op(x, row) as tf.Tensor4D;
}

/** A convolution layer with stride 1 that keeps height and width. */
export function conv2d(scope: Scope, inChannels: number, outChannels: number, kernel: number): ImageLayer {
  const { weight, bias } = convolution(scope, inChannels, outChannels, kernel);
  return (x) => convolve(x, weight, bias);
}

/** A linear layer on rows, x · weight + bias (`torch.nn.Linear`). */
export function linear(scope: Scope, inChannels: number, outChannels: number, { bias = true } = {}): RowLayer {
  const fanIn = inChannels;
  const weight = scope.variable<tf.Rank.R2>('weight', [inChannels, outChannels], { fanIn });
  const offset = bias ? scope.variable<tf.Rank.R1>('bias', [outChannels], { fanIn }) : undefined;
  return (x) => matMulBias(x, weight, offset);
}

/** A convolution with a 1×1 kernel, applied to rows, each of which is a pixel. */
export function pointwise(scope: Scope, inChannels: number, outChannels: number): RowLayer {
  const { weight, bias } = convolution(scope, inChannels, outChannels, 1);
  return (x) => matMulBias(x, weight.reshape([inChannels, outChannels]), bias);
}

/** Computes x · weight + bias, with a gradient that takes few kernel calls. */
export function matMulBias(x: tf.Tensor2D, weight: tf.Tensor2D, bias?: tf.Tensor1D): tf.Tensor2D {
  if (!bias) return tf.matMul(x, weight);
  const op = tf.customGrad((...args) => {
    const [x, weight, bias, save] = args as unknown as [tf.Tensor2D, tf.Tensor2D, tf.Tensor1D, tf.GradSaveFunc];
    const value = tf.matMul(x, weight).add(bias);
    save([x, weight]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [x, weight] = saved as [tf.Tensor2D, tf.Tensor2D];
      return [
        tf.matMul(dy as tf.Tensor2D, weight, false, true),
        tf.matMul(x, dy as tf.Tensor2D, true, false),
        sumRows(dy as tf.Tensor2D),
      ];
    };
    return { value, gradFunc };
  });
  return op(x, weight, bias) as tf.Tensor2D;
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
 * A 3×3 convolution with stride 2 (diffusers' Downsample2D).
 * @param padding 1 pads all sides alike, which TensorFlow's 'same' does not for even sizes; 0 adds one row and one
 *   column at the end
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
    return convolve(padded, weight, bias, 2, 'valid');
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
  if (height === 2 * h && width === 2 * w) return double(x);
  // Where the size of the small image is half of an odd size, rounded up, the nearest neighbours are those of the image
  // of twice its size, of which the last row or column is cut off.
  if (Math.ceil(height / 2) === h && Math.ceil(width / 2) === w)
    return tf.slice(double(x), [0, 0, 0, 0], [batch, height, width, channels]);
  return tf.image.resizeNearestNeighbor(x, [height, width]);
}

/**
 * Repeats every pixel in both directions. It is computed as two concatenations forward and one average pooling
 * backward, which are fast on all backends.
 */
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
