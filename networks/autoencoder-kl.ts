import * as tf from '@tensorflow/tfjs';
import { z } from 'zod';
import { GymError } from '../core/errors.js';
import type { Random } from '../core/random.js';
import { count, counts, flag, listLength, only, parse, wrong } from './config-schema.js';
import { imageAttention } from './layers/attention.js';
import { conv2d, downsample, groupNormalization, type ImageLayer, pointwise, upsample } from './layers/basic.js';
import { resnet } from './layers/resnet.js';
import { readConfig, renameAttention, useModelWeights, writeModel } from './model-folder.js';
import { inTiles } from './tiles.js';
import {
  build,
  copiedParameters,
  disposeParameters,
  type ParameterSource,
  randomParameters,
  type Scope,
  storedParameters,
} from './weights.js';

const NAME = 'AutoencoderKL';
/** ε of all norms, which no key of the configuration changes. */
const EPSILON = 1e-6;

const schema = z.looseObject({
  in_channels: count.default(3),
  out_channels: count.default(3),
  down_block_types: z.array(z.literal('DownEncoderBlock2D')).default(['DownEncoderBlock2D']),
  up_block_types: z.array(z.literal('UpDecoderBlock2D')).default(['UpDecoderBlock2D']),
  block_out_channels: counts.default([64]),
  layers_per_block: count.default(1),
  act_fn: z.enum(['silu', 'swish']).default('silu'),
  latent_channels: count.default(4),
  norm_num_groups: count.default(32),
  sample_size: z
    .union([count, z.array(count).length(2)])
    .nullable()
    .default(32),
  /** Latents of unit variance, which the UNet denoises, are those of the encoder times this. */
  scaling_factor: z.number().positive().default(0.18215),
  /** What is subtracted from the encoder's latents before they are scaled. */
  shift_factor: z.number().nullable().default(null),
  latents_mean: only(null),
  latents_std: only(null),
  // Whether float32 is to be taken where all else is float16; here all is float32.
  force_upcast: flag(true),
  use_quant_conv: flag(true),
  use_post_quant_conv: flag(true),
  mid_block_add_attention: flag(true),
});

/** The configuration of an `AutoencoderKL`, with the keys and defaults of diffusers; unknown keys are kept. */
export type AutoencoderConfig = z.output<typeof schema>;
/** What `AutoencoderKL.create` takes: the keys whose values are not diffusers' defaults. */
export type AutoencoderOptions = z.input<typeof schema>;

function parseConfig(where: string, given: unknown): AutoencoderConfig {
  const config = parse(schema, where, given);
  const { block_out_channels: channels, norm_num_groups: groups } = config;
  for (const key of ['down_block_types', 'up_block_types'] as const)
    if (config[key].length !== channels.length) throw listLength(where, key, config[key], channels.length);
  for (const n of channels)
    if (n % groups !== 0)
      throw wrong(where, 'norm_num_groups', groups, `it must divide all of block_out_channels, ${n} too`);
  return config;
}

/** Options of {@link AutoencoderKL.encode} and {@link AutoencoderKL.decode}. */
export interface TileOptions {
  /**
   * Height and width in pixels of tiles, which are computed one after the other and overlap by a quarter, as after diffusers'
   * `enable_tiling`; larger images than that take no more memory for it. Default: images are computed whole.
   */
  readonly tile?: number | undefined;
}

/**
 * The autoencoder of latent diffusion (Rombach et al. 2022), configured and stored as diffusers' class of the same name. Its
 * latents are those of the encoder; what a UNet denoises is {@link scale}d.
 */
export class AutoencoderKL {
  readonly config: AutoencoderConfig;
  /** The parameters by diffusers' keys, in TensorFlow's layout. */
  readonly parameters: ReadonlyMap<string, tf.Variable>;
  readonly #encode: ImageLayer;
  readonly #decode: ImageLayer;

  private constructor(config: AutoencoderConfig, source: ParameterSource) {
    const { network, parameters } = build(source, (scope) => ({
      encode: encoder(scope, config),
      decode: decoder(scope, config),
    }));
    this.config = config;
    this.parameters = parameters;
    this.#encode = network.encode;
    this.#decode = network.decode;
  }

  /**
   * Makes a new network, with initial weights as in PyTorch.
   * @throws GymError E_CONFIG where the configuration is malformed or not supported
   */
  static create(config: AutoencoderOptions, random: Random): AutoencoderKL {
    return new AutoencoderKL(parseConfig(NAME, config), randomParameters(random));
  }

