import type * as tf from '@tensorflow/tfjs';
import { type Activation, attention, linear } from '../../backend/index.js';
import type { Scope } from '../weights.js';
import { layerNormalization } from './basic.js';

/** What a layer of CLIP's text or vision tower takes of its configuration, by transformers' names. */
export interface ClipLayerConfig {
  /** The number of channels of a token. */
  readonly hidden_size: number;
  /** The number of channels inside the feed-forward layers. */
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly hidden_act: 'quick_gelu' | 'gelu';
  readonly layer_norm_eps: number;
  /** A factor on the standard deviations of new parameters. */
  readonly initializer_factor: number;
}

/** A layer on rows [batch · tokens, width]. */
export type ClipLayer = (rows: tf.Tensor2D, batch: number, mask?: tf.Tensor2D) => tf.Tensor2D;

/** A layer of both towers of CLIP (transformers' CLIPEncoderLayer): attention and feed-forward, each after its norm. */
export function clipLayer(scope: Scope, config: ClipLayerConfig): ClipLayer {
  const { hidden_size: width, intermediate_size: inner, layer_norm_eps: epsilon } = config;
  const heads = config.num_attention_heads;
  const factor = config.initializer_factor;
  // The standard deviations of CLIPPreTrainedModel._init_weights.
  const outStd = width ** -0.5 * factor;
  const inStd = outStd * (2 * config.num_hidden_layers) ** -0.5;
  const innerStd = (2 * width) ** -0.5 * factor;

  const norm1 = layerNormalization(scope.at('layer_norm1'), width, epsilon);
  const selfAttention = scope.at('self_attn');
  const query = normalLinear(selfAttention.at('q_proj'), width, width, inStd);
  const key = normalLinear(selfAttention.at('k_proj'), width, width, inStd);
  const value = normalLinear(selfAttention.at('v_proj'), width, width, inStd);
  const out = normalLinear(selfAttention.at('out_proj'), width, width, outStd);
  const norm2 = layerNormalization(scope.at('layer_norm2'), width, epsilon);
  const up = normalLinear(scope.at('mlp', 'fc1'), width, inner, innerStd, config.hidden_act);
  const down = normalLinear(scope.at('mlp', 'fc2'), inner, width, inStd);

  return (rows, batch, mask) => {
    const x = norm1(rows);
    const h = out(attention(query(x), key(x), value(x), { batch, heads, mask }), rows);
    return down(up(norm2(h)), h);
  };
}

/** A linear layer with normal initial weights, to which a residual is added where one is given. */
function normalLinear(scope: Scope, inputs: number, outputs: number, normal: number, activation?: Activation) {
  const weight = scope.variable<tf.Rank.R2>('weight', [inputs, outputs], { normal });
  const bias = scope.variable<tf.Rank.R1>('bias', [outputs], 0);
  return (x: tf.Tensor2D, residual?: tf.Tensor2D) => linear(x, weight, { bias, activation, residual });
}
