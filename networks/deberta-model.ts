import * as tf from '@tensorflow/tfjs';
import { checkBertConfig } from './bert-model.js';
import { checkIntegers, takeFields } from './config-fields.js';
import { wrong } from './config-schema.js';
import { layerNormalization } from './layers/basic.js';
import { type BertEmbeddingsConfig, bertEmbeddings, feedForward, normedSum } from './layers/bert-layer.js';
import { type DisentangledConfig, disentangledAttention } from './layers/disentangled-attention.js';
import type { TextEncoderPlan } from './text-encoder-plan.js';
import type { Scope } from './weights.js';

/** The configuration, with the names and meanings of Python's `transformers.DebertaConfig` and `DebertaV2Config`. */
interface DebertaConfig extends BertEmbeddingsConfig, DisentangledConfig {
  readonly num_hidden_layers: number;
  /** Whether places have an embedding of their own, beside the distances of attention. */
  readonly position_biased_input: boolean;
  /** The largest distance that is told from larger ones; less than 1: as many as there are places. */
  readonly max_relative_positions: number;
  /** v2: distances beyond half of that many fall into buckets, logarithmically; less than 1: none do. */
  readonly position_buckets: number;
  /** v2: `layer_norm` norms the embeddings of distances. */
  readonly norm_rel_ebd: string;
}

const DEFAULTS: Omit<DebertaConfig, 'pos_att_type'> = {
  model_type: 'deberta',
  vocab_size: 50265,
  hidden_size: 768,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  intermediate_size: 3072,
  hidden_act: 'gelu',
  max_position_embeddings: 512,
  type_vocab_size: 0,
  layer_norm_eps: 1e-7,
  initializer_range: 0.02,
  position_biased_input: true,
  max_relative_positions: -1,
  position_buckets: -1,
  share_att_key: false,
  norm_rel_ebd: 'none',
};

const SECOND = {
  ...{ ...DEFAULTS, model_type: 'deberta-v2' as const, vocab_size: 128100 },
  ...{ hidden_size: 1536, num_hidden_layers: 24, num_attention_heads: 24, intermediate_size: 6144 },
};

function parseConfig(where: string, given: unknown): DebertaConfig {
  const fields = (given ?? {}) as Readonly<Record<string, unknown>>;
  const config = takeFields(where, fields.model_type === 'deberta-v2' ? SECOND : DEFAULTS, given);
  checkBertConfig(where, config);
  checkIntegers(where, config, ['type_vocab_size'], 0);
  checkIntegers(where, config, ['max_relative_positions', 'position_buckets'], -1);
  // What else a configuration may ask for. Only attention by distances must be said, since transformers' default is none.
  const supported = {
    ...{ relative_attention: true, conv_kernel_size: 0, talking_head: false },
    embedding_size: config.hidden_size,
  };
  for (const [key, value] of Object.entries(supported)) {
    const own = fields[key] ?? (key === 'relative_attention' ? false : value);
    if (own !== value) throw wrong(where, key, own, `only ${value} is supported`);
  }
  return Object.freeze({ ...config, pos_att_type: termsOf(where, fields.pos_att_type) });
}

/** `"c2p|p2c"` and `["c2p", "p2c"]` are the same. */
function termsOf(where: string, given: unknown): DebertaConfig['pos_att_type'] {
  const names = typeof given === 'string' ? given.toLowerCase().split('|') : given;
  if (!Array.isArray(names)) throw wrong(where, 'pos_att_type', given, 'it must name c2p, p2c or both');
  return names.map((name) => {
    const term = String(name).trim();
    if (term !== 'c2p' && term !== 'p2c') throw wrong(where, 'pos_att_type', given, 'it must name c2p, p2c or both');
    return term;
  });
}

/** The present key of a tensor: a file of a model with a head has a prefix, and heads are no parameters here. */
function rename(name: string): string | undefined {
  const own = name.replace(/^deberta\./, '');
  return /^(embeddings|encoder)\./.test(own) && !own.endsWith('position_ids') ? own : undefined;
}

/**
 * DeBERTa's encoder (He et al. 2021), of which attention sees the distances of tokens; and that of DeBERTa v2 and v3, in which
 * large distances share an embedding.
 * @throws GymError E_CONFIG where a value is malformed or not supported
 */
export function debertaPlan(where: string, given: unknown): TextEncoderPlan {
  const config = parseConfig(where, given);
  return {
    config,
    longest: config.max_position_embeddings,
    rename,
    make(scope) {
      const distances = distanceEmbeddings(scope.at('encoder'), config);
      return {
        embed: bertEmbeddings(scope.at('embeddings'), config, config.position_biased_input ? 0 : null),
        layers: Array.from({ length: config.num_hidden_layers }, (_, i) => {
          const layer = scope.at('encoder', 'layer', i);
          const self = disentangledAttention(layer.at('attention', 'self'), config);
          const out = normedSum(layer.at('attention', 'output'), config.hidden_size, config);
          const forward = feedForward(layer, config);
          return (rows: tf.Tensor2D, batch: number) => forward(out(self(rows, batch, distances), rows));
        }),
      };
    },
  };
}

/** The embeddings of distances between a query and a key: `from`, `from` − 1, ..., so many of them. */
function distanceEmbeddings(scope: Scope, config: DebertaConfig): (from: number, count: number) => tf.Tensor2D {
  const { hidden_size: width, layer_norm_eps: epsilon, initializer_range: normal } = config;
  const most = config.max_relative_positions < 1 ? config.max_position_embeddings : config.max_relative_positions;
  const isSecond = config.model_type === 'deberta-v2';
  const buckets = isSecond && config.position_buckets > 0 ? config.position_buckets : undefined;
  const span = buckets ?? most;
  const table = scope.at('rel_embeddings').variable<tf.Rank.R2>('weight', [2 * span, width], { normal });
  const norm =
    isSecond && /(^|\|)\s*layer_norm\s*($|\|)/i.test(config.norm_rel_ebd)
      ? layerNormalization(scope.at('LayerNorm'), width, epsilon)
      : undefined;
  return (from, count) => {
    const places = Array.from({ length: count }, (_, i) => {
      const distance = buckets === undefined ? from - i : bucketOf(from - i, buckets, most);
      return Math.min(2 * span - 1, Math.max(0, distance + span));
    });
    const rows = tf.gather(table, tf.tensor1d(places, 'int32'));
    return norm ? norm(rows) : rows;
  };
}

/**
 * The bucket of a distance: itself up to half of the buckets, and then logarithmically up to the largest distance. It is
 * rounded up, so that it matters that Python computes it in single precision (`make_log_bucket_position`).
 */
export function bucketOf(distance: number, buckets: number, most: number): number {
  const middle = Math.floor(buckets / 2);
  const size = Math.abs(distance);
  if (size <= middle) return distance;
  const { fround, log, sign, ceil } = Math;
  const share = fround(fround(log(fround(size / middle))) / fround(log(fround((most - 1) / middle))));
  return sign(distance) * (ceil(fround(share * (middle - 1))) + middle);
}
