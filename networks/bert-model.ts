import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { GymError, unknownName } from '../core/errors.js';
import { readPythonJson } from '../core/files.js';
import type { Random } from '../core/random.js';
import { checkIntegers, takeFields } from './config-fields.js';
import { type BertEmbeddingsConfig, bertEmbeddings, bertLayer } from './layers/bert-layer.js';
import { useWeights } from './weight-files.js';
import {
  build,
  disposeParameters,
  type ParameterSource,
  randomParameters,
  type Scope,
  storedParameters,
} from './weights.js';

const NAME = 'BertModel';
const STEMS = ['model', 'pytorch_model'];

/** The kinds of encoder that are built alike; those of RoBERTa count places from the padding token's id. */
const MODEL_TYPES = ['bert', 'roberta', 'xlm-roberta', 'camembert'] as const;

/** The configuration of an encoder, with the names and meanings of Python's `transformers.BertConfig`. */
export interface BertConfig extends BertEmbeddingsConfig {
  readonly model_type: (typeof MODEL_TYPES)[number];
  readonly num_hidden_layers: number;
  readonly pad_token_id: number;
}

const DEFAULTS: BertConfig = {
  model_type: 'bert',
  vocab_size: 30522,
  hidden_size: 768,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  intermediate_size: 3072,
  hidden_act: 'gelu',
  max_position_embeddings: 512,
  type_vocab_size: 2,
  layer_norm_eps: 1e-12,
  initializer_range: 0.02,
  pad_token_id: 0,
};

const COUNTS = [
  'vocab_size',
  'hidden_size',
  'num_hidden_layers',
  'num_attention_heads',
  'intermediate_size',
  'max_position_embeddings',
] as const;

/** Checks what BERT and the models that are built like it have in common. */
export function checkBertConfig<C extends BertEmbeddingsConfig>(where: string, config: C): void {
  checkIntegers(where, config, COUNTS as readonly (keyof C)[], 1);
  if (config.hidden_size % config.num_attention_heads !== 0)
    throw new GymError(
      'E_CONFIG',
      `${where}: hidden_size ${config.hidden_size} is no multiple of num_attention_heads ${config.num_attention_heads}.`,
    );
  if (config.hidden_act !== 'gelu') throw unknownName(where, 'hidden_act', config.hidden_act, ['gelu']);
}

function parseConfig(where: string, given: unknown): BertConfig {
  const type = (given as { model_type?: unknown } | null)?.model_type;
  if (type !== undefined && !MODEL_TYPES.includes(type as BertConfig['model_type']))
    throw unknownName(where, 'model_type', String(type), MODEL_TYPES);
  const config = takeFields(where, DEFAULTS, given);
  checkBertConfig(where, config);
  checkIntegers(where, config, ['type_vocab_size', 'pad_token_id'], 0);
  const relative = (given as { position_embedding_type?: unknown }).position_embedding_type;
  if (relative !== undefined && relative !== null && relative !== 'absolute')
    throw unknownName(where, 'position_embedding_type', String(relative), ['absolute']);
  return Object.freeze(config);
}

/**
 * The present key of a tensor: a file of a model with a head has a prefix. The head itself, the pooler and buffers of
 * positions are no parameters here.
 */
function rename(name: string): string | undefined {
  const own = name.replace(/^(bert|roberta)\./, '');
  return /^(embeddings|encoder)\./.test(own) && !own.endsWith('position_ids') ? own : undefined;
}

/**
 * BERT's encoder (Devlin et al. 2018), configured and stored as transformers' class of the same name; RoBERTa's too, which
 * counts places otherwise.
 */
export class BertModel {
  readonly config: BertConfig;
  /** The parameters by transformers' keys; linear layers are [in, out]. */
  readonly parameters: ReadonlyMap<string, tf.Variable>;
  readonly #embed: (inputIds: tf.Tensor2D) => tf.Tensor2D;
  readonly #layers: ReturnType<typeof bertLayer>[];

  private constructor(config: BertConfig, source: ParameterSource) {
    const make = (scope: Scope) => ({
      embed: bertEmbeddings(scope.at('embeddings'), config, firstPosition(config)),
      layers: Array.from({ length: config.num_hidden_layers }, (_, i) =>
        bertLayer(scope.at('encoder', 'layer', i), config),
      ),
    });
    const { network, parameters } = build(source, make);
    this.config = config;
    this.parameters = parameters;
    this.#embed = network.embed;
    this.#layers = network.layers;
  }

  /**
   * Makes a new encoder, with initial weights as in transformers.
   * @param config the keys whose values are not transformers' defaults
   * @throws GymError E_CONFIG where a value is malformed, E_NAME where one is not supported
   */
  static create(config: Partial<BertConfig>, random: Random): BertModel {
    return new BertModel(parseConfig(NAME, config), randomParameters(random));
  }

  /**
   * Reads `config.json` and `model.safetensors` (one file or shards, in float32 or a variant of less).
   * @throws GymError E_FILE where a file is missing, is corrupt or does not fit its configuration; E_CONFIG or E_NAME
   *   where the configuration is not supported
   */
  static async load(folder: string): Promise<BertModel> {
    const where = join(folder, 'config.json');
    const config = parseConfig(where, await readPythonJson(where));
    return useWeights(folder, STEMS, (path, state) => new BertModel(config, storedParameters(path, state, rename)));
  }

  /** The number of tokens of the longest text, including special tokens. */
  get longest(): number {
    return this.config.max_position_embeddings - firstPosition(this.config);
  }

  /**
   * The hidden states of texts of the same number of tokens. The result is differentiable, and the caller frees it.
   * @param inputIds int32 [batch, tokens], none of them padding
   * @param layer after which layer: 0 are the embeddings; default: the last
   * @returns [batch, tokens, hidden_size]
   * @throws GymError E_SHAPE where the ids have another type or are too many
   */
  apply(inputIds: tf.Tensor2D, layer = this.config.num_hidden_layers): tf.Tensor3D {
    const [batch, tokens] = inputIds.shape;
    checkIds(NAME, inputIds, this.longest);
    return tf.tidy(() => {
      const rows = this.#layers
        .slice(0, layer)
        .reduce((h, next) => tf.tidy(() => next(h, batch)), this.#embed(inputIds));
      return rows.reshape<tf.Tensor3D>([batch, tokens, this.config.hidden_size]);
    });
  }

  /** Frees the parameters. */
  dispose(): void {
    disposeParameters(this.parameters);
  }
}

/** In RoBERTa's family the first places are those of padding (fairseq's make_positions). */
function firstPosition({ model_type, pad_token_id }: BertConfig): number {
  return model_type === 'bert' ? 0 : pad_token_id + 1;
}

/** @throws GymError E_SHAPE where ids are not int32 [batch, tokens] of at most so many tokens. */
export function checkIds(where: string, inputIds: tf.Tensor2D, longest: number): void {
  if (inputIds.rank !== 2 || inputIds.dtype !== 'int32')
    throw new GymError(
      'E_SHAPE',
      `${where}: ids must be int32 [batch, tokens], actual value ${inputIds.dtype} [${inputIds.shape}].`,
    );
  if (inputIds.shape[1] > longest)
    throw new GymError('E_SHAPE', `${where}: ${inputIds.shape[1]} tokens a text, but there are ${longest} positions.`);
}
