import type * as tf from '@tensorflow/tfjs';
import { batchNorm } from '../../backend/index.js';
import type { Scope } from '../weights.js';

/**
 * How batch normalisation computes: by the statistics of the batch, which are then also tracked (`train`), by those of the
 * batch alone (`batch`), or by those that were tracked (`eval`).
 */
export type Mode = 'train' | 'batch' | 'eval';

/** A layer on the last axis that computes differently in training; with `relu`, the ReLU of it. */
export type ModeLayer = <T extends tf.Tensor>(x: T, mode: Mode, relu?: boolean) => T;

/** The share of a new batch in the tracked statistics, as in `torch.nn.BatchNorm2d`. */
const momentum = 0.1;
const epsilon = 1e-5;

/**
 * `torch.nn.BatchNorm1d` and `BatchNorm2d`: over all axes but the last. The tracked statistics, `running_mean` and
 * `running_var`, are not trained; they stand among the buffers, with the names that PyTorch gives them.
 */
export function batchNormalization(scope: Scope, channels: number): ModeLayer {
  const gamma = scope.variable<tf.Rank.R1>('weight', [channels], 1);
  const beta = scope.variable<tf.Rank.R1>('bias', [channels], 0);
  const mean = scope.buffer<tf.Rank.R1>('running_mean', [channels], 0);
  const variance = scope.buffer<tf.Rank.R1>('running_var', [channels], 1);
  return (x, mode, relu = false) => {
    if (mode === 'eval') {
      const scale = gamma.mul(variance.add(epsilon).rsqrt());
      const value = x.mul<typeof x>(scale).add<typeof x>(beta.sub(mean.mul(scale)));
      return relu ? value.relu() : value;
    }
    const normalized = batchNorm(x, gamma, beta, epsilon, relu);
    if (mode === 'train') {
      const count = x.size / channels;
      mean.assign(mean.mul(1 - momentum).add(normalized.mean.mul(momentum)));
      // PyTorch tracks the unbiased variance, and normalises by the biased one.
      const unbiased = normalized.variance.mul(count / (count - 1));
      variance.assign(variance.mul(1 - momentum).add(unbiased.mul(momentum)));
    }
    return normalized.value;
  };
}
