import * as tf from '@tensorflow/tfjs';

// The losses of the adaptation, as functions of logits and features (Litrico et al., CVPR 2023, and the formulas of its
// published code). All are differentiable in their first argument; the others count as constants.

/** Large enough that its exponential is 0 in float32. An infinite one would give 0 · ∞ = NaN in the gradient. */
const excluded = 1e9;

/** Lengths of rows are at least this, so that a row of zeros stays one. */
const shortest = 1e-12;

/** Rows of length 1, [N, D]. */
export function normalizeRows(x: tf.Tensor2D): tf.Tensor2D {
  return x.div(x.square().sum(1, true).sqrt().maximum(shortest));
}

/**
 * Weighted cross-entropy with hard or soft labels: mean over the batch of w_i · −Σ_c t_ic log p_ic. It divides by the size
 * of the batch, not by the sum of the weights.
 * @param logits [B, C]
 * @param targets [B, C], rows of probabilities
 * @param weights [B]
 */
export function crossEntropy(logits: tf.Tensor2D, targets: tf.Tensor2D, weights: tf.Tensor1D): tf.Scalar {
  return targets.mul(tf.logSoftmax(logits)).sum(1).mul(weights).mean<tf.Scalar>().neg();
}

/**
 * Negative learning (Kim et al. 2019): what a sample is not. The mean over the batch of w_i · −log(1 − p_i,complementary),
 * where 1 − p is cut to 1e-5..1.
 * @param logits [B, C]
 * @param complementary [B, C], one-hot rows: for each sample a class that it is taken not to be
 * @param weights [B]
 */
export function negativeLearning(logits: tf.Tensor2D, complementary: tf.Tensor2D, weights: tf.Tensor1D): tf.Scalar {
  const probability = tf.softmax(logits).mul(complementary).sum(1);
  const other = tf.clipByValue(tf.sub(1, probability), 1e-5, 1);
  return other.log().mul(weights).mean<tf.Scalar>().neg();
}

/**
 * The negative entropy of the mean prediction of a batch: Σ_c m_c log(m_c + 1e-8). It is lowest, −log C, where all classes
 * are predicted equally often.
 * @param logits [B, C]
 */
export function diversity(logits: tf.Tensor2D): tf.Scalar {
  const mean = tf.softmax(logits).mean(0);
  return mean.mul(mean.add(1e-8).log()).sum<tf.Scalar>();
}

/** The mean entropy of the predictions in nats, which information maximisation lowers. @param logits [B, C] */
export function meanEntropy(logits: tf.Tensor2D): tf.Scalar {
  return tf.softmax(logits).mul(tf.logSoftmax(logits)).sum(1).mean<tf.Scalar>().neg();
}

/**
 * InfoNCE with exclusion: the cross-entropy of finding the positive key among the negative ones that are kept, mean over
 * the batch. A row of which no negative is kept has the loss 0.
 * @param query [B, D], of any length; it is normalised here
 * @param positives [B, D], unit vectors: the keys of the same samples
 * @param queue [K, D], unit vectors: the keys of others
 * @param keep [B, K], 1 where a negative is kept and 0 where it is excluded
 * @param temperature above 0
 */
export function contrastive(
  query: tf.Tensor2D,
  positives: tf.Tensor2D,
  queue: tf.Tensor2D,
  keep: tf.Tensor2D,
  temperature: number,
): tf.Scalar {
  const q = normalizeRows(query);
  const positive = q.mul(positives).sum(1, true);
  const negatives = tf.matMul(q, queue, false, true);
  const logits = tf
    .concat([positive, negatives], 1)
    .div(temperature)
    .sub(
      tf
        .pad(tf.sub(1, keep), [
          [0, 0],
          [1, 0],
        ])
        .mul(excluded),
    );
  return tf
    .logSumExp(logits, 1)
    .sub(positive.squeeze([1]).div(temperature))
    .mean<tf.Scalar>();
}