  /**
   * Reads `config.json` and `diffusion_pytorch_model.safetensors`: one file or shards, in float32 or a variant of less.
   * @throws GymError E_FILE where a file is missing, is corrupt or does not fit its configuration; E_CONFIG where the
   *   configuration is not supported
   */
  static async load(folder: string): Promise<AutoencoderKL> {
    const { where, config } = await readConfig(folder, NAME);
    const parsed = parseConfig(where, config);
    return useModelWeights(
      folder,
      (path, state) => new AutoencoderKL(parsed, storedParameters(path, state, renameAttention)),
    );
  }

  /** Writes what {@link load} (and diffusers' `from_pretrained`) reads. @throws GymError E_FILE when it cannot be written */
  save(folder: string): Promise<void> {
    return writeModel(folder, NAME, this.config, this.parameters);
  }

  /** Makes a network of the same configuration with copies of the weights. The caller disposes of it. */
  clone(): AutoencoderKL {
    return new AutoencoderKL(this.config, copiedParameters(this.parameters));
  }

  /** Frees the parameters. */
  dispose(): void {
    disposeParameters(this.parameters);
  }

  /** How many pixels a latent stands for along each side. */
  get factor(): number {
    return 2 ** (this.config.block_out_channels.length - 1);
  }

  /**
   * The normal distribution of the latents of images; differentiable, and the caller frees it.
   * @param images [batch, height, width, in_channels] in −1..1; height and width are multiples of {@link factor}
   * @returns mean and logarithm of the variance (within −30..20), each [batch, height / factor, width / factor, latent_channels]
   * @throws GymError E_SHAPE where the shape does not fit; E_VALUE as {@link checkTile}
   */
  encode(images: tf.Tensor4D, { tile }: TileOptions = {}): { mean: tf.Tensor4D; logvar: tf.Tensor4D } {
    const [, height, width] = images.shape;
    this.#check('encode', 'images', images, this.config.in_channels);
    if (height % this.factor !== 0 || width % this.factor !== 0)
      throw new GymError(
        'E_SHAPE',
        `${NAME}.encode: images have shape [${images.shape}]; height and width must be multiples of ${this.factor}.`,
      );
    this.checkTile(`${NAME}.encode: tile`, tile);
    return tf.tidy(() => {
      const moments = tile === undefined ? this.#encode(images) : inTiles(images, this.#encode, tile, 1 / this.factor);
      const [mean, logvar] = tf.split(moments, 2, 3) as [tf.Tensor4D, tf.Tensor4D];
      return { mean, logvar: tf.clipByValue(logvar, -30, 20) as tf.Tensor4D };
    });
  }

  /**
   * The images of latents, about −1..1; differentiable, and the caller frees them.
   * @param latents [batch, height, width, latent_channels], as {@link encode} gives them: a UNet's are {@link unscale}d first
   * @throws GymError E_SHAPE where the shape does not fit; E_VALUE as {@link checkTile}
   */
  decode(latents: tf.Tensor4D, { tile }: TileOptions = {}): tf.Tensor4D {
    this.#check('decode', 'latents', latents, this.config.latent_channels);
    this.checkTile(`${NAME}.decode: tile`, tile);
    if (tile === undefined) return this.#decode(latents);
    return inTiles(latents, this.#decode, tile / this.factor, this.factor);
  }

  /**
   * Checks the size of tiles, whose overlaps must be whole latents.
   * @param where what the error calls it
   * @throws GymError E_VALUE where it is no multiple of 4 · {@link factor} pixels
   */
  checkTile(where: string, tile: number | undefined): void {
    const least = 4 * this.factor;
    if (tile !== undefined && !(tile > 0 && tile % least === 0))
      throw new GymError(
        'E_VALUE',
        `${where} must be a multiple of ${least} pixels, four latents of this autoencoder, actual value ${tile}.`,
      );
  }

  /** The encoder's latents as a UNet denoises them, of about unit variance. The caller frees the result. */
  scale(latents: tf.Tensor4D): tf.Tensor4D {
    const { scaling_factor: factor, shift_factor: shift } = this.config;
    return tf.tidy(() => latents.sub<tf.Tensor4D>(shift ?? 0).mul(factor));
  }

  /** The inverse of {@link scale}. */
  unscale(latents: tf.Tensor4D): tf.Tensor4D {
    const { scaling_factor: factor, shift_factor: shift } = this.config;
    return tf.tidy(() => latents.div<tf.Tensor4D>(factor).add(shift ?? 0));
  }

  #check(method: string, what: string, { rank, shape }: tf.Tensor4D, channels: number): void {
    if (rank !== 4 || shape[3] !== channels)
      throw new GymError(
        'E_SHAPE',
        `${NAME}.${method}: ${what} have shape [${shape}]; they must be [batch, height, width, ${channels}].`,
      );
  }
}

