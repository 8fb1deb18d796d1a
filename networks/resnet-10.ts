import type * as tf from '@tensorflow/tfjs';
import { GymError } from '../core/errors.js';
import type { Random } from '../core/random.js';
import { FeatureNetwork } from './feature-network.js';
import { linearLayer } from './layers/basic.js';
import { normalizedConvolution, residualBlock } from './layers/residual.js';
import { type ParameterSource, randomParameters } from './weights.js';

export interface ResNet10Config {
  /** How many classes it tells apart. */
  readonly classes: number;
  /** The length of the features, a multiple of 8: eight times the first width. Default 512, as in FPL's paper. */
  readonly features?: number;
}

/**
 * ResNet-10 for small pictures, the network of FPL's paper (He et al., 2016, with a block a stage): a 3×3 convolution
 * without pooling, four basic blocks of w, 2w, 4w and 8w channels, of which the last three halve the size, the mean over
 * the picture, which is the features, and a linear head. With 512 features (w = 64) it has 4.9 million parameters.
 */
export class ResNet10 extends FeatureNetwork {
  readonly config: Required<ResNet10Config>;

  /**
   * @param source where the parameters come from: `randomParameters`, `storedParameters`.
   * @throws GymError E_VALUE on features that are no multiple of 8.
   */
  constructor(config: ResNet10Config, source: ParameterSource) {
    const { classes, features = 512 } = config;
    if (!(Number.isInteger(features / 8) && features > 0))
      throw new GymError('E_VALUE', `ResNet10: features must be a multiple of 8, actual value ${features}.`);
    super(source, (scope) => {
      const widths = [1, 2, 4, 8].map((times) => (times * features) / 8);
      const stem = normalizedConvolution(scope.at('conv1'), scope.at('bn1'), [3, widths[0]!], 3, 1);
      const blocks = widths.map((width, i) =>
        residualBlock(
          scope.at(`layer${i + 1}.0`),
          widths[Math.max(0, i - 1)]!,
          [
            [3, width, i === 0 ? 1 : 2],
            [3, width, 1],
          ],
          'shortcut',
        ),
      );
      return {
        encode: (images, mode) => {
          let x = stem(images, mode, true);
          for (const block of blocks) x = block(x, mode);
          return x.mean<tf.Tensor2D>([1, 2]);
        },
        classify: linearLayer(scope.at('linear'), features, classes),
      };
    });
    this.config = { classes, features };
  }

  /** A network that knows nothing yet. */
  static create(config: ResNet10Config, random: Random): ResNet10 {
    return new ResNet10(config, randomParameters(random));
  }

  clone(): ResNet10 {
    return new ResNet10(this.config, this.copied());
  }
}
