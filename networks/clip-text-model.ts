import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { GymError, unknownName } from '../core/errors.js';
import { readPythonJson } from '../core/files.js';
import type { Random } from '../core/random.js';
import { checkIntegers, takeFields } from './config-fields.js';
import { layerNormalization } from './layers/basic.js';
import { clipLayer } from './layers/clip-layer.js';
import { writeJson } from './model-folder.js';
import { useWeights, writeWeights } from './weight-files.js';
import {
  build,
  copiedParameters,
  disposeParameters,
  type ParameterSource,
  randomParameters,
  type Scope,
  storedParameters,
} from './weights.js';

const NAME = 'CLIPTextModel';
const CONFIG = 'config.json';
/** With what the names of weight files begin: safetensors, and pickles of older times. */
export const TEXT_STEMS = ['model', 'pytorch_model'];

/** The configuration of a text encoder, with the names and meanings of Python's `transformers.CLIPTextConfig`. */
export interface CLIPTextConfig {
  readonly vocab_size: number;
  /** The number of channels of a token. */
  readonly hidden_size: number;
  /** The number of channels inside the feed-forward layers. */
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  /** The number of tokens of the longest prompt, including start and end token. */
  readonly max_position_embeddings: number;
  readonly hidden_act: 'quick_gelu' | 'gelu';
  readonly layer_norm_eps: number;
  /** A factor on the standard deviations of new parameters. */
  readonly initializer_factor: number;
  readonly bos_token_id: number;
  /**
   * The end token: the pooled output is taken where it first stands. Old files have a wrong 2 here, and the output is
   * then taken at the largest id of the prompt.
   */
  readonly eos_token_id: number;
  readonly pad_token_id: number;
}

const DEFAULTS: CLIPTextConfig = {
  vocab_size: 49408,
  hidden_size: 512,
  intermediate_size: 2048,
  num_hidden_layers: 12,
  num_attention_heads: 8,
  max_position_embeddings: 77,
  hidden_act: 'quick_gelu',
  layer_norm_eps: 1e-5,
  initializer_factor: 1,
  bos_token_id: 49406,
  eos_token_id: 49407,
  pad_token_id: 1,
};

const COUNTS = [
  'vocab_size',
  'hidden_size',
  'intermediate_size',
  'num_hidden_layers',
  'num_attention_heads',
  'max_position_embeddings',
] as const;

/** The activations that transformers' text encoders have and that are supported. */
const ACTIVATIONS: readonly CLIPTextConfig['hidden_act'][] = ['quick_gelu', 'gelu'];

const FLOATS = ['attention_dropout', 'initializer_factor', 'initializer_range', 'layer_norm_eps'];

/** The part of the text in the configuration of a whole CLIP; that of a text encoder as it is. */
function textConfig(given: unknown): unknown {
  const { text_config: text, text_config_dict: over } = (given ?? {}) as Readonly<Record<string, unknown>>;
  // Old files hold this part twice, and transformers lets the second copy overrule the first.
  return typeof text === 'object' && text !== null ? { ...text, ...(over as object | null) } : given;
}

/** Checks the configuration of a text tower. @throws GymError E_CONFIG or E_NAME as {@link CLIPTextModel.create}. */
export function parseTextConfig(where: string, given: unknown): CLIPTextConfig {
  const config = takeFields(where, DEFAULTS, textConfig(given));
  checkIntegers(where, config, COUNTS, 1);
  if (config.hidden_size % config.num_attention_heads !== 0)
    throw new GymError(
      'E_CONFIG',
      `${where}: hidden_size ${config.hidden_size} is no multiple of num_attention_heads ${config.num_attention_heads}.`,
    );
  if (!ACTIVATIONS.includes(config.hidden_act)) throw unknownName(where, 'hidden_act', config.hidden_act, ACTIVATIONS);
  return Object.freeze(config);
}

/**
 * The present key of a tensor. Files of transformers 5 lack the prefix `text_model.`; old files have a buffer of
 * positions, those of SDXL a projection, and those of a whole CLIP its vision tower, which are no parameters here.
 */
function rename(name: string): string | undefined {
  if (name.endsWith('position_ids') || /^(text_projection|vision_model|visual_projection|logit_scale)(\.|$)/.test(name))
    return undefined;
  return name.startsWith('text_model.') ? name : `text_model.${name}`;
}

/**
 * What a text encoder gives. It is a type alias and no interface, because `tf.dispose` does not accept an interface.
 */
export type CLIPTextOutput = {
  /** The hidden states [batch, tokens, hidden_size], to which a UNet attends. */
  lastHiddenState: tf.Tensor3D;
  /** The hidden state at the end token [batch, hidden_size]. */
  poolerOutput: tf.Tensor2D;
};

/**
 * The text encoder of CLIP (Radford et al. 2021) and Stable Diffusion, configured and stored as transformers' class of
 * the same name.
 */
export class CLIPTextModel {
  readonly config: CLIPTextConfig;
  /** The parameters by transformers' keys, with the prefix `text_model.`; linear layers are [in, out]. */
  readonly parameters: ReadonlyMap<string, tf.Variable>;
  readonly #encode: (inputIds: tf.Tensor2D) => CLIPTextOutput;

  private constructor(config: CLIPTextConfig, source: ParameterSource) {
    const { network, parameters } = build(source, (scope) => clipTextTower(scope.at('text_model'), config));
    this.config = config;
    this.parameters = parameters;
    this.#encode = network;
  }

