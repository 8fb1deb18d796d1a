import * as tf from '@tensorflow/tfjs';

// The terms of the clients' losses beside the cross-entropy. Each is a scalar without its coefficient, and what it pulls
// towards (prototypes, other networks' features and weights) is constant: no gradient goes there.

/** Prototypes of which a class may have several, or none. */
export interface ClusterPrototypes {
  /** [K, D], of at least one row; their lengths do not count. */
  readonly vectors: tf.Tensor2D;
  /** int32 [K], the class of each. */
  readonly classes: tf.Tensor1D;
}

/** A prototype for each class that has one. */
export interface ClassPrototypes {
  /** [C, D] */
  readonly vectors: tf.Tensor2D;
  /** [C], 1 where the class has a prototype and 0 where it has none; the row in `vectors` is then not looked at. */
  readonly present: tf.Tensor1D;
}

/** Rows of length 1. A zero row, as a network with dead units gives, stays one and has the gradient 0/0 nowhere. */
function unit(x: tf.Tensor2D): tf.Tensor2D {
  return tf.mul(x, tf.rsqrt(tf.maximum(tf.sum(tf.square(x), 1, true), 1e-12)));
}

/**
 * Cluster prototypes contrastive learning (Huang et al., CVPR 2023, equations 7 and 8): with s(z, c) = cos(z, c)/τ, the
 * mean over the batch of −log(Σ e^s over the prototypes of z's own class / Σ e^s over all). Examples of a class without a
 * prototype add nothing and are counted in the mean. Sums of exponentials are taken by their logarithms, so any τ > 0 is
 * finite; the paper's own code is not below .012 or so.
 * @param features [B, D]. @param labels int32 [B]. @param temperature τ.
 */
export function contrastiveLoss(
  features: tf.Tensor2D,
  labels: tf.Tensor1D,
  { vectors, classes }: ClusterPrototypes,
  temperature: number,
): tf.Scalar {
  return tf.tidy(() => {
    const similarities = tf.div(tf.matMul(unit(features), unit(vectors), false, true), temperature);
    const own = tf.cast(tf.equal(tf.expandDims(labels, 1), tf.expandDims(classes, 0)), 'float32');
    // Not by −∞, which times the 0 of the mask would be NaN in the gradient.
    const positives = tf.add(similarities, tf.mul(tf.sub(own, 1), 1e9));
    const loss = tf.sub(tf.logSumExp(similarities, 1), tf.logSumExp(positives, 1));
    return tf.mean(tf.mul(loss, tf.max(own, 1))) as tf.Scalar;
  });
}

/**
 * Unbiased prototypes consistent regularization (equation 10): the mean over the batch of Σ_v (z_v − U_v)², U being the
 * prototype of z's class. Examples of a class without one add nothing and are counted.
 * @param features [B, D]. @param labels int32 [B].
 * @param reduction over the dimensions v: 'sum' as in the paper, or 'mean' as in its code, which is D times less.
 */
export function consistencyLoss(
  features: tf.Tensor2D,
  labels: tf.Tensor1D,
  { vectors, present }: ClassPrototypes,
  reduction: 'sum' | 'mean',
): tf.Scalar {
  return tf.tidy(() => {
    const squares = tf.square(tf.sub(features, tf.gather(vectors, labels)));
    const distances = reduction === 'sum' ? tf.sum(squares, 1) : tf.mean(squares, 1);
    return tf.mean(tf.mul(distances, tf.gather(present, labels))) as tf.Scalar;
  });
}

/** ½ Σ‖θ − θ_g‖², FedProx's proximal term (Li et al., MLSys 2020, equation 2) without its μ. */
export function proximalLoss(weights: readonly tf.Tensor[], globalWeights: readonly tf.Tensor[]): tf.Scalar {
  return tf.tidy(() => {
    const squares = weights.map((w, i) => tf.sum<tf.Scalar>(tf.square(tf.sub(w, globalWeights[i]!))));
    return tf.mul(tf.addN(squares), 0.5) as tf.Scalar;
  });
}

/** −⟨h, θ⟩, the linear term of FedDyn (Acar et al., ICLR 2021, equation 1); h is the client's own. */
export function linearLoss(weights: readonly tf.Tensor[], correction: readonly tf.Tensor[]): tf.Scalar {
  return tf.tidy(() => {
    const products = weights.map((w, i) => tf.sum<tf.Scalar>(tf.mul(w, correction[i]!)));
    return tf.neg(tf.addN(products)) as tf.Scalar;
  });
}

/**
 * Model-contrastive learning (MOON; Li et al., CVPR 2021, equation 3): the mean over the batch of
 * −log(e^(cos(z, z_g)/τ) / (e^(cos(z, z_g)/τ) + e^(cos(z, z_p)/τ))), without its μ.
 * @param features [B, D]. @param globalFeatures z_g, of the network as the server sent it.
 * @param previousFeatures z_p, of the network as the client last had it.
 */
export function modelContrastiveLoss(
  features: tf.Tensor2D,
  globalFeatures: tf.Tensor2D,
  previousFeatures: tf.Tensor2D,
  temperature: number,
): tf.Scalar {
  return tf.tidy(() => {
    const z = unit(features);
    const cosine = (other: tf.Tensor2D) => tf.sum(tf.mul(z, unit(other)), 1);
    // −log(e^a / (e^a + e^b)) = log(1 + e^(b − a))
    const difference = tf.div(tf.sub(cosine(previousFeatures), cosine(globalFeatures)), temperature);
    return tf.mean(tf.softplus(difference)) as tf.Scalar;
  });
}