function resnetOptions({ norm_num_groups: groups }: AutoencoderConfig) {
  return { timeChannels: null, groups, epsilon: EPSILON, timeScaleShift: 'default' } as const;
}

/** diffusers' UNetMidBlock2D without a time embedding: a residual block, attention of a single head, a residual block. */
function middle(scope: Scope, config: AutoencoderConfig): ImageLayer {
  const channels = config.block_out_channels.at(-1)!;
  const options = resnetOptions(config);
  const first = resnet(scope.at('resnets', 0), channels, channels, options);
  const attention = config.mid_block_add_attention
    ? imageAttention(scope.at('attentions', 0), {
        channels,
        heads: 1,
        groups: config.norm_num_groups,
        epsilon: EPSILON,
        outputScale: 1,
      })
    : undefined;
  const second = resnet(scope.at('resnets', 1), channels, channels, options);
  return (x) => {
    const h = first(x);
    return second(attention ? attention(h, undefined) : h);
  };
}

/** Applies layers one after the other; what lies between is freed as soon as no gradient needs it. */
const sequence =
  (layers: readonly ImageLayer[]): ImageLayer =>
  (x) =>
    tf.tidy(() =>
      layers.reduce((h, layer) => {
        const next = tf.tidy(() => layer(h));
        if (h !== x) h.dispose();
        return next;
      }, x),
    );

/** diffusers' Encoder with the convolution `quant_conv` after it: images to mean and log-variance of latents. */
function encoder(scope: Scope, config: AutoencoderConfig): ImageLayer {
  const { block_out_channels: channels, latent_channels: latent, layers_per_block: layers } = config;
  const place = scope.at('encoder');
  const convIn = conv2d(place.at('conv_in'), config.in_channels, channels[0]!, 3);
  const blocks = channels.flatMap((width, i): ImageLayer[] => {
    const block = place.at('down_blocks', i);
    const inputs = channels[Math.max(0, i - 1)]!;
    const residual = Array.from({ length: layers }, (_, j): ImageLayer => {
      const layer = resnet(block.at('resnets', j), j === 0 ? inputs : width, width, resnetOptions(config));
      return (x) => layer(x);
    });
    return i === channels.length - 1 ? residual : [...residual, downsample(block.at('downsamplers', 0), width, 0)];
  });
  const mid = middle(place.at('mid_block'), config);
  const norm = groupNormalization(place.at('conv_norm_out'), channels.at(-1)!, config.norm_num_groups, EPSILON);
  const convOut = conv2d(place.at('conv_out'), channels.at(-1)!, 2 * latent, 3);
  const quant = config.use_quant_conv ? [pointwise(scope.at('quant_conv'), 2 * latent, 2 * latent)] : [];
  return sequence([convIn, ...blocks, mid, (x) => norm(x, { silu: true }), convOut, ...quant]);
}

/** diffusers' Decoder with the convolution `post_quant_conv` before it: latents to images. */
function decoder(scope: Scope, config: AutoencoderConfig): ImageLayer {
  const { latent_channels: latent, layers_per_block: layers } = config;
  const channels = [...config.block_out_channels].reverse();
  const place = scope.at('decoder');
  const quant = config.use_post_quant_conv ? [pointwise(scope.at('post_quant_conv'), latent, latent)] : [];
  const convIn = conv2d(place.at('conv_in'), latent, channels[0]!, 3);
  const mid = middle(place.at('mid_block'), config);
  const blocks = channels.flatMap((width, i): ImageLayer[] => {
    const block = place.at('up_blocks', i);
    const inputs = channels[Math.max(0, i - 1)]!;
    const residual = Array.from({ length: layers + 1 }, (_, j): ImageLayer => {
      const layer = resnet(block.at('resnets', j), j === 0 ? inputs : width, width, resnetOptions(config));
      return (x) => layer(x);
    });
    if (i === channels.length - 1) return residual;
    const grow = upsample(block.at('upsamplers', 0), width);
    return [...residual, (x) => grow(x)];
  });
  const norm = groupNormalization(place.at('conv_norm_out'), channels.at(-1)!, config.norm_num_groups, EPSILON);
  const convOut = conv2d(place.at('conv_out'), channels.at(-1)!, config.out_channels, 3);
  return sequence([...quant, convIn, mid, ...blocks, (x) => norm(x, { silu: true }), convOut]);
}
