import * as tf from '@tensorflow/tfjs';
import { attention } from '../backend/index.js';
import { GymError } from '../core/errors.js';
import type { Random } from '../core/random.js';
import { checkBertConfig, checkIds } from './bert-model.js';
import { type CLIPVisionConfig, parseVisionConfig, patches, withClassToken } from './clip-vision-model.js';
import { checkIntegers, takeFields } from './config-fields.js';
import { layerNormalization, linearLayer } from './layers/basic.js';
import { type BertEmbeddingsConfig, bertEmbeddings, bertLayer } from './layers/bert-layer.js';
import {
  build,
  disposeParameters,
  type ParameterSource,
  randomParameters,
  type Scope,
  type StoredTensors,
  storedParameters,
} from './weights.js';

const NAME = 'BlipModel';

/** The configuration of the vision tower, with the names and meanings of Python's `transformers.BlipVisionConfig`. */
export type BlipVisionConfig = CLIPVisionConfig;

const VISION: BlipVisionConfig = {
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  image_size: 384,
  patch_size: 16,
  hidden_act: 'gelu',
  layer_norm_eps: 1e-5,
  initializer_factor: 1,
};

/** The configuration of the text encoder, with the names and meanings of Python's `transformers.BlipTextConfig`. */
export interface BlipTextConfig extends BertEmbeddingsConfig {
  readonly num_hidden_layers: number;
  /** The channels of the picture's rows, to which the text attends. */
  readonly encoder_hidden_size: number;
}

const TEXT: BlipTextConfig = {
  vocab_size: 30524,
  hidden_size: 768,
  encoder_hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  max_position_embeddings: 512,
  // BLIP's text has one kind of sentence, without an embedding of its own.
  type_vocab_size: 0,
  hidden_act: 'gelu',
  layer_norm_eps: 1e-12,
  initializer_range: 0.02,
};

/** The weights of one part of a model: its configuration, and its state dict by transformers' keys. */
export interface BlipPart {
  /** The path of the configuration, which errors name. */
  readonly where: string;
  readonly config: unknown;
  /** The path of the weights. */
  readonly weights: string;
  readonly state: StoredTensors;
}

/** transformers' BlipVisionModel on images [n, size, size, 3]: rows [n · (1 + squares), width]. */
function visionTower(scope: Scope, config: BlipVisionConfig): (images: tf.Tensor4D) => tf.Tensor2D {
  const { hidden_size: width, patch_size: patch, layer_norm_eps: epsilon, num_attention_heads: heads } = config;
  const normal = 0.02;
  const embeddings = scope.at('embeddings');
  const token = embeddings.variable('class_embedding', [1, 1, width], { normal });
  const places = (config.image_size / patch) ** 2 + 1;
  const position = embeddings.variable('position_embedding', [1, places, width], { normal });
  const kernel = embeddings.at('patch_embedding').variable<tf.Rank.R4>('weight', [patch, patch, 3, width], { normal });
  const offset = embeddings.at('patch_embedding').variable<tf.Rank.R1>('bias', [width], 0);
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i) => {
    const layer = scope.at('encoder', 'layers', i);
    const norm1 = layerNormalization(layer.at('layer_norm1'), width, epsilon);
    const joined = linearLayer(layer.at('self_attn', 'qkv'), width, 3 * width);
    const out = linearLayer(layer.at('self_attn', 'projection'), width, width);
    const norm2 = layerNormalization(layer.at('layer_norm2'), width, epsilon);
    const up = linearLayer(layer.at('mlp', 'fc1'), width, config.intermediate_size, { activation: config.hidden_act });
    const down = linearLayer(layer.at('mlp', 'fc2'), config.intermediate_size, width);
    return (rows: tf.Tensor2D, batch: number): tf.Tensor2D => {
      const [query, key, value] = tf.split(joined(norm1(rows)), 3, 1) as [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D];
      const h = out(attention(query, key, value, { batch, heads }), rows);
      return down(up(norm2(h)), h);
    };
  });
  const norm = layerNormalization(scope.at('post_layernorm'), width, epsilon);
  return (images) => {
    const rows = withClassToken(patches(images, kernel, offset), token, position);
    return norm(layers.reduce((h, layer) => tf.tidy(() => layer(h, images.shape[0])), rows));
  };
}

/** A part of a model: its configuration, checked, and where its weights come from. */
interface Configured<C> {
  readonly config: C;
  readonly source: ParameterSource;
}

/** Checks the configurations of both parts. */
function configured(
  vision: Pick<BlipPart, 'where' | 'config'>,
  text: Pick<BlipPart, 'where' | 'config'>,
): { vision: BlipVisionConfig; text: BlipTextConfig } {
  const seen = parseVisionConfig(vision.where, VISION, vision.config);
  const own = takeFields(text.where, TEXT, text.config);
  checkBertConfig(text.where, own);
  checkIntegers(text.where, own, ['num_hidden_layers', 'encoder_hidden_size'], 1);
  if (own.encoder_hidden_size !== seen.hidden_size)
    throw new GymError(
      'E_CONFIG',
      `${text.where}: encoder_hidden_size ${own.encoder_hidden_size} is not the vision tower's hidden_size ${seen.hidden_size}.`,
    );
  return { vision: seen, text: Object.freeze(own) };
}

