import * as tf from '@tensorflow/tfjs';
import { differentiable, empty } from './differentiable.js';
import { fusedKernel } from './kernels.js';

/**
 * Enlarges an image to twice its size by nearest neighbours, which repeats every pixel in both directions.
 *
 * @param x [batch, height, width, channels]
 * @returns [batch, 2 · height, 2 · width, channels]
 */
export function upsampleNearest2x(x: tf.Tensor4D): tf.Tensor4D {
  const [batch, height, width, channels] = x.shape;
  const shape: [number, number, number, number] = [batch, 2 * height, 2 * width, channels];
  if (x.size === 0) return empty(shape, [x]);
  const kernel = fusedKernel('UpsampleNearest2x');
  return differentiable(
    [x],
    () => ({ value: kernel ? kernel({ x }, {})[0] : repeat(x).reshape(shape) }),
    (dy) => fusedKernel('UpsampleNearest2xGrad')?.({ dy }, {}) ?? [tf.avgPool(dy as tf.Tensor4D, 2, 2, 'valid').mul(4)],
  );
}

/** It is computed as two concatenations forward and one average pooling backward, which are fast on all backends. */
function repeat(x: tf.Tensor4D): tf.Tensor {
  const [batch, height, width, channels] = x.shape;
  const pixels = x.reshape([batch * height * width, channels]);
  const rows = tf.concat([pixels, pixels], 1).reshape([batch * height, 2 * width * channels]);
  return tf.concat([rows, rows], 1);
}
