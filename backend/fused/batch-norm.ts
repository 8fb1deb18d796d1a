import * as tf from '@tensorflow/tfjs';
import { GymError } from '../../core/errors.js';
import { channelsOf, checkShape, differentiable, rowsOf, sumRows } from './differentiable.js';
import { type FusedKernels, fusedKernel } from './kernels.js';

/** What batch normalisation gives in training. */
export interface BatchNormalized<T extends tf.Tensor> {
  readonly value: T;
  /** [channels] of this batch */
  readonly mean: tf.Tensor1D;
  /** [channels], biased: the mean of the squared distances from the mean */
  readonly variance: tf.Tensor1D;
}

/**
 * Batch normalisation by the statistics of the batch itself (Ioffe and Szegedy 2015), over all axes but the last, with a
 * gradient that takes few kernel calls. The statistics that it also gives have no gradient.
 *
 * @param x [..., channels], at least two rows
 * @param gamma [channels]
 * @param beta [channels]
 * @param relu whether the ReLU of the result is taken. Default false.
 * @throws GymError E_SHAPE on a shape that does not fit, or a single row, which has no variance
 */
export function batchNorm<T extends tf.Tensor>(
  x: T,
  gamma: tf.Tensor1D,
  beta: tf.Tensor1D,
  epsilon: number,
  relu = false,
): BatchNormalized<T> {
  const channels = channelsOf(x);
  const count = rowsOf(x);
  checkShape('batchNorm', 'gamma', gamma, [channels]);
  checkShape('batchNorm', 'beta', beta, [channels]);
  if (count < 2)
    throw new GymError('E_SHAPE', `batchNorm: x has shape [${x.shape}], of which the statistics need two rows.`);
  const kernel = fusedKernel('TrainingBatchNorm');
  if (kernel) return fused(kernel, x, gamma, beta, { epsilon, relu });
  const normalized = composed(x, gamma, beta, epsilon);
  return relu ? { ...normalized, value: normalized.value.relu() } : normalized;
}

function fused<T extends tf.Tensor>(
  kernel: NonNullable<ReturnType<typeof fusedKernel<'TrainingBatchNorm'>>>,
  x: T,
  gamma: tf.Tensor1D,
  beta: tf.Tensor1D,
  attrs: FusedKernels['TrainingBatchNorm']['attrs'],
): BatchNormalized<T> {
  let kept: readonly tf.Tensor[] = [];
  const value = differentiable<T>(
    [x, gamma, beta],
    () => {
      const [value, mean, variance] = kernel({ x, gamma, beta }, attrs);
      // Copies that outlive this scope, and the gradient, which frees what it keeps.
      kept = [mean, variance].map((statistic) => tf.keep(statistic.clone()));
      return { value, kept: [x, gamma, beta, mean, variance] };
    },
    (dy, [x, gamma, beta, mean, variance]) =>
      fusedKernel('TrainingBatchNormGrad')!(
        { dy, x: x!, gamma: gamma!, beta: beta!, mean: mean!, variance: variance! },
        attrs,
      ),
  );
  // What is kept belongs to no scope; these belong to that of the caller.
  const [mean, variance] = kept.map((statistic) => statistic.clone()) as [tf.Tensor1D, tf.Tensor1D];
  tf.dispose([...kept]);
  return { value, mean, variance };
}

function composed<T extends tf.Tensor>(
  x: T,
  gamma: tf.Tensor1D,
  beta: tf.Tensor1D,
  epsilon: number,
): BatchNormalized<T> {
  const [channels, count] = [channelsOf(x), rowsOf(x)];
  const rows = (t: tf.Tensor) => t.reshape<tf.Tensor2D>([count, channels]);
  const mean = tf.tidy(() => sumRows(rows(x)).div<tf.Tensor1D>(count));
  const variance = tf.tidy(() => sumRows(rows(x).sub<tf.Tensor2D>(mean).square()).div<tf.Tensor1D>(count));
  const value = differentiable<T>(
    [x, gamma, beta],
    () => {
      const deviation = variance.add(epsilon).rsqrt();
      const normal = rows(x).sub<tf.Tensor2D>(mean).mul<tf.Tensor2D>(deviation);
      return { value: normal.mul(gamma).add(beta).reshape(x.shape), kept: [normal, gamma.mul(deviation)] };
    },
    (dy, kept) => {
      const [normal, scale] = kept as [tf.Tensor2D, tf.Tensor1D];
      const d = rows(dy);
      const dbeta = sumRows(d);
      const dgamma = sumRows(d.mul<tf.Tensor2D>(normal));
      // What the statistics themselves contribute is what the gradient has along 1 and along the normalised values.
      const dx = d
        .sub(dbeta.div(count))
        .sub(normal.mul(dgamma.div(count)))
        .mul(scale);
      return [dx.reshape(dy.shape), dgamma, dbeta];
    },
  );
  return { value, mean, variance };
}
