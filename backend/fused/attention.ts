import * as tf from '@tensorflow/tfjs';
import { GymError } from '../../core/errors.js';
import { channelsOf, checkShape, differentiable, empty, rowsOf } from './differentiable.js';
import { fusedKernel } from './kernels.js';

export interface AttentionOptions {
  /** The number of samples. The rows of a sample attend to the rows of the same sample. */
  readonly batch: number;
  /** A divisor of the number of channels. */
  readonly heads: number;
  /** [n, m], what is added to the scores of each head and sample; -1e9 hides a row. No gradient is taken in it. */
  readonly mask?: tf.Tensor2D;
}

/**
 * Scaled dot-product attention with several heads (Vaswani et al. 2017): `softmax(q · kᵀ / sqrt(width) + mask) · v` for
 * each head of `width` = channels / heads channels. The rows are self-attention's own or those of another tensor.
 *
 * @param q [..., channels], batch · n rows
 * @param k [..., channels], batch · m rows
 * @param v [..., channels], batch · m rows
 * @returns of the shape of `q`
 * @throws GymError E_SHAPE on a shape that does not fit
 */
export function attention<T extends tf.Tensor>(q: T, k: tf.Tensor, v: tf.Tensor, options: AttentionOptions): T {
  const { batch, heads, mask } = options;
  const channels = channelsOf(q);
  if (!Number.isInteger(heads) || heads < 1 || channels % heads !== 0)
    throw new GymError('E_SHAPE', `attention: ${channels} channels cannot be split into ${heads} heads.`);
  for (const [name, t] of Object.entries({ q, k, v }))
    if (channelsOf(t) !== channels || (batch > 0 ? rowsOf(t) % batch !== 0 : t.size > 0))
      throw new GymError(
        'E_SHAPE',
        `attention: ${name} has shape [${t.shape}]; its last axis must be ${channels}, and its rows those of ${batch} samples.`,
      );
  if (rowsOf(k) !== rowsOf(v) || (q.size > 0 && k.size === 0))
    throw new GymError('E_SHAPE', `attention: k has ${rowsOf(k)} rows and v ${rowsOf(v)}; both must have the same.`);
  if (q.size === 0) return empty(q.shape, [q, k, v]);
  checkShape('attention', 'mask', mask, [rowsOf(q) / batch, rowsOf(k) / batch]);

  const kernel = fusedKernel('FusedAttention');
  if (!kernel) return tf.tidy(() => composed(q, k, v, options));
  const attrs = { batch, heads };
  return differentiable(
    [q, k, v],
    () => {
      const [value, logSum] = kernel({ q, k, v, mask }, attrs);
      return { value, kept: [q, k, v, value, logSum, ...(mask ? [mask] : [])] };
    },
    (dy, [q, k, v, y, logSum, mask]) =>
      fusedKernel('FusedAttentionGrad')!({ dy, q: q!, k: k!, v: v!, y: y!, logSum: logSum!, mask }, attrs),
  );
}

function composed<T extends tf.Tensor>(q: T, k: tf.Tensor, v: tf.Tensor, options: AttentionOptions): T {
  const { batch, heads, mask } = options;
  const channels = channelsOf(q);
  const width = channels / heads;
  const byHead = (t: tf.Tensor): tf.Tensor3D | tf.Tensor4D =>
    heads === 1
      ? t.reshape<tf.Tensor3D>([batch, -1, channels])
      : t.reshape<tf.Tensor4D>([batch, -1, heads, width]).transpose<tf.Tensor4D>([0, 2, 1, 3]);
  const scores = tf.matMul(byHead(q.mul(1 / Math.sqrt(width))), byHead(k), false, true);
  const out = tf.matMul(tf.softmax(mask ? scores.add<tf.Tensor4D>(mask) : scores), byHead(v));
  return (heads === 1 ? out : out.transpose([0, 2, 1, 3])).reshape(q.shape) as tf.Tensor as T;
}
