import * as tf from '@tensorflow/tfjs';
import { type AdamWAttributes, fusedKernel } from './kernels.js';

/** What one step of AdamW starts from, or ends with. */
export interface AdamWState {
  /** The first moments of all weights, [sum of the sizes of the weights]. */
  readonly m: tf.Tensor1D;
  /** The second moments of all weights, [sum of the sizes of the weights]. */
  readonly v: tf.Tensor1D;
  /** The weights of any shapes, in the order of `m` and `v`. */
  readonly weights: readonly tf.Tensor[];
}

/** The values of all tensors one after the other, as one vector. It has no gradient. */
export function flatten(tensors: readonly tf.Tensor[]): tf.Tensor1D {
  const kernel = fusedKernel('Flatten');
  if (kernel) return kernel({ tensors }, {})[0] as tf.Tensor1D;
  return tf.tidy(() => tf.concat1d(tensors.map((t) => t.flatten())));
}

/** The length of a vector. `tf.norm` raises each value to a power, which takes fifty times as long on native. */
export function euclideanNorm(x: tf.Tensor1D): tf.Scalar {
  return tf.tidy(() => x.square().sum<tf.Scalar>().sqrt());
}

/**
 * One step of AdamW (Loshchilov and Hutter 2019) as PyTorch makes it, of all weights at once: with `g = gradient ·
 * gradientScale`, `m' = β₁ m + (1 − β₁) g` and `v' = β₂ v + (1 − β₂) g²`, each weight becomes `w · (1 − learningRate ·
 * weightDecay) − learningRate / (1 − β₁^step) · m' / (sqrt(v') / sqrt(1 − β₂^step) + ε)`.
 *
 * @param gradient [sum of the sizes of the weights]
 * @returns new tensors, which the caller frees; what was given stays as it is
 */
export function adamWStep(gradient: tf.Tensor1D, state: AdamWState, attrs: AdamWAttributes): AdamWState {
  const kernel = fusedKernel('FusedAdamW');
  if (!kernel) return tf.tidy(() => composed(gradient, state, attrs) as AdamWState & tf.TensorContainerObject);
  const [m, v, ...weights] = kernel({ gradient, ...state }, attrs);
  return { m: m as tf.Tensor1D, v: v as tf.Tensor1D, weights };
}

function composed(gradient: tf.Tensor1D, { m, v, weights }: AdamWState, attrs: AdamWAttributes): AdamWState {
  const { learningRate, beta1, beta2, epsilon, weightDecay, step, gradientScale } = attrs;
  const g = gradientScale < 1 ? gradient.mul<tf.Tensor1D>(gradientScale) : gradient;
  const nextM = m.mul(beta1).add<tf.Tensor1D>(g.mul(1 - beta1));
  const nextV = v.mul(beta2).add<tf.Tensor1D>(g.square().mul(1 - beta2));
  const deviation = nextV.sqrt().div(Math.sqrt(1 - beta2 ** step));
  const update = nextM.div(deviation.add(epsilon)).mul(learningRate / (1 - beta1 ** step));
  const flat = tf.concat1d(weights.map((t) => t.flatten()));
  const next = (weightDecay === 0 ? flat : flat.mul(1 - learningRate * weightDecay)).sub<tf.Tensor1D>(update);
  const parts = tf.split(
    next,
    weights.map((t) => t.size),
  );
  return { m: nextM, v: nextV, weights: parts.map((part, i) => part.reshape(weights[i]!.shape)) };
}
