import * as tf from '@tensorflow/tfjs';
import { linear } from '../backend/index.js';
import type { Mode } from './layers/batch-norm.js';
import { build, copiedParameters, disposeParameters, type ParameterSource, type Scope } from './weights.js';

/** What a network gives for images: features [N, features] and logits [N, classes]. */
export interface Classified {
  readonly features: tf.Tensor2D;
  readonly logits: tf.Tensor2D;
}

/** What a network consists of: how it makes features of images, and logits of features. */
export interface FeatureLayers {
  readonly encode: (images: tf.Tensor4D, mode: Mode) => tf.Tensor2D;
  readonly classify: (features: tf.Tensor2D) => tf.Tensor2D;
}

/** A network that classifies images by features, and whose training mode is said at each call. */
export abstract class FeatureNetwork<Layers extends FeatureLayers = FeatureLayers> {
  /** What is trained, by name. */
  readonly parameters: ReadonlyMap<string, tf.Variable>;
  /** What belongs to it and is not trained: tracked statistics. */
  readonly buffers: ReadonlyMap<string, tf.Variable>;
  protected readonly layers: Layers;

  protected constructor(source: ParameterSource, layers: (scope: Scope) => Layers) {
    const { network, parameters, buffers } = build(source, layers);
    this.layers = network;
    this.parameters = parameters;
    this.buffers = buffers;
  }

  /** @param images float32 [N, height, width, 3], −1..1. Differentiable in the parameters. */
  forward(images: tf.Tensor4D, mode: Mode): Classified {
    return tf.tidy(() => {
      const features = this.layers.encode(images, mode);
      return { features, logits: this.layers.classify(features) } as Classified & tf.TensorContainerObject;
    });
  }

  /** Logits of features [N, features]. */
  classify(features: tf.Tensor2D): tf.Tensor2D {
    return tf.tidy(() => this.layers.classify(features));
  }

  /** A network of its own with the same values, which the caller frees. */
  abstract clone(): FeatureNetwork;

  dispose(): void {
    disposeParameters(this.parameters);
    disposeParameters(this.buffers);
  }

  /** Its values for a clone. */
  protected copied(): ParameterSource {
    return copiedParameters(new Map([...this.parameters, ...this.buffers]));
  }
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
