import type * as tf from '@tensorflow/tfjs';
import { GymError, unknownName } from '../core/errors.js';
import { checkIntegers, takeFields } from './config-fields.js';
import { type BertEmbeddingsConfig, bertEmbeddings, bertLayer } from './layers/bert-layer.js';
import type { TextEncoderPlan } from './text-encoder-plan.js';

/** The configuration of an encoder, with the names and meanings of Python's `transformers.BertConfig`. */
export interface BertConfig extends BertEmbeddingsConfig {
  readonly model_type: string;
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

/** DistilBERT's configuration (Sanh et al. 2019) has names of its own; what they do not name has one value. */
const DISTILLED = {
  ...{ model_type: 'distilbert', vocab_size: 30522, dim: 768, n_layers: 6, n_heads: 12, hidden_dim: 3072 },
  ...{ activation: 'gelu', max_position_embeddings: 512, initializer_range: 0.02, pad_token_id: 0 },
};

function fromDistilled(where: string, given: unknown): BertConfig {
  const { dim, n_layers, n_heads, hidden_dim, activation, ...same } = takeFields(where, DISTILLED, given);
  return {
    ...same,
    ...{ hidden_size: dim, num_hidden_layers: n_layers, num_attention_heads: n_heads, intermediate_size: hidden_dim },
    ...{ hidden_act: activation as 'gelu', type_vocab_size: 0, layer_norm_eps: 1e-12 },
  };
}

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
  const distilled = (given as { model_type?: unknown } | null)?.model_type === DISTILLED.model_type;
  const config = distilled ? fromDistilled(where, given) : takeFields(where, DEFAULTS, given);
  checkBertConfig(where, config);
  checkIntegers(where, config, ['type_vocab_size', 'pad_token_id'], 0);
  const relative = (given as { position_embedding_type?: unknown }).position_embedding_type;
  if (relative !== undefined && relative !== null && relative !== 'absolute')
    throw unknownName(where, 'position_embedding_type', String(relative), ['absolute']);
  return Object.freeze(config);
}

/** BERT's keys for those of DistilBERT's layers. */
const distilledNames: readonly (readonly [RegExp, string])[] = [
  [/^transformer\.layer\./, 'encoder.layer.'],
  [/\.attention\.q_lin\./, '.attention.self.query.'],
  [/\.attention\.k_lin\./, '.attention.self.key.'],
  [/\.attention\.v_lin\./, '.attention.self.value.'],
  [/\.attention\.out_lin\./, '.attention.output.dense.'],
  [/\.sa_layer_norm\./, '.attention.output.LayerNorm.'],
  [/\.ffn\.lin1\./, '.intermediate.dense.'],
  [/\.ffn\.lin2\./, '.output.dense.'],
  [/\.output_layer_norm\./, '.output.LayerNorm.'],
];

/**
 * The present key of a tensor: a file of a model with a head has a prefix. The head itself, the pooler and buffers of
 * positions are no parameters here.
 */
function rename(name: string): string | undefined {
  const own = name.replace(/^(bert|roberta|distilbert)\./, '');
  const present = distilledNames.reduce((at, [from, to]) => at.replace(from, to), own);
  return /^(embeddings|encoder)\./.test(present) && !present.endsWith('position_ids') ? present : undefined;
}

/**
 * BERT's encoder (Devlin et al. 2018), and what is built like it: RoBERTa, which counts places otherwise, and DistilBERT,
 * which has no kinds of sentence.
 * @throws GymError E_CONFIG where a value is malformed, E_NAME where one is not supported
 */
export function bertPlan(where: string, given: unknown): TextEncoderPlan {
  const config = parseConfig(where, given);
  const firstPosition = firstPositionOf(config);
  return {
    config,
    longest: config.max_position_embeddings - firstPosition,
    rename,
    make: (scope) => ({
      embed: bertEmbeddings(scope.at('embeddings'), config, firstPosition),
      layers: Array.from({ length: config.num_hidden_layers }, (_, i) =>
        bertLayer(scope.at('encoder', 'layer', i), config),
      ),
    }),
  };
}

/** In RoBERTa's family the first places are those of padding (fairseq's make_positions). */
function firstPositionOf({ model_type, pad_token_id }: BertConfig): number {
  return model_type === 'bert' || model_type === DISTILLED.model_type ? 0 : pad_token_id + 1;
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
