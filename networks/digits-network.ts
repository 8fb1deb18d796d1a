import * as tf from '@tensorflow/tfjs';
import { convolution } from '../backend/index.js';
import type { Random } from '../core/random.js';
import { type FeatureLayers, FeatureNetwork, weightNormHead } from './feature-network.js';
import { convolutionParameters, linearLayer } from './layers/basic.js';
import { batchNormalization, type Mode, type ModeLayer } from './layers/batch-norm.js';
import { type ParameterSource, randomParameters, type Scope } from './weights.js';

export interface DigitsNetworkConfig {
  /** How many classes it tells apart. */
  readonly classes: number;
  /** Height and width of the images in pixels. Default 28. */
  readonly imageSize?: number;
  /** The length of the features. Default 64. */
  readonly features?: number;
  /**
   * Whether batch normalisation follows each convolution and ends the features. Without it they end with a ReLU.
   * Default true.
   */
  readonly batchNorm?: boolean;
  /** Whether the head's weights are normalised, as `torch.nn.utils.weight_norm` does with dim 0. Default true. */
  readonly weightNorm?: boolean;
}

/**
 * A small network for small pictures: three 3×3 convolutions with stride 2 of 16, 32 and 64 channels, a linear layer to the
 * features, and a linear head. For 28×28 pixels and 64 features it has 90,000 parameters.
 */
export class DigitsNetwork extends FeatureNetwork {
  readonly config: Required<DigitsNetworkConfig>;

  /** @param source where the parameters come from: `randomParameters`, `storedParameters`. */
  constructor(config: DigitsNetworkConfig, source: ParameterSource) {
    const full = { imageSize: 28, features: 64, batchNorm: true, weightNorm: true, ...config };
    super(source, (scope) => digitsLayers(scope, full));
    this.config = full;
  }

  /** A network that knows nothing yet. */
  static create(config: DigitsNetworkConfig, random: Random): DigitsNetwork {
    return new DigitsNetwork(config, randomParameters(random));
  }

  clone(): DigitsNetwork {
    return new DigitsNetwork(this.config, this.copied());
  }
}

function digitsLayers(scope: Scope, config: Required<DigitsNetworkConfig>): FeatureLayers {
  const { classes, features, imageSize, batchNorm, weightNorm } = config;
  const channels = [3, 16, 32, 64];
  const norm = (at: Scope, size: number): ModeLayer =>
    batchNorm ? batchNormalization(at, size) : (x, _, relu) => (relu ? x.relu() : x);
  const convolutions = [1, 2, 3].map((i) => ({
    ...convolutionParameters(scope.at(`conv${i}`), channels[i - 1]!, channels[i]!, 3),
    norm: norm(scope.at(`bn${i}`), channels[i]!),
  }));
  // Each stride of 2 halves the size, rounded up.
  const last = [1, 2, 3].reduce((size) => Math.ceil(size / 2), imageSize);
  const bottleneck = linearLayer(scope.at('bottleneck'), last * last * 64, features);
  const bottleneckNorm = norm(scope.at('bottleneck_bn'), features);
  const head = scope.at('classifier');
  const plain = weightNorm ? undefined : linearLayer(head, features, classes);
  return {
    encode: (images: tf.Tensor4D, mode: Mode) => {
      let x = images;
      for (const { weight, bias, norm } of convolutions)
        x = norm(convolution(x, weight, bias, { strides: 2 }), mode, true);
      const y = bottleneckNorm(bottleneck(x.reshape<tf.Tensor2D>([x.shape[0], -1])), mode);
      return batchNorm ? y : y.relu<tf.Tensor2D>();
    },
    classify: plain ?? weightNormHead(head, features, classes),
  };
}

/** uint8 [N, height, width, 3] to float32 −1..1, which the networks read. The caller frees it. */
export function normalizedImages(images: {
  readonly data: Uint8Array;
  readonly shape: readonly number[];
}): tf.Tensor4D {
  const data = new Float32Array(images.data.length);
  for (let i = 0; i < data.length; i++) data[i] = images.data[i]! / 127.5 - 1;
  return tf.tensor4d(data, images.shape as [number, number, number, number]);
}