  /**
   * Makes a new encoder, with initial weights as in transformers.
   * @param config the keys whose values are not transformers' defaults
   * @throws GymError E_CONFIG where a value is malformed, E_NAME where `hidden_act` is not supported
   */
  static create(config: Partial<CLIPTextConfig>, random: Random): CLIPTextModel {
    return new CLIPTextModel(parseTextConfig(NAME, config), randomParameters(random));
  }

  /**
   * Reads `config.json` and `model.safetensors` (one file or shards, in float32 or a variant of less): those of a text
   * encoder, or of a whole CLIP, whose text part is taken.
   * @throws GymError E_FILE where a file is missing, is corrupt or does not fit its configuration; E_CONFIG or E_NAME
   *   where the configuration is not supported
   */
  static async load(folder: string): Promise<CLIPTextModel> {
    const where = join(folder, CONFIG);
    const config = parseTextConfig(where, await readPythonJson(where));
    return useWeights(
      folder,
      TEXT_STEMS,
      (path, state) => new CLIPTextModel(config, storedParameters(path, state, rename)),
    );
  }

  /**
   * Writes what {@link load} and Python's transformers read (of any version: the keys have the prefix), and removes
   * other weights of an encoder from the folder.
   * @throws GymError E_FILE when it cannot be written
   */
  async save(folder: string): Promise<void> {
    await writeWeights(folder, TEXT_STEMS, this.parameters);
    const config = { ...this.config, architectures: [NAME], model_type: 'clip_text_model' };
    await writeJson(join(folder, CONFIG), config, FLOATS);
  }

  /**
   * Makes an encoder of the same configuration with copies of the present weights. Training one of the two leaves the
   * other as it is. The caller disposes of it.
   */
  clone(): CLIPTextModel {
    return new CLIPTextModel(this.config, copiedParameters(this.parameters));
  }

  /** Frees the parameters. */
  dispose(): void {
    disposeParameters(this.parameters);
  }

  /**
   * Encodes prompts. The result is differentiable, and the caller frees it.
   * @param inputIds int32 [batch, tokens], each id below `vocab_size`, at most `max_position_embeddings` tokens
   * @throws GymError E_SHAPE where the ids have another type or shape, or are too many
   */
  apply(inputIds: tf.Tensor2D): CLIPTextOutput {
    return this.#encode(inputIds);
  }
}

/**
 * Builds a text tower, with its checks of the ids: a function of ids as {@link CLIPTextModel.apply} takes them.
 * @throws GymError E_SHAPE, when called, where the ids have another type or shape, or are too many
 */
export function clipTextTower(scope: Scope, config: CLIPTextConfig): (inputIds: tf.Tensor2D) => CLIPTextOutput {
  const encode = encoder(scope, config);
  const { max_position_embeddings: longest, hidden_size: width, eos_token_id: end } = config;
  return (inputIds) => {
    const [batch, tokens] = inputIds.shape;
    if (inputIds.rank !== 2 || inputIds.dtype !== 'int32')
      throw new GymError(
        'E_SHAPE',
        `${NAME}: ids must be int32 [batch, tokens], actual value ${inputIds.dtype} [${inputIds.shape}].`,
      );
    if (tokens > longest)
      throw new GymError('E_SHAPE', `${NAME}: ${tokens} tokens a prompt, but there are ${longest} positions.`);
    return tf.tidy(() => {
      const rows = encode(inputIds);
      const place = tf.argMax(end === 2 ? inputIds : tf.equal(inputIds, end).toInt(), 1);
      const first = tf.tensor1d(
        Int32Array.from({ length: batch }, (_, i) => i * tokens),
        'int32',
      );
      return {
        lastHiddenState: rows.reshape<tf.Tensor3D>([batch, tokens, width]),
        poolerOutput: tf.gather(rows, place.toInt().add<tf.Tensor1D>(first)),
      };
    });
  };
}

/**
 * Builds the encoder: token and position embeddings, then layers of causal attention and feed-forward. It gives rows
 * [batch · tokens, width].
 */
function encoder(scope: Scope, config: CLIPTextConfig): (inputIds: tf.Tensor2D) => tf.Tensor2D {
  const { hidden_size: width, num_hidden_layers: count, initializer_factor: factor, layer_norm_eps: epsilon } = config;
  const embeddings = scope.at('embeddings');
  const normal = 0.02 * factor;
  const token = embeddings.at('token_embedding').variable<tf.Rank.R2>('weight', [config.vocab_size, width], { normal });
  const position = embeddings
    .at('position_embedding')
    .variable<tf.Rank.R2>('weight', [config.max_position_embeddings, width], { normal });
  const layers = Array.from({ length: count }, (_, i) => clipLayer(scope.at('encoder', 'layers', i), config));
  const norm = layerNormalization(scope.at('final_layer_norm'), width, epsilon);

  return (inputIds) => {
    const [batch, tokens] = inputIds.shape;
    const places = tf.slice(position, [0, 0], [tokens, width]);
    const embedded = tf
      .gather(token, inputIds.flatten())
      .reshape<tf.Tensor3D>([batch, tokens, width])
      .add<tf.Tensor3D>(places)
      .reshape<tf.Tensor2D>([batch * tokens, width]);
    const mask = causalMask(tokens);
    return norm(layers.reduce((rows, layer) => layer(rows, batch, mask), embedded));
  };
}

/**
 * What is added to the attention scores [tokens, tokens]: 0 for tokens that came before, and -1e9 for those that come
 * after.
 */
function causalMask(tokens: number): tf.Tensor2D {
  const mask = new Float32Array(tokens * tokens);
  for (let i = 0; i < tokens; i++) mask.fill(-1e9, i * tokens + i + 1, (i + 1) * tokens);
  return tf.tensor2d(mask, [tokens, tokens]);
}
