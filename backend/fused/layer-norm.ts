import * as tf from '@tensorflow/tfjs';
import { channelsOf, checkShape, differentiable, empty, rowsOf, sumRows } from './differentiable.js';
import { fusedKernel } from './kernels.js';

/**
 * Layer normalisation over the last axis with an affine map (Ba et al. 2016; `torch.nn.LayerNorm`): `y = (x - mean) /
 * sqrt(variance + epsilon) * gamma + beta`.
 *
 * @param x [..., channels]
 * @param gamma [channels]
 * @param beta [channels]
 * @throws GymError E_SHAPE on a shape that does not fit
 */
export function layerNorm<T extends tf.Tensor>(x: T, gamma: tf.Tensor1D, beta: tf.Tensor1D, epsilon: number): T {
  checkShape('layerNorm', 'gamma', gamma, [channelsOf(x)]);
  checkShape('layerNorm', 'beta', beta, [channelsOf(x)]);
  if (x.size === 0) return empty(x.shape, [x, gamma, beta]);
  const kernel = fusedKernel('FusedLayerNorm');
  if (!kernel) return composed(x, gamma, beta, epsilon);
  return differentiable(
    [x, gamma, beta],
    () => {
      const [value, mean, rstd] = kernel({ x, gamma, beta }, { epsilon });
      return { value, kept: [x, gamma, mean, rstd] };
    },
    (dy, [x, gamma, mean, rstd]) =>
      fusedKernel('FusedLayerNormGrad')!({ dy, x: x!, gamma: gamma!, mean: mean!, rstd: rstd! }, {}),
  );
}

function composed<T extends tf.Tensor>(x: T, gamma: tf.Tensor1D, beta: tf.Tensor1D, epsilon: number): T {
  const channels = channelsOf(x);
  const rows = rowsOf(x);
  /** Takes [rows, channels] to the mean of each row [rows, 1], as a matrix product. */
  const rowMean = (t: tf.Tensor2D) => tf.matMul(t, tf.fill([channels, 1], 1 / channels));
  return differentiable(
    [x, gamma, beta],
    () => {
      const flat = x.reshape<tf.Tensor2D>([rows, channels]);
      const centred = flat.sub<tf.Tensor2D>(rowMean(flat));
      const inverse = rowMean(centred.square()).add(epsilon).rsqrt();
      const normal = centred.mul<tf.Tensor2D>(inverse);
      const value = normal.mul(gamma).add(beta).reshape(x.shape);
      return { value, kept: [normal, inverse, gamma] };
    },
    (dy, kept) => {
      const [normal, inverse, gamma] = kept as [tf.Tensor2D, tf.Tensor2D, tf.Tensor1D];
      const dyFlat = dy.reshape<tf.Tensor2D>([rows, channels]);
      const dNormal = dyFlat.mul<tf.Tensor2D>(gamma);
      const dx = dNormal
        .sub(rowMean(dNormal))
        .sub(normal.mul(rowMean(dNormal.mul(normal))))
        .mul(inverse);
      return [dx.reshape(dy.shape), sumRows(dyFlat.mul(normal)), sumRows(dyFlat)];
    },
  );
}
