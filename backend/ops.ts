import * as tf from '@tensorflow/tfjs';
import { GymError } from '../core/errors.js';

/**
 * Sums `x` [b, n, c] over its middle axis, as a matrix product. For 64 x 256 x 32 values this takes 0.5 ms on wasm,
 * where a reduction takes 0.7 ms, and 1.1 ms on cpu instead of 21 ms; on native both take the same time.
 */
function sumRows(x: tf.Tensor3D): tf.Tensor3D {
  return tf.matMul(tf.ones([1, 1, x.shape[1]]), x);
}

function checkAffine(where: string, channels: number, scale: tf.Tensor1D, offset: tf.Tensor1D): void {
  for (const [name, t] of [
    ['scale', scale],
    ['offset', offset],
  ] as const)
    if (t.rank !== 1 || t.shape[0] !== channels)
      throw new GymError('E_SHAPE', `${where}: ${name} has shape [${t.shape}]; it must be [${channels}].`);
}

/**
 * Group normalisation with an affine map (Wu and He 2018, "Group Normalization"; `torch.nn.GroupNorm`): `y = (x - mean)
 * / sqrt(variance + epsilon) * scale + offset`, where mean and (biased) variance are taken over the pixels and channels
 * of each group of each sample.
 *
 * It makes few kernel calls forward and backward, which is two (native) to five times (wasm) as fast as a chain of
 * `tf.moments`, `sub` and `div` with its automatic gradient.
 *
 * @param x [batch, height, width, channels]
 * @param scale [channels]
 * @param offset [channels]
 * @param groups a divisor of channels
 * @throws GymError E_SHAPE on a shape that does not fit
 */
export function groupNorm(
  x: tf.Tensor4D,
  scale: tf.Tensor1D,
  offset: tf.Tensor1D,
  groups: number,
  epsilon: number,
): tf.Tensor4D {
  const [batch, height, width, channels] = x.shape;
  if (!Number.isInteger(groups) || groups < 1 || channels % groups !== 0)
    throw new GymError('E_SHAPE', `groupNorm: ${channels} channels cannot be split into ${groups} groups.`);
  checkAffine('groupNorm', channels, scale, offset);
  const pixels = height * width;
  const size = channels / groups;
  const shape: [number, number, number] = [batch, pixels, channels];

  /** Takes sums over pixels [batch, 1, channels] to the means of the groups [batch, groups, 1]. */
  const groupMean = (sums: tf.Tensor) =>
    sums
      .reshape([batch, groups, size])
      .sum(2, true)
      .div(pixels * size);
  /** Gives the value of each group [batch, groups, 1] to all of its channels [batch, 1, channels]. */
  const spread = (t: tf.Tensor) => t.tile([1, 1, size]).reshape([batch, 1, channels]);

  const op = tf.customGrad((...args) => {
    const [input, gamma, beta, save] = args as unknown as [tf.Tensor4D, tf.Tensor1D, tf.Tensor1D, tf.GradSaveFunc];
    const flat = input.reshape<tf.Tensor3D>(shape);
    // The values are centred before they are squared. The mean of squares less the square of the mean would lose its
    // digits where the mean is much larger than the deviation.
    const centred = flat.sub<tf.Tensor3D>(spread(groupMean(sumRows(flat))));
    const inverse = groupMean(sumRows(centred.square())).add(epsilon).rsqrt();
    save([centred, inverse, gamma]);
    const value = centred.mul(spread(inverse).mul(gamma)).add(beta).reshape(input.shape);

    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [centred, inverse, gamma] = saved as [tf.Tensor3D, tf.Tensor3D, tf.Tensor1D];
      const dyFlat = dy.reshape<tf.Tensor3D>(shape);
      const sumDy = sumRows(dyFlat);
      const sumDyX = sumRows(dyFlat.mul(centred));
      const rate = spread(inverse);
      // dx = (dy*scale - mean(dy*scale) - xhat * mean(dy*scale*xhat)) / deviation, with xhat = centred / deviation.
      const shift = groupMean(sumDy.mul(gamma)).mul(inverse).neg();
      const slope = groupMean(sumDyX.mul(gamma)).mul(inverse.mul(inverse).mul(inverse)).neg();
      const dx = dyFlat
        .mul(rate.mul(gamma))
        .add(centred.mul(spread(slope)))
        .add(spread(shift));
      return [dx.reshape(dy.shape), sumDyX.mul(rate).sum([0, 1]), sumDy.sum([0, 1])];
    };
    return { value, gradFunc };
  });
  return op(x, scale, offset) as tf.Tensor4D;
}

/**
 * Layer normalisation over the last axis with an affine map (Ba et al. 2016; `torch.nn.LayerNorm`), in few kernel calls
 * forward and backward: `y = (x - mean) / sqrt(variance + epsilon) * scale + offset`.
 *
 * @param x [..., channels]
 * @param scale [channels]
 * @param offset [channels]
 * @throws GymError E_SHAPE on a shape that does not fit
 */
export function layerNorm(x: tf.Tensor, scale: tf.Tensor1D, offset: tf.Tensor1D, epsilon: number): tf.Tensor {
  const channels = x.shape[x.rank - 1] ?? 0;
  checkAffine('layerNorm', channels, scale, offset);
  const rows = x.size / channels;
  /** Takes [rows, channels] to the mean of each row [rows, 1], as a matrix product. */
  const rowMean = (t: tf.Tensor2D) => tf.matMul(t, tf.fill([channels, 1], 1 / channels));
  const sumOverRows = (t: tf.Tensor2D) => tf.matMul(tf.ones([1, rows]), t).reshape([channels]);

  const op = tf.customGrad((...args) => {
    const [input, gamma, beta, save] = args as unknown as [tf.Tensor, tf.Tensor1D, tf.Tensor1D, tf.GradSaveFunc];
    const flat = input.reshape<tf.Tensor2D>([rows, channels]);
    const centred = flat.sub<tf.Tensor2D>(rowMean(flat));
    const inverse = rowMean(centred.square()).add(epsilon).rsqrt();
    const normal = centred.mul<tf.Tensor2D>(inverse);
    save([normal, inverse, gamma]);
    const value = normal.mul(gamma).add(beta).reshape(input.shape);

    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [normal, inverse, gamma] = saved as [tf.Tensor2D, tf.Tensor2D, tf.Tensor1D];
      const dyFlat = dy.reshape<tf.Tensor2D>([rows, channels]);
      const dNormal = dyFlat.mul<tf.Tensor2D>(gamma);
      const dx = dNormal
        .sub(rowMean(dNormal))
        .sub(normal.mul(rowMean(dNormal.mul(normal))))
        .mul(inverse);
      return [dx.reshape(dy.shape), sumOverRows(dyFlat.mul(normal)), sumOverRows(dyFlat)];
    };
    return { value, gradFunc };
  });
  return op(x, scale, offset);
}

/**
 * The activation `x * sigmoid(x)`, also called swish, of a tensor of any shape. Its gradient takes four kernel calls.
 */
export function silu(x: tf.Tensor): tf.Tensor {
  const op = tf.customGrad((...args) => {
    const [input, save] = args as unknown as [tf.Tensor, tf.GradSaveFunc];
    const gate = input.sigmoid();
    const value = input.mul(gate);
    save([gate, value]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [gate, y] = saved as [tf.Tensor, tf.Tensor];
      return dy.mul(gate.add(y).sub(gate.mul(y)));
    };
    return { value, gradFunc };
  });
  return op(x);
}
