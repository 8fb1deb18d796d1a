import * as tf from '@tensorflow/tfjs';
import { GymError } from '../../core/errors.js';
import { channelsOf, differentiable, empty } from './differentiable.js';
import { fusedKernel } from './kernels.js';

/**
 * Computes hidden · GELU(gate) with the exact GELU, which uses erf (Shazeer 2020, "GLU Variants Improve Transformer").
 *
 * @param x [..., 2 · inner], hidden and gate side by side
 * @returns [..., inner]
 * @throws GymError E_SHAPE where the number of channels is odd
 */
export function gatedGelu<T extends tf.Tensor>(x: T): T {
  const channels = channelsOf(x);
  if (channels % 2 !== 0) throw new GymError('E_SHAPE', `gatedGelu: ${channels} channels cannot be halved.`);
  if (x.size === 0) return empty([...x.shape.slice(0, -1), channels / 2], [x]);
  const kernel = fusedKernel('GatedGelu');
  if (!kernel)
    return tf.tidy(() => {
      const [hidden, gate] = tf.split(x, 2, -1) as [T, T];
      return composed(hidden, gate);
    });
  return differentiable(
    [x],
    () => ({ value: kernel({ x }, {})[0], kept: [x] }),
    (dy, [x]) => fusedKernel('GatedGeluGrad')!({ dy, x: x! }, {}),
  );
}

function composed<T extends tf.Tensor>(hidden: T, gate: T): T {
  return differentiable(
    [hidden, gate],
    () => {
      const probability = gate.mul(Math.SQRT1_2).erf().add(1).mul(0.5);
      const gelu = gate.mul(probability);
      return { value: hidden.mul(gelu), kept: [hidden, gate, probability, gelu] };
    },
    (dy, kept) => {
      const [hidden, gate, probability, gelu] = kept as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
      const density = gate
        .square()
        .mul(-0.5)
        .exp()
        .mul(1 / Math.sqrt(2 * Math.PI));
      return [dy.mul(gelu), dy.mul(hidden).mul(probability.add(gate.mul(density)))];
    },
  );
}
