import * as tf from '@tensorflow/tfjs';
import { convolution, linear } from '../backend/index.js';
import type { Random } from '../core/random.js';
import { convolutionParameters, linearLayer } from './layers/basic.js';
import { batchNormalization, type Mode, type ModeLayer } from './layers/batch-norm.js';
import {
  build,
  copiedParameters,
  disposeParameters,
  type ParameterSource,
  randomParameters,
  type Scope,
} from './weights.js';

export type { Mode } from './layers/batch-norm.js';

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

/** What a network gives for images: features [N, features] and logits [N, classes]. */
export interface Classified {
  readonly features: tf.Tensor2D;
  readonly logits: tf.Tensor2D;
}

/** A network that classifies images by features, and whose training mode is said at each call. */
export interface FeatureNetwork {
  /** What is trained, by name. */
  readonly parameters: ReadonlyMap<string, tf.Variable>;
  /** What belongs to it and is not trained: tracked statistics. */
  readonly buffers: ReadonlyMap<string, tf.Variable>;
  /** @param images float32 [N, height, width, 3], −1..1. Differentiable in the parameters. */
  forward(images: tf.Tensor4D, mode: Mode): Classified;
  /** Logits of features [N, features]. */
  classify(features: tf.Tensor2D): tf.Tensor2D;
  /** A network of its own with the same values, which the caller frees. */
  clone(): FeatureNetwork;
  dispose(): void;
}

/** A linear head whose weight vectors have a length of their own: W_c = g_c · v_c / ‖v_c‖, with a bias. */
export function weightNormHead(scope: Scope, features: number, classes: number): (x: tf.Tensor2D) => tf.Tensor2D {
  const fanIn = features;
  const v = scope.variable<tf.Rank.R2>('weight_v', [classes, features], { fanIn });
  const g = scope.variable<tf.Rank.R2>('weight_g', [classes, 1], 1);
  const bias = scope.variable<tf.Rank.R1>('bias', [classes], { fanIn });
  return (x) => {
    const direction = v.div<tf.Tensor2D>(v.square().sum(1, true).sqrt());
    return linear(x, direction.mul<tf.Tensor2D>(g).transpose<tf.Tensor2D>(), { bias });
  };
}

/**
 * A small network for small pictures: three 3×3 convolutions with stride 2 of 16, 32 and 64 channels, a linear layer to the
 * features, and a linear head. For 28×28 pixels and 64 features it has 90,000 parameters.
 */
export class DigitsNetwork implements FeatureNetwork {
  readonly config: Required<DigitsNetworkConfig>;
  readonly parameters: ReadonlyMap<string, tf.Variable>;
  readonly buffers: ReadonlyMap<string, tf.Variable>;
  readonly #layers: {
    readonly encode: (images: tf.Tensor4D, mode: Mode) => tf.Tensor2D;
    readonly classify: (features: tf.Tensor2D) => tf.Tensor2D;
  };

  /** @param source where the parameters come from: `randomParameters`, `storedParameters`. */
  constructor(config: DigitsNetworkConfig, source: ParameterSource) {
    this.config = { imageSize: 28, features: 64, batchNorm: true, weightNorm: true, ...config };
    const { network, parameters, buffers } = build(source, (scope) => this.#build(scope));
    this.#layers = network;
    this.parameters = parameters;
    this.buffers = buffers;
  }

  /** A network that knows nothing yet. */
  static create(config: DigitsNetworkConfig, random: Random): DigitsNetwork {
    return new DigitsNetwork(config, randomParameters(random));
  }

  #build(scope: Scope) {
    const { classes, features, imageSize, batchNorm, weightNorm } = this.config;
    const channels = [3, 16, 32, 64];
    const norm = (at: Scope, size: number): ModeLayer => (batchNorm ? batchNormalization(at, size) : (x) => x);
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
          x = norm(convolution(x, weight, bias, { strides: 2 }), mode).relu();
        const y = bottleneckNorm(bottleneck(x.reshape<tf.Tensor2D>([x.shape[0], -1])), mode);
        return batchNorm ? y : y.relu<tf.Tensor2D>();
      },
      classify: plain ?? weightNormHead(head, features, classes),
    };
  }

  forward(images: tf.Tensor4D, mode: Mode): Classified {
    return tf.tidy(() => {
      const features = this.#layers.encode(images, mode);
      return { features, logits: this.#layers.classify(features) } as Classified & tf.TensorContainerObject;
    });
  }

  classify(features: tf.Tensor2D): tf.Tensor2D {
    return tf.tidy(() => this.#layers.classify(features));
  }

  clone(): DigitsNetwork {
    return new DigitsNetwork(this.config, copiedParameters(new Map([...this.parameters, ...this.buffers])));
  }

  dispose(): void {
    disposeParameters(this.parameters);
    disposeParameters(this.buffers);
  }
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
