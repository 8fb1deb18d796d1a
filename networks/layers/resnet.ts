import * as tf from '@tensorflow/tfjs';
import { convolution } from '../../backend/index.js';
import type { Scope } from '../weights.js';
import { convolutionParameters, groupNormalization, linearLayer } from './basic.js';

/** The options that all residual blocks of a network share. */
export interface ResnetOptions {
  /** The number of channels of the time embedding; null for blocks without one, as an autoencoder's are. */
  readonly timeChannels: number | null;
  readonly groups: number;
  readonly epsilon: number;
  /** Whether the time embedding is added before the second norm, or scales and shifts its result. */
  readonly timeScaleShift: 'default' | 'scale_shift';
}

/**
 * A residual block, which takes an image and the SiLU of the time embedding [batch or 1, timeChannels], if the network has one,
 * to an image.
 */
export type Resnet = (x: tf.Tensor4D, time?: tf.Tensor2D) => tf.Tensor4D;

/**
 * diffusers' ResnetBlock2D: two 3×3 convolutions, each after a group norm and SiLU. The time embedding enters between
 * them.
 * @param outputScale the divisor of the sum of both branches
 */
export function resnet(
  scope: Scope,
  inChannels: number,
  outChannels: number,
  { timeChannels, groups, epsilon, timeScaleShift }: ResnetOptions,
  outputScale = 1,
): Resnet {
  const scaleShift = timeScaleShift === 'scale_shift';
  const norm1 = groupNormalization(scope.at('norm1'), inChannels, groups, epsilon);
  const conv1 = convolutionParameters(scope.at('conv1'), inChannels, outChannels, 3);
  const timeProjection =
    timeChannels === null
      ? undefined
      : linearLayer(scope.at('time_emb_proj'), timeChannels, scaleShift ? 2 * outChannels : outChannels);
  const norm2 = groupNormalization(scope.at('norm2'), outChannels, groups, epsilon);
  const conv2 = convolutionParameters(scope.at('conv2'), outChannels, outChannels, 3);
  const shortcut =
    inChannels === outChannels
      ? undefined
      : convolutionParameters(scope.at('conv_shortcut'), inChannels, outChannels, 1);

  /** The first convolution, the time embedding, and what precedes the second convolution. */
  const addTime = (x: tf.Tensor4D, time?: tf.Tensor2D): tf.Tensor4D => {
    if (!timeProjection) return norm2(convolution(x, conv1.weight, conv1.bias), { silu: true });
    const added = timeProjection(time!);
    // Where all samples have the same timestep, its embedding is added to the bias of the convolution, which costs
    // nothing.
    return added.shape[0] === 1
      ? norm2(convolution(x, conv1.weight, added.reshape<tf.Tensor1D>([outChannels]).add(conv1.bias)), { silu: true })
      : norm2(convolution(x, conv1.weight, conv1.bias), { added, silu: true });
  };

  const modulate = (x: tf.Tensor4D, time: tf.Tensor2D): tf.Tensor4D => {
    const projected = timeProjection!(time);
    const repeated = projected.shape[0] === x.shape[0] ? projected : projected.tile<tf.Tensor2D>([x.shape[0], 1]);
    const [scale, shift] = tf.split(repeated, 2, 1) as [tf.Tensor2D, tf.Tensor2D];
    return norm2(convolution(x, conv1.weight, conv1.bias), { modulation: { scale, shift }, silu: true });
  };

  // What no gradient needs is freed at the end of each block, and not at the end of the network.
  return (x, time) =>
    tf.tidy(() => {
      const first = norm1(x, { silu: true });
      const second = scaleShift ? modulate(first, time!) : addTime(first, time);
      const residual = shortcut ? convolution(x, shortcut.weight, shortcut.bias) : x;
      const sum = convolution(second, conv2.weight, conv2.bias, { residual });
      return outputScale === 1 ? sum : sum.div(outputScale);
    });
}
