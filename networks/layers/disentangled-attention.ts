import * as tf from '@tensorflow/tfjs';
import { linear } from '../../backend/index.js';
import type { Scope } from '../weights.js';
import { type BertLayerConfig, dense } from './bert-layer.js';

/** What attention takes of a DeBERTa's configuration, by transformers' names. */
export interface DisentangledConfig extends BertLayerConfig {
  readonly model_type: 'deberta' | 'deberta-v2';
  /** Which of the two terms with positions there are. */
  readonly pos_att_type: readonly ('c2p' | 'p2c')[];
  /** v2: positions go through the projections of the content, and have none of their own. */
  readonly share_att_key: boolean;
}

/** A projection of rows to [rows, width]. */
type Project = (rows: tf.Tensor2D) => tf.Tensor2D;

/** The projections of an attention; those of positions are there as far as the configuration has their terms. */
interface Projections {
  content(rows: tf.Tensor2D): { query: tf.Tensor2D; key: tf.Tensor2D; value: tf.Tensor2D };
  readonly positionKey?: Project;
  readonly positionQuery?: Project;
}

/** Those of the first DeBERTa, where one matrix holds query, key and value of a head after the other. */
function firstProjections(scope: Scope, config: DisentangledConfig): Projections {
  const { hidden_size: width, num_attention_heads: heads, initializer_range: normal, pos_att_type: terms } = config;
  const joined = scope.at('in_proj').variable<tf.Rank.R2>('weight', [width, 3 * width], { normal });
  const queryBias = scope.variable<tf.Rank.R1>('q_bias', [width], 0);
  const valueBias = scope.variable<tf.Rank.R1>('v_bias', [width], 0);
  const key = terms.includes('c2p')
    ? scope.at('pos_proj').variable<tf.Rank.R2>('weight', [width, width], { normal })
    : undefined;
  return {
    content(rows) {
      const byHead = linear(rows, joined).reshape<tf.Tensor4D>([rows.shape[0], heads, 3, width / heads]);
      const part = (i: number) =>
        tf.slice(byHead, [0, 0, i, 0], [-1, -1, 1, -1]).reshape<tf.Tensor2D>([rows.shape[0], width]);
      return { query: part(0).add(queryBias), key: part(1), value: part(2).add(valueBias) };
    },
    ...(key && { positionKey: (rows) => linear(rows, key) }),
    ...(terms.includes('p2c') && { positionQuery: dense(scope.at('pos_q_proj'), width, width, normal) }),
  };
}

/** Those of the second and third DeBERTa. */
function secondProjections(scope: Scope, config: DisentangledConfig): Projections {
  const { hidden_size: width, initializer_range: normal, share_att_key: shared, pos_att_type: terms } = config;
  const project = (name: string) => dense(scope.at(name), width, width, normal);
  const [query, key, value] = [project('query_proj'), project('key_proj'), project('value_proj')];
  return {
    content: (rows) => ({ query: query(rows), key: key(rows), value: value(rows) }),
    ...(terms.includes('c2p') && { positionKey: shared ? key : project('pos_key_proj') }),
    ...(terms.includes('p2c') && { positionQuery: shared ? query : project('pos_query_proj') }),
  };
}

/**
 * Disentangled self-attention (He et al. 2021, DeBERTa, equations 3 and 4): the score of a query and a key is the sum of
 * content to content, content to position and position to content, where a position is the distance of the two; divided by
 * the square root of a head's width times the number of terms.
 * @param scope transformers' `attention.self`
 * @returns a layer on rows [batch · tokens, width]; `distances` gives the embeddings of the distances `from`, `from` − 1, ...,
 *   so many of them, between a query and a key
 */
export function disentangledAttention(scope: Scope, config: DisentangledConfig) {
  const { hidden_size: width, num_attention_heads: heads, pos_att_type: terms } = config;
  const make = config.model_type === 'deberta' ? firstProjections : secondProjections;
  const { content, positionKey, positionQuery } = make(scope, config);
  const scale = 1 / Math.sqrt((width / heads) * (1 + terms.length));
  /** [rows, width] as [batch, heads, rows of each, width of a head]. */
  const byHead = (rows: tf.Tensor2D, batch: number) =>
    rows.reshape<tf.Tensor4D>([batch, -1, heads, width / heads]).transpose<tf.Tensor4D>([0, 2, 1, 3]);
  return (rows: tf.Tensor2D, batch: number, distances: (from: number, count: number) => tf.Tensor2D): tf.Tensor2D => {
    const tokens = rows.shape[0] / batch;
    const { query, key, value } = content(rows);
    const [q, k, v] = [byHead(query.mul(scale), batch), byHead(key, batch), byHead(value, batch)];
    /** The scores of rows with positions, whose projection is one for all samples. */
    const withPositions = (x: tf.Tensor4D, project: Project, from: number) => {
      const [, , , size] = x.shape;
      const positions = byHead(project(distances(from, 2 * tokens)), 1);
      const flat = x.transpose<tf.Tensor4D>([1, 0, 2, 3]).reshape<tf.Tensor3D>([heads, batch * tokens, size]);
      const scores = tf.matMul(flat, positions.reshape<tf.Tensor3D>([heads, 2 * tokens, size]), false, true);
      return scores.reshape<tf.Tensor4D>([heads, batch, tokens, 2 * tokens]).transpose<tf.Tensor4D>([1, 0, 2, 3]);
    };
    let scores = tf.matMul(q, k, false, true);
    // Row i has the distances tokens − 1, ..., −tokens, of which that to key j, i − j, is at tokens − 1 − i + j.
    if (positionKey) scores = scores.add(skewed(withPositions(q, positionKey, tokens - 1), tokens - 1));
    // Row j is that of key j, from which query i has the distance i − j: in ascending order it is at tokens − j + i.
    if (positionQuery) {
      const reversed = (rows: tf.Tensor2D) => positionQuery(tf.reverse(rows, 0));
      const ascending = withPositions(k.mul(scale), reversed, tokens - 1);
      scores = scores.add(skewed(ascending, tokens).transpose([0, 1, 3, 2]));
    }
    const out = tf.matMul(tf.softmax(scores), v);
    return out.transpose<tf.Tensor4D>([0, 2, 1, 3]).reshape<tf.Tensor2D>([batch * tokens, width]);
  };
}

/**
 * Takes of row i of [batch, heads, n, 2n] the numbers at first − i, first − i + 1, ..., n of them: rows that are one number
 * shorter begin one number earlier each.
 * @returns [batch, heads, n, n]
 */
function skewed(x: tf.Tensor4D, first: number): tf.Tensor4D {
  const [batch, heads, n] = x.shape;
  const flat = x.reshape<tf.Tensor2D>([batch * heads, 2 * n * n]);
  const shorter = tf.slice(flat, [0, first], [-1, n * (2 * n - 1)]).reshape<tf.Tensor4D>([batch, heads, n, 2 * n - 1]);
  return tf.slice(shorter, [0, 0, 0, 0], [-1, -1, -1, n]);
}
