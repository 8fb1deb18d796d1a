import type * as tf from '@tensorflow/tfjs';
import { scaledDistance } from '../../backend/index.js';
import { GymError } from '../../core/errors.js';

/**
 * The log-density of `value` under N(mean, σ²), **averaged** over all dimensions but the first:
 * −(x' − μ)² / (2σ²) − ln σ − ½ ln 2π, one number a row.
 *
 * The mean, and not the sum that a density would be, is what DDPO and its successors use: over the 16,384 dimensions of
 * a latent a sum makes every ratio of densities 0 or infinite. Clip ranges are in its units.
 * Python: `ddpo_pytorch/diffusers_patch/ddim_with_logprob.py`.
 *
 * @param value [b, ...], what was sampled; a constant. @param mean [b, ...], differentiable. @param sigmas one σ a row.
 * @returns [b]; the caller frees it.
 * @throws GymError E_SHAPE when the shapes disagree, E_VALUE on a σ that is not positive: a deterministic transition has
 * no density, so mask it out of the loss.
 */
export function gaussianLogProb(value: tf.Tensor, mean: tf.Tensor, sigmas: ArrayLike<number>): tf.Tensor1D {
  const rows = mean.shape[0] ?? 0;
  if (sigmas.length !== rows)
    throw new GymError('E_SHAPE', `gaussianLogProb: ${sigmas.length} sigmas for a batch of ${rows}; give one a row.`);
  const scale = new Float32Array(rows);
  const offset = new Float32Array(rows);
  for (let i = 0; i < rows; i++) {
    const sigma = sigmas[i]!;
    if (!(sigma > 0))
      throw new GymError(
        'E_VALUE',
        `gaussianLogProb: sigma of row ${i} is ${sigma}; a transition without noise has no density: leave it out.`,
      );
    scale[i] = -1 / (2 * sigma * sigma);
    offset[i] = -Math.log(sigma) - Math.log(2 * Math.PI) / 2;
  }
  return scaledDistance(value, mean, scale, offset);
}
