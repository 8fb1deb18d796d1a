import * as tf from '@tensorflow/tfjs';
import { attention, linear } from '../../backend/index.js';
import type { Scope } from '../weights.js';
import { layerNormalization } from './basic.js';

/** What a layer of BERT takes of its configuration, by transformers' names. */
export interface BertLayerConfig {
  /** The number of channels of a token. */
  readonly hidden_size: number;
  /** The number of channels inside the feed-forward layers. */
  readonly intermediate_size: number;
  readonly num_attention_heads: number;
  readonly hidden_act: 'gelu';
  readonly layer_norm_eps: number;
  /** The standard deviation of new weights. */
  readonly initializer_range: number;
}

/**
 * A layer on rows [batch · tokens, width], all of which are tokens.
 * @param context rows [batch · m, channels] to which they attend besides, where the layer has cross-attention.
 */
export type BertLayer = (rows: tf.Tensor2D, batch: number, context?: tf.Tensor2D) => tf.Tensor2D;

/**
 * A layer of BERT (Devlin et al. 2018; transformers' BertLayer): attention and feed-forward, each followed by the norm of
 * its sum with what went in.
 * @param contextWidth the channels of what cross-attention attends to; without, the layer has none. It stands between the
 *   two other parts, as in BLIP's text model.
 */
export function bertLayer(scope: Scope, config: BertLayerConfig, contextWidth?: number): BertLayer {
  const self = bertAttention(scope.at('attention'), config, config.hidden_size);
  const cross =
    contextWidth === undefined ? undefined : bertAttention(scope.at('crossattention'), config, contextWidth);
  const forward = feedForward(scope, config);
  return (rows, batch, context) => {
    const own = self(rows, rows, batch);
    return forward(cross && context ? cross(own, context, batch) : own);
  };
}

/** transformers' BertAttention: `norm(rows + attention)`. */
function bertAttention(scope: Scope, config: BertLayerConfig, contextWidth: number) {
  const { hidden_size: width, num_attention_heads: heads, initializer_range: normal } = config;
  const self = scope.at('self');
  const query = dense(self.at('query'), width, width, normal);
  const key = dense(self.at('key'), contextWidth, width, normal);
  const value = dense(self.at('value'), contextWidth, width, normal);
  const out = normedSum(scope.at('output'), width, config);
  return (rows: tf.Tensor2D, context: tf.Tensor2D, batch: number): tf.Tensor2D =>
    out(attention(query(rows), key(context), value(context), { batch, heads }), rows);
}

/** The second part of a layer: `norm(rows + down(gelu(up(rows))))`. */
export function feedForward(scope: Scope, config: BertLayerConfig): (rows: tf.Tensor2D) => tf.Tensor2D {
  const { hidden_size: width, intermediate_size: inner, initializer_range: normal } = config;
  const up = dense(scope.at('intermediate', 'dense'), width, inner, normal);
  const down = normedSum(scope.at('output'), inner, config);
  return (rows) => down(up(rows, { activation: config.hidden_act }), rows);
}

/** What each part of a layer ends with (transformers' BertSelfOutput and BertOutput): `norm(residual + linear(x))`. */
export function normedSum(scope: Scope, inputs: number, config: BertLayerConfig) {
  const { hidden_size: width, layer_norm_eps: epsilon, initializer_range: normal } = config;
  const linear = dense(scope.at('dense'), inputs, width, normal);
  const norm = layerNormalization(scope.at('LayerNorm'), width, epsilon);
  return (x: tf.Tensor2D, residual: tf.Tensor2D): tf.Tensor2D => norm(linear(x, { residual }));
}

/** A linear layer with normal initial weights. */
export function dense(scope: Scope, inputs: number, outputs: number, normal: number) {
  const weight = scope.variable<tf.Rank.R2>('weight', [inputs, outputs], { normal });
  const bias = scope.variable<tf.Rank.R1>('bias', [outputs], 0);
  return (x: tf.Tensor2D, more: { activation?: 'gelu'; residual?: tf.Tensor2D } = {}) =>
    linear(x, weight, { bias, ...more });
}

/** The sizes of {@link bertEmbeddings}. */
export interface BertEmbeddingsConfig extends BertLayerConfig {
  readonly vocab_size: number;
  readonly max_position_embeddings: number;
  /** The kinds of sentence; 0 where tokens have no embedding of that. */
  readonly type_vocab_size: number;
}

/**
 * The rows [batch · tokens, width] of tokens: the sum of the embeddings of the word, of the place, and of the first kind of
 * sentence, normed (transformers' BertEmbeddings).
 * @param firstPosition the place of the first token: 0, or in RoBERTa's family the one after the padding token's id; null
 *   where places have no embedding.
 */
export function bertEmbeddings(scope: Scope, config: BertEmbeddingsConfig, firstPosition: number | null = 0) {
  const { hidden_size: width, initializer_range: normal, type_vocab_size: types } = config;
  const table = (name: string, rows: number) =>
    scope.at(name).variable<tf.Rank.R2>('weight', [rows, width], { normal });
  const word = table('word_embeddings', config.vocab_size);
  const position = firstPosition === null ? undefined : table('position_embeddings', config.max_position_embeddings);
  const type = types > 0 ? table('token_type_embeddings', types) : undefined;
  const norm = layerNormalization(scope.at('LayerNorm'), width, config.layer_norm_eps);
  return (inputIds: tf.Tensor2D): tf.Tensor2D => {
    const [batch, tokens] = inputIds.shape;
    const shared = [
      ...(position ? [tf.slice(position, [firstPosition!, 0], [tokens, width])] : []),
      ...(type ? [tf.slice(type, [0, 0], [1, width])] : []),
    ];
    const words = tf.gather(word, inputIds.flatten()).reshape<tf.Tensor3D>([batch, tokens, width]);
    const sum = shared.reduce<tf.Tensor3D>((all, rows) => all.add(rows), words);
    return norm(sum.reshape<tf.Tensor2D>([batch * tokens, width]));
  };
}
