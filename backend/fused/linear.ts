import * as tf from '@tensorflow/tfjs';
import { GymError } from '../../core/errors.js';
import { channelsOf, checkShape, differentiable, empty, rowsOf, sumRows } from './differentiable.js';
import { plus, silu } from './elementwise.js';
import { type Activation, fusedKernel } from './kernels.js';

export interface LinearOptions {
  /** [out] */
  readonly bias?: tf.Tensor1D;
  /** What ends the layer: nothing (the default), or one of `activations`. */
  readonly activation?: Activation;
  /** [..., out], what is added to the result. */
  readonly residual?: tf.Tensor;
}

/** The activations that a linear layer may end with, as functions of a tensor of any shape. */
const activations: Record<Exclude<Activation, 'none'>, (x: tf.Tensor) => tf.Tensor> = {
  silu,
  /** The exact GELU, x · Φ(x) (Hendrycks and Gimpel 2016). */
  gelu: (x) => x.mul(0.5).mul(x.mul(Math.SQRT1_2).erf().add(1)),
  /** x · sigmoid(1.702 x), from the same paper, with which OpenAI's CLIP was trained. */
  quick_gelu: (x) => silu(x.mul(1.702)).div(1.702),
};

/**
 * A linear layer (`torch.nn.Linear`), what it ends with, and what is added to it: `activation(x · weight + bias) +
 * residual`.
 *
 * @param x [..., in]
 * @param weight [in, out], or [1, 1, in, out], which is a convolution with a 1×1 kernel
 * @returns [..., out]
 * @throws GymError E_SHAPE on a shape that does not fit
 */
export function linear<T extends tf.Tensor>(
  x: T,
  weight: tf.Tensor<tf.Rank.R2 | tf.Rank.R4>,
  { bias, activation = 'none', residual }: LinearOptions = {},
): T {
  const [inChannels, outChannels] = weight.shape.slice(-2) as [number, number];
  const shape = [...x.shape.slice(0, -1), outChannels];
  if (channelsOf(x) !== inChannels || weight.size !== inChannels * outChannels)
    throw new GymError('E_SHAPE', `linear: x has shape [${x.shape}], which the weight [${weight.shape}] does not fit.`);
  checkShape('linear', 'bias', bias, [outChannels]);
  checkShape('linear', 'residual', residual, shape);
  const inputs = [x, weight, bias, residual].filter((t) => t !== undefined);
  if (x.size === 0) return empty(shape, inputs);

  const kernel = fusedKernel('FusedLinear');
  if (!kernel)
    return tf.tidy(() => {
      const y = product(x, weight, bias, shape);
      const activated = activation === 'none' ? y : (activations[activation](y) as T);
      return residual ? plus(residual as T, activated) : activated;
    });
  const [hasBias, hasResidual] = [bias !== undefined, residual !== undefined];
  return differentiable(
    inputs,
    () => {
      const [value, argument] = kernel({ x, weight, bias, residual }, { activation });
      return { value, kept: [x, weight, ...(argument ? [argument] : [])] };
    },
    (dy, [x, weight, argument]) => {
      const all = { dy, x: x!, weight: weight!, argument };
      const gradients = fusedKernel('FusedLinearGrad')!(all, { activation, bias: hasBias });
      return hasResidual ? [...(gradients as tf.Tensor[]), dy.clone()] : (gradients as tf.Tensor[]);
    },
  );
}

/** Computes x · weight + bias, with a gradient that takes few kernel calls. */
function product<T extends tf.Tensor>(
  x: T,
  weight: tf.Tensor<tf.Rank.R2 | tf.Rank.R4>,
  bias: tf.Tensor1D | undefined,
  shape: number[],
): T {
  const matrixShape = weight.shape.slice(-2) as [number, number];
  const asRows = (t: tf.Tensor) =>
    t.rank === 2 ? (t as tf.Tensor2D) : t.reshape<tf.Tensor2D>([rowsOf(t), channelsOf(t)]);
  const asMatrix = (t: tf.Tensor) => (t.rank === 2 ? (t as tf.Tensor2D) : t.reshape<tf.Tensor2D>(matrixShape));
  const like = (t: tf.Tensor, to: readonly number[]) => (t.rank === to.length ? t : t.reshape([...to]));
  const [xShape, weightShape] = [x.shape, weight.shape];
  return differentiable(
    bias ? [x, weight, bias] : [x, weight],
    () => {
      const y = tf.matMul(asRows(x), asMatrix(weight));
      return { value: like(bias ? y.add(bias) : y, shape), kept: [x, weight] };
    },
    (dy, kept) => {
      const [x, weight] = kept as [tf.Tensor, tf.Tensor];
      const dyRows = asRows(dy);
      const dx = tf.matMul(dyRows, asMatrix(weight), false, true);
      const dweight = tf.matMul(asRows(x), dyRows, true, false);
      return [like(dx, xShape), like(dweight, weightShape), ...(bias ? [sumRows(dyRows)] : [])];
    },
  );
}
