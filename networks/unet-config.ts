import { z } from 'zod';
import { count, counts, flag, listLength, off, only, parse, wrong } from './config-schema.js';

const countOrList = z.union([count, counts]);

const shared = {
  sample_size: z
    .union([count, z.array(count).length(2)])
    .nullable()
    .default(null),
  center_input_sample: flag(false),
  flip_sin_to_cos: flag(true),
  freq_shift: z.number().default(0),
  time_embedding_type: only('positional'),
  time_embedding_dim: count.nullable().default(null),
  norm_num_groups: count.default(32),
  norm_eps: z.number().positive().default(1e-5),
  act_fn: z.enum(['silu', 'swish']).default('silu'),
  // What is left out at random while a network is pretrained, which it is not here.
  dropout: z.number().min(0).max(1).default(0),
  downsample_padding: z.union([z.literal(0), z.literal(1)]).default(1),
  mid_block_scale_factor: z.number().positive().default(1),
  resnet_time_scale_shift: z.enum(['default', 'scale_shift']).default('default'),
  class_embed_type: only(null),
};

const conditionSchema = z.looseObject({
  ...shared,
  num_class_embeds: only(null),
  in_channels: count.default(4),
  out_channels: count.default(4),
  conv_in_kernel: count.default(3),
  conv_out_kernel: count.default(3),
  block_out_channels: counts.default([320, 640, 1280, 1280]),
  down_block_types: z
    .array(z.enum(['DownBlock2D', 'CrossAttnDownBlock2D']))
    .default(['CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'DownBlock2D']),
  mid_block_type: z.literal('UNetMidBlock2DCrossAttn').nullable().default('UNetMidBlock2DCrossAttn'),
  up_block_types: z
    .array(z.enum(['UpBlock2D', 'CrossAttnUpBlock2D']))
    .default(['UpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D']),
  layers_per_block: countOrList.default(2),
  only_cross_attention: z.union([flag(false), z.array(z.boolean())]).default(false),
  mid_block_only_cross_attention: z.boolean().nullable().default(null),
  cross_attention_dim: countOrList.default(1280),
  transformer_layers_per_block: z.union([count, z.array(z.union([count, counts]))]).default(1),
  reverse_transformer_layers_per_block: z
    .array(z.union([count, counts]))
    .nullable()
    .default(null),
  /** The number of heads, despite its name: diffusers keeps this old mistake, since configuration files contain it. */
  attention_head_dim: countOrList.default(8),
  /** Because of the same mistake, diffusers accepts no other value than null. */
  num_attention_heads: only(null),
  use_linear_projection: flag(false),
  // Whether attention is computed in float32, which it always is here.
  upcast_attention: flag(false),
  dual_cross_attention: off(),
  attention_type: only('default'),
  cross_attention_norm: only(null),
  encoder_hid_dim: only(null),
  encoder_hid_dim_type: only(null),
  addition_embed_type: only(null),
  addition_time_embed_dim: z.number().nullable().default(null),
  addition_embed_type_num_heads: z.number().default(64),
  resnet_skip_time_act: off(),
  resnet_out_scale_factor: only(1),
  time_embedding_act_fn: only(null),
  timestep_post_act: only(null),
  time_cond_proj_dim: only(null),
  projection_class_embeddings_input_dim: z.number().nullable().default(null),
  class_embeddings_concat: off(),
});

const unconditionalSchema = z.looseObject({
  ...shared,
  /** The number of classes of a class-conditional network. */
  num_class_embeds: count.nullable().default(null),
  in_channels: count.default(3),
  out_channels: count.default(3),
  block_out_channels: counts.default([224, 448, 672, 896]),
  down_block_types: z
    .array(z.enum(['DownBlock2D', 'AttnDownBlock2D']))
    .default(['DownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D']),
  mid_block_type: z.literal('UNetMidBlock2D').nullable().default('UNetMidBlock2D'),
  up_block_types: z
    .array(z.enum(['UpBlock2D', 'AttnUpBlock2D']))
    .default(['AttnUpBlock2D', 'AttnUpBlock2D', 'AttnUpBlock2D', 'UpBlock2D']),
  layers_per_block: count.default(2),
  downsample_type: only('conv'),
  upsample_type: only('conv'),
  add_attention: flag(true),
  /** The number of channels of one head; null for a single head. */
  attention_head_dim: count.nullable().default(8),
  attn_norm_num_groups: count.nullable().default(null),
  num_train_timesteps: z.number().nullable().default(null),
});

/** The configuration of a `UNet2DConditionModel`, with the keys and defaults of diffusers; unknown keys are kept. */
export type UNet2DConditionConfig = z.output<typeof conditionSchema>;
/** The configuration of a `UNet2DModel`, with the keys and defaults of diffusers; unknown keys are kept. */
export type UNet2DConfig = z.output<typeof unconditionalSchema>;

/** What `UNet2DConditionModel.create` takes: the keys whose values are not diffusers' defaults. */
export type UNet2DConditionOptions = z.input<typeof conditionSchema>;
/** What `UNet2DModel.create` takes: the keys whose values are not diffusers' defaults. */
export type UNet2DOptions = z.input<typeof unconditionalSchema>;

/**
 * Checks the configuration of a `UNet2DConditionModel`, and fills in the defaults.
 * @param where the file or class, which errors name
 * @throws GymError E_CONFIG that names the key and its value, where it is malformed or not supported
 */
export function parseConditionConfig(where: string, config: unknown): UNet2DConditionConfig {
  const parsed = parse(conditionSchema, where, config);
  const levels = checkShared(where, parsed);
  for (const key of [
    'layers_per_block',
    'cross_attention_dim',
    'attention_head_dim',
    'only_cross_attention',
  ] as const) {
    const value = parsed[key];
    if (Array.isArray(value) && value.length !== levels) throw listLength(where, key, value, levels);
  }
  const { transformer_layers_per_block: layers, reverse_transformer_layers_per_block: reversed } = parsed;
  if (Array.isArray(layers) && layers.length !== levels)
    throw listLength(where, 'transformer_layers_per_block', layers, levels);
  if (reversed && reversed.length !== levels)
    throw listLength(where, 'reverse_transformer_layers_per_block', reversed, levels);
  if (!reversed && Array.isArray(layers) && layers.some(Array.isArray))
    throw wrong(where, 'reverse_transformer_layers_per_block', reversed, 'it must be given where layers are lists');
  const attending = parsed.block_out_channels.map(
    (_, i) =>
      parsed.down_block_types[i] === 'CrossAttnDownBlock2D' ||
      parsed.up_block_types.at(-1 - i) === 'CrossAttnUpBlock2D' ||
      (i === levels - 1 && parsed.mid_block_type !== null),
  );
  parsed.block_out_channels.forEach((channels, i) => {
    const heads = at(parsed.attention_head_dim, i);
    if (attending[i] && channels % heads !== 0)
      throw wrong(
        where,
        'attention_head_dim',
        heads,
        `these heads do not divide the ${channels} channels of block ${i}`,
      );
  });
  for (const key of ['conv_in_kernel', 'conv_out_kernel'] as const)
    if (parsed[key] % 2 === 0) throw wrong(where, key, parsed[key], 'only odd kernels keep the size');
  return parsed;
}

/** Checks the configuration of a `UNet2DModel` as {@link parseConditionConfig} does. */
export function parseUnconditionalConfig(where: string, config: unknown): UNet2DConfig {
  const parsed = parse(unconditionalSchema, where, config);
  const levels = checkShared(where, parsed);
  parsed.block_out_channels.forEach((channels, i) => {
    const width = parsed.attention_head_dim;
    const attends =
      parsed.down_block_types[i] === 'AttnDownBlock2D' ||
      parsed.up_block_types.at(-1 - i) === 'AttnUpBlock2D' ||
      (i === levels - 1 && parsed.mid_block_type !== null && parsed.add_attention);
    if (attends && width !== null && channels % width !== 0)
      throw wrong(
        where,
        'attention_head_dim',
        width,
        `this width does not divide the ${channels} channels of block ${i}`,
      );
  });
  return parsed;
}

/** The value for one block, where a configuration gives a list with an entry for each block or one value for all. */
export function at<T extends number | boolean>(value: T | readonly T[], index: number): T {
  return typeof value === 'object' ? value.at(index)! : value;
}

interface Shared {
  block_out_channels: number[];
  down_block_types: string[];
  up_block_types: string[];
  norm_num_groups: number;
}

/** Checks the keys that both kinds of network share. @returns the number of resolutions */
function checkShared(where: string, config: Shared): number {
  const { block_out_channels: channels, norm_num_groups: groups } = config;
  for (const key of ['down_block_types', 'up_block_types'] as const)
    if (config[key].length !== channels.length) throw listLength(where, key, config[key], channels.length);
  for (const n of channels)
    if (n % groups !== 0)
      throw wrong(where, 'norm_num_groups', groups, `it must divide all of block_out_channels, ${n} too`);
  if (channels[0]! % 2 !== 0)
    throw wrong(
      where,
      'block_out_channels',
      channels,
      'the first must be even: half of it are sines of the timestep, half cosines',
    );
  return channels.length;
}
