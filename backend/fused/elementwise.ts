import * as tf from '@tensorflow/tfjs';
import { differentiable } from './differentiable.js';

/**
 * The activation `x * sigmoid(x)`, also called swish, of a tensor of any shape. Its gradient takes four kernel calls.
 */
export function silu<T extends tf.Tensor>(x: T): T {
  return differentiable(
    [x],
    () => {
      const gate = x.sigmoid();
      const value = x.mul(gate);
      return { value, kept: [gate, value] };
    },
    (dy, [gate, y]) => [dy.mul(gate!.add(y!).sub(gate!.mul(y!)))],
  );
}

/**
 * Adds two tensors of the same shape. The gradient of `tf.add` would reshape both sides, in case they were broadcast,
 * which costs a kernel call for each.
 */
export function plus<T extends tf.Tensor>(a: T, b: T): T {
  return differentiable(
    [a, b],
    () => ({ value: tf.add(a, b) }),
    (dy) => [dy.clone(), dy.clone()],
  );
}

/** Adds one row of `row` [batch, channels] to each pixel of its sample in `x` [batch, height, width, channels]. */
export function addToPixels(x: tf.Tensor4D, row: tf.Tensor2D): tf.Tensor4D {
  const [batch, height, width, channels] = x.shape;
  return differentiable(
    [x, row],
    () => ({ value: tf.add(x, row.reshape([batch, 1, 1, channels])) }),
    (dy) => {
      // The sum over pixels is computed as an average pooling of the whole image. Unlike a reduction of middle axes,
      // this is fast on every backend.
      const mean = tf.avgPool(dy as tf.Tensor4D, [height, width], 1, 'valid').reshape([batch, channels]);
      return [dy.clone(), mean.mul(height * width)];
    },
  );
}
