import * as tf from '@tensorflow/tfjs';
import type { Scope } from '../weights.js';
import { groupNormalization, layerNormalization, linear, matMulBias, plus, pointwise, type RowLayer } from './basic.js';

/**
 * The encoded text to which images attend: the tokens of all samples as rows [batch · tokens, channels]. It is
 * undefined in a network without text.
 */
export type Text = tf.Tensor2D | undefined;

/** An attention layer on images. */
export type AttentionLayer = (x: tf.Tensor4D, text: Text) => tf.Tensor4D;

/**
 * Scaled dot-product attention (Vaswani et al. 2017). The rows of each sample attend to the rows of the same sample.
 * @param query [batch · n, channels]
 * @param key [batch · m, channels], like `value`
 */
function attend(query: tf.Tensor2D, key: tf.Tensor2D, value: tf.Tensor2D, batch: number, heads: number): tf.Tensor2D {
  const [rows, channels] = query.shape;
  const width = channels / heads;
  const byHead = (t: tf.Tensor2D): tf.Tensor3D | tf.Tensor4D =>
    heads === 1
      ? t.reshape<tf.Tensor3D>([batch, -1, channels])
      : t.reshape<tf.Tensor4D>([batch, -1, heads, width]).transpose<tf.Tensor4D>([0, 2, 1, 3]);
  const scores = tf.matMul(byHead(query.mul(1 / Math.sqrt(width))), byHead(key), false, true);
  const out = tf.matMul(tf.softmax(scores), byHead(value));
  return (heads === 1 ? out : out.transpose([0, 2, 1, 3])).reshape([rows, channels]);
}

interface AttentionOptions {
  readonly channels: number;
  /** The number of channels of the rows that are attended to. By default it is `channels`, for self-attention. */
  readonly contextChannels?: number;
  readonly heads: number;
  /** Whether the projections to queries, keys and values have a bias. */
  readonly bias: boolean;
}

/** diffusers' Attention on rows. Without a `context`, the rows attend to each other. */
function attention(scope: Scope, { channels, contextChannels = channels, heads, bias }: AttentionOptions) {
  const toQuery = linear(scope.at('to_q'), channels, channels, { bias });
  const toKey = linear(scope.at('to_k'), contextChannels, channels, { bias });
  const toValue = linear(scope.at('to_v'), contextChannels, channels, { bias });
  const toOut = linear(scope.at('to_out', 0), channels, channels);
  return (x: tf.Tensor2D, batch: number, context: tf.Tensor2D = x): tf.Tensor2D =>
    toOut(attend(toQuery(x), toKey(context), toValue(context), batch, heads));
}

/**
 * Computes hidden · GELU(gate) with the exact GELU, which uses erf (Shazeer 2020, "GLU Variants Improve Transformer").
 */
export function gatedGelu(hidden: tf.Tensor2D, gate: tf.Tensor2D): tf.Tensor2D {
  const op = tf.customGrad((...args) => {
    const [hidden, gate, save] = args as unknown as [tf.Tensor2D, tf.Tensor2D, tf.GradSaveFunc];
    const probability = gate.mul(Math.SQRT1_2).erf().add(1).mul<tf.Tensor2D>(0.5);
    const gelu = gate.mul<tf.Tensor2D>(probability);
    save([hidden, gate, probability, gelu]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const [hidden, gate, probability, gelu] = saved as [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D, tf.Tensor2D];
      const density = gate
        .square()
        .mul(-0.5)
        .exp()
        .mul(1 / Math.sqrt(2 * Math.PI));
      return [dy.mul(gelu), dy.mul(hidden).mul(probability.add(gate.mul(density)))];
    };
    return { value: hidden.mul(gelu), gradFunc };
  });
  return op(hidden, gate) as tf.Tensor2D;
}

/**
 * diffusers' FeedForward with GEGLU. The weight is split into the halves that give hidden and gate, since it is smaller
 * than their rows.
 */
