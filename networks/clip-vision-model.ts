import * as tf from '@tensorflow/tfjs';
import { GymError, unknownName } from '../core/errors.js';
import { checkIntegers, takeFields } from './config-fields.js';
import { layerNormalization } from './layers/basic.js';
import { type ClipLayerConfig, clipLayer } from './layers/clip-layer.js';
import type { Scope } from './weights.js';

/** The configuration of a vision tower, with the names and meanings of Python's `transformers.CLIPVisionConfig`. */
export interface CLIPVisionConfig extends ClipLayerConfig {
  /** Height and width of what it sees. */
  readonly image_size: number;
  /** Height and width of the squares that are its tokens; a divisor of `image_size`. */
  readonly patch_size: number;
}

const DEFAULTS: CLIPVisionConfig = {
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  image_size: 224,
  patch_size: 32,
  hidden_act: 'quick_gelu',
  layer_norm_eps: 1e-5,
  initializer_factor: 1,
};

const COUNTS = [
  'hidden_size',
  'intermediate_size',
  'num_hidden_layers',
  'num_attention_heads',
  'image_size',
  'patch_size',
] as const;

/** Checks the configuration of a vision tower. @throws GymError E_CONFIG or E_NAME on a value that is not supported. */
export function parseVisionConfig<C extends CLIPVisionConfig>(where: string, defaults: C, given: unknown): C {
  const config = takeFields(where, defaults, given);
  checkIntegers(where, config, COUNTS, 1);
  for (const [whole, part] of [
    ['hidden_size', 'num_attention_heads'],
    ['image_size', 'patch_size'],
  ] as const)
    if (config[whole] % config[part] !== 0)
      throw new GymError('E_CONFIG', `${where}: ${whole} ${config[whole]} is no multiple of ${part} ${config[part]}.`);
  if (!['quick_gelu', 'gelu'].includes(config.hidden_act))
    throw unknownName(where, 'hidden_act', config.hidden_act, ['quick_gelu', 'gelu']);
  return Object.freeze(config);
}

/** {@link parseVisionConfig} of CLIP. */
export const parseClipVision = (where: string, given: unknown): CLIPVisionConfig =>
  parseVisionConfig(where, DEFAULTS, given);

/** The squares of images [n, size, size, 3] as rows [n, squares, width], by a convolution without overlap. */
export function patches(images: tf.Tensor4D, weight: tf.Tensor4D, bias?: tf.Tensor1D): tf.Tensor3D {
  const [count, , , width] = [...images.shape.slice(0, 3), weight.shape[3]];
  const squares = tf.conv2d(images, weight, weight.shape[0], 'valid');
  const sum = bias ? squares.add<tf.Tensor4D>(bias) : squares;
  return sum.reshape([count!, -1, width!]);
}

/** The class token [width] before the rows of each image, and the place of each: [n · (1 + squares), width]. */
export function withClassToken(rows: tf.Tensor3D, token: tf.Tensor, places: tf.Tensor): tf.Tensor2D {
  const [count, squares, width] = rows.shape;
  const first = tf.tile(token.reshape<tf.Tensor3D>([1, 1, width]), [count, 1, 1]);
  return tf
    .concat([first, rows], 1)
    .add(places.reshape([1, squares + 1, width]))
    .reshape([count * (squares + 1), width]);
}

/** What a vision tower gives. */
export type VisionOutput = {
  /** [n, 1 + squares, hidden_size]; that of CLIP is before the last norm. */
  lastHiddenState: tf.Tensor3D;
  /** What the class token has become, after the last norm: [n, hidden_size]. */
  poolerOutput: tf.Tensor2D;
};

/** CLIP's vision tower (transformers' CLIPVisionTransformer) on images [n, image_size, image_size, 3]. */
export function clipVisionTower(scope: Scope, config: CLIPVisionConfig): (images: tf.Tensor4D) => VisionOutput {
  const { hidden_size: width, image_size: size, patch_size: patch, layer_norm_eps: epsilon } = config;
  const count = (size / patch) ** 2 + 1;
  const normal = 0.02 * config.initializer_factor;
  const embeddings = scope.at('embeddings');
  const token = embeddings.variable<tf.Rank.R1>('class_embedding', [width], {
    normal: width ** -0.5 * config.initializer_factor,
  });
  const kernel = embeddings.at('patch_embedding').variable<tf.Rank.R4>('weight', [patch, patch, 3, width], { normal });
  const position = embeddings.at('position_embedding').variable<tf.Rank.R2>('weight', [count, width], { normal });
  // The name is misspelt in all files.
  const before = layerNormalization(scope.at('pre_layrnorm'), width, epsilon);
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i) =>
    clipLayer(scope.at('encoder', 'layers', i), config),
  );
  const after = layerNormalization(scope.at('post_layernorm'), width, epsilon);
  return (images) =>
    tf.tidy(() => {
      const batch = images.shape[0];
      const rows = before(withClassToken(patches(images, kernel), token, position));
      const out = layers.reduce((h, layer) => tf.tidy(() => layer(h, batch)), rows);
      const lastHiddenState = out.reshape<tf.Tensor3D>([batch, count, width]);
      const first = tf.slice(lastHiddenState, [0, 0, 0], [batch, 1, width]).reshape<tf.Tensor2D>([batch, width]);
      return { lastHiddenState, poolerOutput: after(first) };
    });
}
