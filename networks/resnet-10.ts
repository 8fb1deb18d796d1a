import * as tf from '@tensorflow/tfjs';
import { convolution } from '../backend/index.js';
import { GymError } from '../core/errors.js';
import type { Random } from '../core/random.js';
import type { Classified, FeatureNetwork, Mode } from './digits-network.js';
import { linearLayer } from './layers/basic.js';
import { batchNormalization } from './layers/batch-norm.js';
import {
  build,
  copiedParameters,
  disposeParameters,
  type ParameterSource,
  randomParameters,
  type Scope,
} from './weights.js';

export interface ResNet10Config {
  /** How many classes it tells apart. */
  readonly classes: number;
  /** The length of the features, a multiple of 8: eight times the first width. Default 512, as in FPL's paper. */
  readonly features?: number;
}

/** A layer on images that computes differently in training. */
type Layer = (x: tf.Tensor4D, mode: Mode) => tf.Tensor4D;

/** A convolution without bias, by PyTorch's padding (a rim of `kernel >> 1` zeros), followed by batch normalisation. */
function normalized(
  conv: Scope,
  norm: Scope,
  [inChannels, outChannels]: readonly [number, number],
  kernel: number,
  strides: 1 | 2,
): Layer {
  const fanIn = inChannels * kernel * kernel;
  const weight = conv.variable<tf.Rank.R4>('weight', [kernel, kernel, inChannels, outChannels], { fanIn });
  const normalize = batchNormalization(norm, outChannels);
  const rim = kernel >> 1;
  return (x, mode) => {
    const padded =
      rim === 0
        ? x
        : tf.pad(x, [
            [0, 0],
            [rim, rim],
            [rim, rim],
            [0, 0],
          ]);
    return normalize(convolution(padded, weight, tf.zeros([outChannels]), { strides, pad: 'valid' }), mode);
  };
}

/** He et al.'s basic block: two 3×3 convolutions beside a shortcut, which is a 1×1 convolution where the size changes. */
function basicBlock(scope: Scope, inChannels: number, outChannels: number, strides: 1 | 2): Layer {
  const first = normalized(scope.at('conv1'), scope.at('bn1'), [inChannels, outChannels], 3, strides);
  const second = normalized(scope.at('conv2'), scope.at('bn2'), [outChannels, outChannels], 3, 1);
  const shortcut =
    strides === 1 && inChannels === outChannels
      ? undefined
      : normalized(scope.at('shortcut.0'), scope.at('shortcut.1'), [inChannels, outChannels], 1, strides);
  return (x, mode) =>
    second(first(x, mode).relu(), mode)
      .add<tf.Tensor4D>(shortcut ? shortcut(x, mode) : x)
      .relu();
}

/**
 * ResNet-10 for small pictures, the network of FPL's paper (He et al., 2016, with a block a stage): a 3×3 convolution
 * without pooling, four basic blocks of w, 2w, 4w and 8w channels, of which the last three halve the size, the mean over
 * the picture, which is the features, and a linear head. With 512 features (w = 64) it has 4.9 million parameters.
 */
export class ResNet10 implements FeatureNetwork {
  readonly config: Required<ResNet10Config>;
  readonly parameters: ReadonlyMap<string, tf.Variable>;
  readonly buffers: ReadonlyMap<string, tf.Variable>;
  readonly #encode: (images: tf.Tensor4D, mode: Mode) => tf.Tensor2D;
  readonly #classify: (features: tf.Tensor2D) => tf.Tensor2D;

  /**
   * @param source where the parameters come from: `randomParameters`, `storedParameters`.
   * @throws GymError E_VALUE on features that are no multiple of 8.
   */
  constructor(config: ResNet10Config, source: ParameterSource) {
    const { classes, features = 512 } = config;
    if (!(Number.isInteger(features / 8) && features > 0))
      throw new GymError('E_VALUE', `ResNet10: features must be a multiple of 8, actual value ${features}.`);
    this.config = { classes, features };
    const { network, parameters, buffers } = build(source, (scope) => {
      const widths = [1, 2, 4, 8].map((times) => (times * features) / 8);
      const stem = normalized(scope.at('conv1'), scope.at('bn1'), [3, widths[0]!], 3, 1);
      const blocks = widths.map((width, i) =>
        basicBlock(scope.at(`layer${i + 1}.0`), widths[Math.max(0, i - 1)]!, width, i === 0 ? 1 : 2),
      );
      return { stem, blocks, head: linearLayer(scope.at('linear'), features, classes) };
    });
    const { stem, blocks, head } = network;
    this.#encode = (images, mode) => {
      let x = stem(images, mode).relu<tf.Tensor4D>();
      for (const block of blocks) x = block(x, mode);
      return x.mean<tf.Tensor2D>([1, 2]);
    };
    this.#classify = head;
    this.parameters = parameters;
    this.buffers = buffers;
  }

  /** A network that knows nothing yet. */
  static create(config: ResNet10Config, random: Random): ResNet10 {
    return new ResNet10(config, randomParameters(random));
  }

  forward(images: tf.Tensor4D, mode: Mode): Classified {
    return tf.tidy(() => {
      const features = this.#encode(images, mode);
      return { features, logits: this.#classify(features) } as Classified & tf.TensorContainerObject;
    });
  }

  classify(features: tf.Tensor2D): tf.Tensor2D {
    return tf.tidy(() => this.#classify(features));
  }

  clone(): ResNet10 {
    return new ResNet10(this.config, copiedParameters(new Map([...this.parameters, ...this.buffers])));
  }

  dispose(): void {
    disposeParameters(this.parameters);
    disposeParameters(this.buffers);
  }
}
