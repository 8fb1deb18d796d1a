import type * as tf from '@tensorflow/tfjs';
import { silu } from '../../backend/index.js';
import type { Scope } from '../weights.js';
import { addToPixels, convolution, convolve, groupNormalization, linear, plus } from './basic.js';

/** The options that all residual blocks of a network share. */
export interface ResnetOptions {
  /** The number of channels of the time embedding. */
  readonly timeChannels: number;
  readonly groups: number;
  readonly epsilon: number;
  /** Whether the time embedding is added before the second norm, or scales and shifts its result. */
  readonly timeScaleShift: 'default' | 'scale_shift';
}

/** A residual block, which takes an image and the SiLU of the time embedding [batch or 1, timeChannels] to an image. */
export type Resnet = (x: tf.Tensor4D, time: tf.Tensor2D) => tf.Tensor4D;

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
  const conv1 = convolution(scope.at('conv1'), inChannels, outChannels, 3);
  const timeProjection = linear(scope.at('time_emb_proj'), timeChannels, scaleShift ? 2 * outChannels : outChannels);
  const norm2 = groupNormalization(scope.at('norm2'), outChannels, groups, epsilon);
  const conv2 = convolution(scope.at('conv2'), outChannels, outChannels, 3);
  const shortcut =
    inChannels === outChannels ? undefined : convolution(scope.at('conv_shortcut'), inChannels, outChannels, 1);

  const addTime = (x: tf.Tensor4D, time: tf.Tensor2D): tf.Tensor4D => {
    const offset = timeProjection(time);
    // Where all samples have the same timestep, its embedding is added to the bias of the convolution, which costs
    // nothing.
    return offset.shape[0] === 1
      ? convolve(x, conv1.weight, offset.reshape<tf.Tensor1D>([outChannels]).add(conv1.bias))
      : addToPixels(convolve(x, conv1.weight, conv1.bias), offset);
  };

  const modulate = (x: tf.Tensor4D, time: tf.Tensor2D): tf.Tensor4D => {
    const [scale, shift] = timeProjection(time)
      .reshape([-1, 1, 1, 2 * outChannels])
      .split(2, 3) as [tf.Tensor4D, tf.Tensor4D];
    return norm2(convolve(x, conv1.weight, conv1.bias))
      .mul<tf.Tensor4D>(scale.add(1))
      .add(shift);
  };

  return (x, time) => {
    const first = silu(norm1(x)) as tf.Tensor4D;
    const normed = scaleShift ? modulate(first, time) : norm2(addTime(first, time));
    const h = convolve(silu(normed) as tf.Tensor4D, conv2.weight, conv2.bias);
    const skip = shortcut ? convolve(x, shortcut.weight, shortcut.bias) : x;
    const sum = plus(skip, h);
    return outputScale === 1 ? sum : sum.div(outputScale);
  };
}