function feedForward(scope: Scope, channels: number): RowLayer {
  const inner = 4 * channels;
  const projection = scope.at('net', 0, 'proj');
  const weight = projection.variable<tf.Rank.R2>('weight', [channels, 2 * inner], { fanIn: channels });
  const bias = projection.variable<tf.Rank.R1>('bias', [2 * inner], { fanIn: channels });
  const out = linear(scope.at('net', 2), inner, channels);
  return (x) => {
    const [hiddenWeight, gateWeight] = tf.split(weight, 2, 1) as [tf.Tensor2D, tf.Tensor2D];
    const [hiddenBias, gateBias] = tf.split(bias, 2) as [tf.Tensor1D, tf.Tensor1D];
    return out(gatedGelu(matMulBias(x, hiddenWeight, hiddenBias), matMulBias(x, gateWeight, gateBias)));
  };
}

/** The sizes of a {@link transformer}. */
export interface TransformerOptions {
  readonly channels: number;
  readonly heads: number;
  readonly layers: number;
  /** The number of channels of the text. */
  readonly textChannels: number;
  readonly groups: number;
  /** Whether the projections in and out are stored as linear layers or as 1×1 convolutions, which compute the same. */
  readonly linearProjection: boolean;
  /**
   * Whether the first attention of each layer, like the second, attends to the text; if not, it attends to the image.
   */
  readonly onlyCrossAttention: boolean;
}

/** diffusers' Transformer2DModel, in which every pixel attends to all pixels and to the text. */
export function transformer(scope: Scope, options: TransformerOptions): AttentionLayer {
  const { channels, heads, layers, textChannels, groups, linearProjection, onlyCrossAttention } = options;
  const norm = groupNormalization(scope.at('norm'), channels, groups, 1e-6);
  const projection = linearProjection ? linear : pointwise;
  const projectIn = projection(scope.at('proj_in'), channels, channels);
  const blocks = Array.from({ length: layers }, (_, i) => {
    const block = scope.at('transformer_blocks', i);
    const norm1 = layerNormalization(block.at('norm1'), channels, 1e-5);
    const first = attention(block.at('attn1'), {
      channels,
      contextChannels: onlyCrossAttention ? textChannels : channels,
      heads,
      bias: false,
    });
    const norm2 = layerNormalization(block.at('norm2'), channels, 1e-5);
    const second = attention(block.at('attn2'), { channels, contextChannels: textChannels, heads, bias: false });
    const norm3 = layerNormalization(block.at('norm3'), channels, 1e-5);
    const feed = feedForward(block.at('ff'), channels);
    return (x: tf.Tensor2D, batch: number, text: Text): tf.Tensor2D => {
      const h = plus(x, first(norm1(x), batch, onlyCrossAttention ? text : undefined));
      const g = plus(h, second(norm2(h), batch, text));
      return plus(g, feed(norm3(g)));
    };
  });
  const projectOut = projection(scope.at('proj_out'), channels, channels);
  return (x, text) => {
    const rows = norm(x).reshape<tf.Tensor2D>([-1, channels]);
    const out = blocks.reduce((h, block) => block(h, x.shape[0], text), projectIn(rows));
    return plus(projectOut(out).reshape<tf.Tensor4D>(x.shape), x);
  };
}

/** The sizes of an {@link imageAttention}. */
export interface ImageAttentionOptions {
  readonly channels: number;
  readonly heads: number;
  /** The number of groups of the norm before the attention; null for no norm. */
  readonly groups: number | null;
  readonly epsilon: number;
  /** The divisor of the sum of attention and input. */
  readonly outputScale: number;
}

/**
 * Self-attention of the pixels of an image, as in Ho et al. 2020 (diffusers' Attention in AttnDownBlock2D and similar
 * blocks).
 */
export function imageAttention(scope: Scope, options: ImageAttentionOptions): AttentionLayer {
  const { channels, heads, groups, epsilon, outputScale } = options;
  const norm = groups === null ? undefined : groupNormalization(scope.at('group_norm'), channels, groups, epsilon);
  const self = attention(scope, { channels, heads, bias: true });
  return (x) => {
    const rows = (norm ? norm(x) : x).reshape<tf.Tensor2D>([-1, channels]);
    const sum = plus(self(rows, x.shape[0]).reshape<tf.Tensor4D>(x.shape), x);
    return outputScale === 1 ? sum : sum.div(outputScale);
  };
}
