import * as tf from '@tensorflow/tfjs';
import type { Random } from '../core/random.js';
import { readSafetensors } from '../core/safetensors.js';
import { type FeatureLayers, FeatureNetwork, weightNormHead } from './feature-network.js';
import { linearLayer } from './layers/basic.js';
import { batchNormalization, type Mode } from './layers/batch-norm.js';
import {
  type BlockLayer,
  type ImageModeLayer,
  normalizedConvolution,
  padded,
  residualBlock,
} from './layers/residual.js';
import { type ParameterSource, randomParameters, type Scope, storedParameters } from './weights.js';

/** The depths that there are, and of each how many blocks its four stages have, and of which kind these are. */
const stages = {
  18: { blocks: [2, 2, 2, 2], bottleneck: false },
  50: { blocks: [3, 4, 6, 3], bottleneck: true },
  101: { blocks: [3, 4, 23, 3], bottleneck: true },
} as const;

/** How many layers with weights a ResNet has. */
export type ResNetDepth = keyof typeof stages;

export interface ResNetConfig {
  readonly depth: ResNetDepth;
  /** How many classes it tells apart. */
  readonly classes: number;
  /** The length of the features. Default 256, as SHOT and its successors have it. */
  readonly features?: number;
}

/** ImageNet's mean and standard deviation by channel, with which torchvision's weights were trained, for pixels of 0..1. */
const mean = [0.485, 0.456, 0.406];
const deviation = [0.229, 0.224, 0.225];

/** torchvision's names and layers, up to the mean over all pixels. @returns the encoder and the length of what it gives. */
function encoder(scope: Scope, depth: ResNetDepth) {
  const { blocks, bottleneck } = stages[depth];
  const stem = normalizedConvolution(scope.at('conv1'), scope.at('bn1'), [3, 64], 7, 2);
  const parts: ImageModeLayer[] = [];
  let channels = 64;
  blocks.forEach((count, stage) => {
    const width = 64 * 2 ** stage;
    for (let i = 0; i < count; i++) {
      const strides = i === 0 && stage > 0 ? 2 : 1;
      const at = scope.at(`layer${stage + 1}`, i);
      const layers: BlockLayer[] = bottleneck
        ? [
            [1, width, 1],
            [3, width, strides],
            [1, 4 * width, 1],
          ]
        : [
            [3, width, strides],
            [3, width, 1],
          ];
      parts.push(residualBlock(at, channels, layers, 'downsample'));
      channels = bottleneck ? 4 * width : width;
    }
  });
  const encode = (images: tf.Tensor4D, mode: Mode): tf.Tensor2D => {
    // From −1..1 to what torchvision's weights expect.
    const inputs = images.div<tf.Tensor4D>(2).add(0.5).sub(mean).div<tf.Tensor4D>(deviation);
    // The zeros around it are never the largest: before them stands a ReLU.
    let x = tf.maxPool(padded(stem(inputs, mode, true), 1), 3, 2, 'valid');
    for (const part of parts) x = part(x, mode);
    return x.mean([1, 2]);
  };
  return { encode, channels };
}

interface ResNetLayers extends FeatureLayers {
  /** The mean over the picture of what the last stage gives. */
  readonly pooled: FeatureLayers['encode'];
}

/**
 * ResNet-18, -50 or -101 as torchvision has it (He et al. 2016, with the stride in the 3×3 convolution of a bottleneck
 * block), whose last layer is replaced by what source-free adaptation uses: a linear layer to the features with batch
 * normalisation, and a linear head with normalised weights (Liang et al. 2020; Litrico et al. 2023). It takes images of any
 * size of at least 32, and scales them itself as ImageNet's were.
 */
export class ResNet extends FeatureNetwork<ResNetLayers> {
  readonly config: Required<ResNetConfig>;

  /** @param source where the parameters come from: `randomParameters`, `storedParameters`. */
  constructor(config: ResNetConfig, source: ParameterSource) {
    const full = { features: 256, ...config };
    super(source, (scope) => resNetLayers(scope, full));
    this.config = full;
  }

  /** A network that knows nothing yet. */
  static create(config: ResNetConfig, random: Random): ResNet {
    return new ResNet(config, randomParameters(random));
  }

  /**
   * A network whose encoder comes from a safetensors file of torchvision's names, as
   * `safetensors.torch.save_file(torchvision.models.resnet18(weights='DEFAULT').state_dict(), path)` writes it. The last
   * layer of the file, `fc`, is left out; the layers in its place know nothing yet.
   * @throws GymError E_FILE where the file is not there, or is of another depth.
   */
  static async load(path: string, config: ResNetConfig, random: Random): Promise<ResNet> {
    const state = await readSafetensors(path);
    const stored = storedParameters(path, state, (name) =>
      /^fc\.|\.num_batches_tracked$/.test(name) ? undefined : name,
    );
    const fresh = randomParameters(random);
    return new ResNet(config, {
      tensor: (name, shape, initial) =>
        (/^(bottleneck|classifier)/.test(name) ? fresh : stored).tensor(name, shape, initial),
      finish: () => stored.finish?.(),
    });
  }

  /** What torchvision's network gives to its last layer: [N, 512] or [N, 2048]. @param images as of {@link forward}. */
  pooled(images: tf.Tensor4D, mode: Mode): tf.Tensor2D {
    return tf.tidy(() => this.layers.pooled(images, mode));
  }

  clone(): ResNet {
    return new ResNet(this.config, this.copied());
  }
}

function resNetLayers(scope: Scope, { classes, features, depth }: Required<ResNetConfig>): ResNetLayers {
  const { encode: pooled, channels } = encoder(scope, depth);
  const bottleneck = linearLayer(scope.at('bottleneck'), channels, features);
  const norm = batchNormalization(scope.at('bottleneck_bn'), features);
  return {
    pooled,
    encode: (images, mode) => norm(bottleneck(pooled(images, mode)), mode),
    classify: weightNormHead(scope.at('classifier'), features, classes),
  };
}
