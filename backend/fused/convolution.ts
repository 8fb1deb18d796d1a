import * as tf from '@tensorflow/tfjs';
import { checkShape, differentiable, empty, sumRows } from './differentiable.js';
import { plus } from './elementwise.js';
import { fusedKernel } from './kernels.js';

export interface ConvolutionOptions {
  /** By default 1. */
  readonly strides?: 1 | 2;
  /** TensorFlow's 'same' (the default) or 'valid'. */
  readonly pad?: 'same' | 'valid';
  /** What is added to the result, of its shape. */
  readonly residual?: tf.Tensor4D;
}

/**
 * A convolution with what is added to it: a bias, and possibly a whole image.
 *
 * @param x [batch, height, width, in]
 * @param filter [height, width, in, out]
 * @param bias [out]
 * @throws GymError E_SHAPE on a shape that does not fit
 */
export function convolution(
  x: tf.Tensor4D,
  filter: tf.Tensor4D,
  bias: tf.Tensor1D,
  { strides = 1, pad = 'same', residual }: ConvolutionOptions = {},
): tf.Tensor4D {
  const attrs = { strides, pad };
  const { outShape } = tf.backend_util.computeConv2DInfo(x.shape, filter.shape, strides, 1, pad);
  checkShape('convolution', 'bias', bias, [filter.shape[3]]);
  checkShape('convolution', 'residual', residual, outShape);
  const inputs = [x, filter, bias, ...(residual ? [residual] : [])];
  if (x.size === 0) return empty(outShape, inputs);

  const kernel = fusedKernel('FusedConvolution');
  if (!kernel)
    return tf.tidy(() => {
      const y = composed(x, filter, bias, attrs);
      return residual ? plus(residual, y) : y;
    });
  const hasResidual = residual !== undefined;
  return differentiable(
    inputs,
    () => ({ value: kernel({ x, filter, bias, residual }, attrs)[0], kept: [x, filter] }),
    (dy, [x, filter]) => {
      const gradients = fusedKernel('FusedConvolutionGrad')!({ dy, x: x!, filter: filter! }, attrs);
      return hasResidual ? [...gradients, dy.clone()] : gradients;
    },
  );
}

/**
 * The gradient of the bias, a sum over pixels, is computed as a matrix product, which is much faster than the reduction
 * over leading axes of `tf.fused.conv2d`, above all on wasm.
 */
function composed(
  x: tf.Tensor4D,
  filter: tf.Tensor4D,
  bias: tf.Tensor1D,
  { strides, pad }: { readonly strides: 1 | 2; readonly pad: 'same' | 'valid' },
): tf.Tensor4D {
  return differentiable(
    [x, filter, bias],
    () => ({ value: tf.fused.conv2d({ x, filter, bias, strides, pad }), kept: [x, filter] }),
    (dy, kept) => {
      const [x, filter] = kept as [tf.Tensor4D, tf.Tensor4D];
      const attributes = { strides, pad, dataFormat: 'NHWC' };
      const engine = tf.engine();
      return [
        engine.runKernel(tf.Conv2DBackpropInput, { dy, filter }, { ...attributes, inputShape: x.shape }) as tf.Tensor,
        engine.runKernel(tf.Conv2DBackpropFilter, { x, dy }, { ...attributes, filterShape: filter.shape }) as tf.Tensor,
        sumRows(dy.reshape([-1, filter.shape[3]])),
      ];
    },
  );
}