/**
 * BLIP (Li et al. 2022) as an encoder of a text that sees a picture: a vision tower, and BERT with cross-attention to its
 * rows, in which every token sees all others. Configured and stored as transformers' BlipVisionModel and BlipTextModel.
 */
export class BlipModel {
  readonly vision: BlipVisionConfig;
  readonly text: BlipTextConfig;
  /** What can be trained of both parts, each by transformers' keys; linear layers are [in, out]. */
  readonly parameters: {
    readonly vision: ReadonlyMap<string, tf.Variable>;
    readonly text: ReadonlyMap<string, tf.Variable>;
  };
  readonly #see: (images: tf.Tensor4D) => tf.Tensor2D;
  readonly #embed: (inputIds: tf.Tensor2D) => tf.Tensor2D;
  readonly #layers: ReturnType<typeof bertLayer>[];

  private constructor(vision: Configured<BlipVisionConfig>, text: Configured<BlipTextConfig>) {
    this.vision = vision.config;
    this.text = text.config;
    const own = this.text;
    const tower = build(vision.source, (scope) => visionTower(scope, this.vision));
    try {
      const encoder = build(text.source, (scope) => ({
        embed: bertEmbeddings(scope.at('embeddings'), own),
        layers: Array.from({ length: own.num_hidden_layers }, (_, i) =>
          bertLayer(scope.at('encoder', 'layer', i), own, own.encoder_hidden_size),
        ),
      }));
      this.#see = tower.network;
      this.#embed = encoder.network.embed;
      this.#layers = encoder.network.layers;
      this.parameters = { vision: tower.parameters, text: encoder.parameters };
    } catch (error) {
      disposeParameters(tower.parameters);
      throw error;
    }
  }

  /**
   * Makes a new model, with initial weights as in transformers.
   * @param vision,text the keys whose values are not transformers' defaults
   * @throws GymError E_CONFIG or E_NAME where a configuration is not supported, or the two do not fit each other
   */
  static create(vision: Partial<BlipVisionConfig>, text: Partial<BlipTextConfig>, random: Random): BlipModel {
    const parts = configured({ where: `${NAME}: vision`, config: vision }, { where: `${NAME}: text`, config: text });
    return new BlipModel(
      { config: parts.vision, source: randomParameters(random.child('vision')) },
      { config: parts.text, source: randomParameters(random.child('text')) },
    );
  }

  /**
   * @throws GymError E_FILE where weights do not fit their configuration; E_CONFIG or E_NAME where a configuration is not
   *   supported, or the two do not fit each other
   */
  static from(vision: BlipPart, text: BlipPart): BlipModel {
    const parts = configured(vision, text);
    const source = ({ weights, state }: BlipPart) =>
      storedParameters(weights, state, (name) => (name.endsWith('position_ids') ? undefined : name));
    return new BlipModel(
      { config: parts.vision, source: source(vision) },
      { config: parts.text, source: source(text) },
    );
  }

  /** What is seen of images [n, image_size, image_size, 3]: [n, 1 + squares, channels]; the caller frees it. */
  see(images: tf.Tensor4D): tf.Tensor3D {
    const { image_size: size, hidden_size: width } = this.vision;
    if (images.rank !== 4 || images.shape[1] !== size || images.shape[2] !== size || images.shape[3] !== 3)
      throw new GymError('E_SHAPE', `BlipModel: images must be [n, ${size}, ${size}, 3], actual [${images.shape}].`);
    return tf.tidy(() => this.#see(images).reshape<tf.Tensor3D>([images.shape[0], -1, width]));
  }

  /**
   * The hidden states of texts of one number of tokens, each of which sees a picture; the caller frees them.
   * @param inputIds int32 [n, tokens], none of them padding
   * @param seen [n, rows, channels], as {@link see} gives it
   * @returns [n, tokens, hidden_size]
   */
  read(inputIds: tf.Tensor2D, seen: tf.Tensor3D): tf.Tensor3D {
    const [batch, tokens] = inputIds.shape;
    checkIds('BlipModel', inputIds, this.text.max_position_embeddings);
    return tf.tidy(() => {
      const context = seen.reshape<tf.Tensor2D>([-1, seen.shape[2]]);
      const rows = this.#layers.reduce((h, layer) => tf.tidy(() => layer(h, batch, context)), this.#embed(inputIds));
      return rows.reshape<tf.Tensor3D>([batch, tokens, this.text.hidden_size]);
    });
  }

  /** Frees the parameters. */
  dispose(): void {
    for (const parameters of Object.values(this.parameters)) disposeParameters(parameters);
  }
}
