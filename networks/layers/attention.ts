import * as tf from '@tensorflow/tfjs';
import { attention, gatedGelu } from '../../backend/index.js';
import type { Scope } from '../weights.js';
import { groupNormalization, layerNormalization, linearLayer, pointwise, type RowLayer } from './basic.js';

/** The encoded text [batch, tokens, channels] to which images attend. It is undefined in a network without text. */
export type Text = tf.Tensor3D | undefined;

/** An attention layer on images. */
export type AttentionLayer = (x: tf.Tensor4D, text: Text) => tf.Tensor4D;

interface AttentionLayerOptions {
  readonly channels: number;
  /** The number of channels of the rows that are attended to. By default it is `channels`, for self-attention. */
  readonly contextChannels?: number;
  readonly heads: number;
  /** Whether the projections to queries, keys and values have a bias. */
  readonly bias: boolean;
}

/**
 * diffusers' Attention, to whose result a residual is added. Pixels attend to the rows of the context; without one, they
 * attend to each other.
 */
function attentionLayer(scope: Scope, { channels, contextChannels = channels, heads, bias }: AttentionLayerOptions) {
  const toQuery = linearLayer(scope.at('to_q'), channels, channels, { bias });
  const toKey = linearLayer(scope.at('to_k'), contextChannels, channels, { bias });
  const toValue = linearLayer(scope.at('to_v'), contextChannels, channels, { bias });
  const toOut = linearLayer(scope.at('to_out', 0), channels, channels);
  return (x: tf.Tensor4D, residual: tf.Tensor4D, context: tf.Tensor = x): tf.Tensor4D =>
    toOut(attention(toQuery(x), toKey(context), toValue(context), { batch: x.shape[0], heads }), residual);
}

/** diffusers' FeedForward with GEGLU. */
function feedForward(scope: Scope, channels: number): RowLayer {
  const inner = 4 * channels;
  const projection = linearLayer(scope.at('net', 0, 'proj'), channels, 2 * inner);
  const out = linearLayer(scope.at('net', 2), inner, channels);
  return (x, residual) => out(gatedGelu(projection(x)), residual);
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
  const projection = linearProjection ? linearLayer : pointwise;
  const projectIn = projection(scope.at('proj_in'), channels, channels);
  const blocks = Array.from({ length: layers }, (_, i) => {
    const block = scope.at('transformer_blocks', i);
    const norm1 = layerNormalization(block.at('norm1'), channels, 1e-5);
    const first = attentionLayer(block.at('attn1'), {
      channels,
      contextChannels: onlyCrossAttention ? textChannels : channels,
      heads,
      bias: false,
    });
    const norm2 = layerNormalization(block.at('norm2'), channels, 1e-5);
    const second = attentionLayer(block.at('attn2'), { channels, contextChannels: textChannels, heads, bias: false });
    const norm3 = layerNormalization(block.at('norm3'), channels, 1e-5);
    const feed = feedForward(block.at('ff'), channels);
    return (x: tf.Tensor4D, text: Text): tf.Tensor4D => {
      const h = first(norm1(x), x, onlyCrossAttention ? text : undefined);
      const g = second(norm2(h), h, text);
      return feed(norm3(g), g);
    };
  });
  const projectOut = projection(scope.at('proj_out'), channels, channels);
  // What no gradient needs is freed at the end of each layer, and not at the end of the network.
  return (x, text) =>
    tf.tidy(() => {
      const out = blocks.reduce((h, block) => tf.tidy(() => block(h, text)), projectIn(norm(x)));
      return projectOut(out, x);
    });
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
  const self = attentionLayer(scope, { channels, heads, bias: true });
  return (x) =>
    tf.tidy(() => {
      const sum = self(norm ? norm(x) : x, x);
      return outputScale === 1 ? sum : sum.div(outputScale);
    });
}
