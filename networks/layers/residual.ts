import * as tf from '@tensorflow/tfjs';
import { convolution } from '../../backend/index.js';
import type { Scope } from '../weights.js';
import { batchNormalization, type Mode } from './batch-norm.js';

/** A layer on images that computes differently in training; with `relu`, a normalised convolution gives the ReLU of it. */
export type ImageModeLayer = (x: tf.Tensor4D, mode: Mode, relu?: boolean) => tf.Tensor4D;

/** Zeros around an image, as many on all sides, which TensorFlow's 'same' does not do with a stride of 2. */
export function padded(x: tf.Tensor4D, rim: number): tf.Tensor4D {
  if (rim === 0) return x;
  return tf.pad(x, [
    [0, 0],
    [rim, rim],
    [rim, rim],
    [0, 0],
  ]);
}

/** A convolution without bias, by PyTorch's padding (a rim of `kernel >> 1` zeros), followed by batch normalisation. */
export function normalizedConvolution(
  conv: Scope,
  norm: Scope,
  [inChannels, outChannels]: readonly [number, number],
  kernel: number,
  strides: 1 | 2,
): ImageModeLayer {
  const fanIn = inChannels * kernel * kernel;
  const weight = conv.variable<tf.Rank.R4>('weight', [kernel, kernel, inChannels, outChannels], { fanIn });
  const normalize = batchNormalization(norm, outChannels);
  return (x, mode, relu) => {
    const y = convolution(padded(x, kernel >> 1), weight, tf.zeros([outChannels]), { strides, pad: 'valid' });
    return normalize(y, mode, relu);
  };
}

/** A convolution of a residual block. */
export type BlockLayer = readonly [kernel: number, outChannels: number, strides: 1 | 2];

/**
 * He et al.'s residual block: normalised convolutions (`conv1`, `bn1`, ...) with ReLU between them, beside a shortcut, which
 * is a 1×1 convolution where the size changes; and ReLU after their sum.
 * @param shortcutName what the shortcut is called: `downsample` in torchvision.
 */
export function residualBlock(
  scope: Scope,
  inChannels: number,
  layers: readonly BlockLayer[],
  shortcutName: string,
): ImageModeLayer {
  const path = layers.map(([kernel, channels, stride], i) =>
    normalizedConvolution(
      scope.at(`conv${i + 1}`),
      scope.at(`bn${i + 1}`),
      [i === 0 ? inChannels : layers[i - 1]![1], channels],
      kernel,
      stride,
    ),
  );
  const outChannels = layers.at(-1)![1];
  const strides = layers.some(([, , stride]) => stride === 2) ? 2 : 1;
  const shortcut =
    strides === 1 && inChannels === outChannels
      ? undefined
      : normalizedConvolution(
          scope.at(shortcutName, 0),
          scope.at(shortcutName, 1),
          [inChannels, outChannels],
          1,
          strides,
        );
  return (x, mode) => {
    const y = path.reduce((before, layer, i) => layer(before, mode, i < path.length - 1), x);
    return y.add<tf.Tensor4D>(shortcut ? shortcut(x, mode) : x).relu();
  };
}
