import type * as tf from '@tensorflow/tfjs';
import type { Random } from '../core/random.js';
import { transformer } from './layers/attention.js';
import { type AttentionFactory, type UNetForward, type UNetPlan, unet } from './layers/unet.js';
import { readConfig, renameAttention, useModelWeights, writeModel } from './model-folder.js';
import { at, parseConditionConfig, type UNet2DConditionConfig, type UNet2DConditionOptions } from './unet-config.js';
import {
  type Adaptations,
  build,
  copiedParameters,
  disposeParameters,
  overwrite,
  type ParameterSource,
  randomParameters,
  storedParameters,
} from './weights.js';

const NAME = 'UNet2DConditionModel';

/**
 * The text-conditional UNet of Stable Diffusion (Rombach et al. 2022), configured and stored as diffusers' class of the
 * same name.
 */
export class UNet2DConditionModel {
  readonly config: UNet2DConditionConfig;
  /**
   * The parameters by diffusers' keys, in TensorFlow's layout: convolutions [height, width, in, out], linear layers
   * [in, out].
   */
  readonly parameters: ReadonlyMap<string, tf.Variable>;
  /** The linear layers by name, and what changes their weights while the network is computed: a `Lora`, or nothing. */
  readonly adaptations: Adaptations;
  readonly #forward: UNetForward;

  private constructor(config: UNet2DConditionConfig, source: ParameterSource) {
    const { network, parameters, adaptations } = build(source, (scope) => unet(scope, plan(config)));
    this.config = config;
    this.parameters = parameters;
    this.adaptations = adaptations;
    this.#forward = network;
  }

  /**
   * Makes a new network, with initial weights as in PyTorch.
   * @param config the keys whose values are not diffusers' defaults
   * @throws GymError E_CONFIG where the configuration is malformed or not supported
   */
  static create(config: UNet2DConditionOptions, random: Random): UNet2DConditionModel {
    return new UNet2DConditionModel(parseConditionConfig(NAME, config), randomParameters(random));
  }

  /**
   * Reads `config.json` and `diffusion_pytorch_model.safetensors`: one file or shards, in float32 or a variant of less.
   * @throws GymError E_FILE where a file is missing, is corrupt or does not fit its configuration; E_CONFIG where the
   *   configuration is not supported
   */
  static async load(folder: string): Promise<UNet2DConditionModel> {
    const { where, config } = await readConfig(folder, NAME);
    const parsed = parseConditionConfig(where, config);
    return useModelWeights(
      folder,
      (path, state) => new UNet2DConditionModel(parsed, storedParameters(path, state, renameAttention)),
    );
  }

  /**
   * Writes what {@link load} (and diffusers' `from_pretrained`) reads, and removes other weights of a network from the
   * folder, such as shards with their index.
   * @throws GymError E_FILE when it cannot be written
   */
  save(folder: string): Promise<void> {
    return writeModel(folder, NAME, this.config, this.parameters);
  }

  /**
   * Reads weights that {@link save} wrote, into the variables that are there.
   * @throws GymError E_FILE where they belong to another configuration
   */
  async restore(folder: string): Promise<void> {
    await useModelWeights(folder, (path, state) =>
      overwrite(this.parameters, storedParameters(path, state, renameAttention)),
    );
  }

  /**
   * Makes a network of the same configuration with copies of the present weights. Training one of the two leaves the
   * other as it is, so that a clone can be the frozen reference of a policy. The caller disposes of it.
   */
  clone(): UNet2DConditionModel {
    return new UNet2DConditionModel(this.config, copiedParameters(this.parameters));
  }

  /** Frees the parameters. */
  dispose(): void {
    disposeParameters(this.parameters);
  }

  /**
   * Predicts from noisy samples. The prediction is differentiable, and the caller frees it.
   * @param sample [batch, height, width, in_channels]; clean samples are within -1..1
   * @param timesteps one for each sample, or one number for all, which is faster
   * @param encoderHiddenStates the encoded text [batch, tokens, cross_attention_dim]
   * @returns [batch, height, width, out_channels]: the noise, the sample or the velocity, whichever it was trained to
   *   predict
   * @throws GymError E_SHAPE where a shape does not fit the configuration
   */
  apply(sample: tf.Tensor4D, timesteps: tf.Tensor1D | number, encoderHiddenStates?: tf.Tensor3D): tf.Tensor4D {
    return this.#forward(sample, timesteps, encoderHiddenStates);
  }
}

function plan(config: UNet2DConditionConfig): UNetPlan {
  const channels = config.block_out_channels;
  const last = channels.length - 1;
  const groups = config.norm_num_groups;
  const transformerLayers = config.transformer_layers_per_block;
  /** The number of layers of one transformer of a block: the block's own, or its entry where the block has a list. */
  const layersOf = (list: typeof transformerLayers, block: number, layer: number): number => {
    const entry = typeof list === 'number' ? list : list[block]!;
    return typeof entry === 'number' ? entry : entry.at(layer)!;
  };

  const attention =
    (level: number, onlyCrossAttention: boolean, layers: (layer: number) => number): AttentionFactory =>
    (scope, layer) =>
      transformer(scope, {
        channels: channels[level]!,
        heads: at(config.attention_head_dim, level),
        layers: layers(layer),
        textChannels: at(config.cross_attention_dim, level),
        groups,
        linearProjection: config.use_linear_projection,
        onlyCrossAttention,
      });

  const usesText = [...config.down_block_types, ...config.up_block_types, config.mid_block_type].some((type) =>
    type?.includes('CrossAttn'),
  );

  return {
    name: NAME,
    inChannels: config.in_channels,
    outChannels: config.out_channels,
    inKernel: config.conv_in_kernel,
    outKernel: config.conv_out_kernel,
    centerInput: config.center_input_sample,
    channels,
    flipSinToCos: config.flip_sin_to_cos,
    freqShift: config.freq_shift,
    resnet: {
      timeChannels: config.time_embedding_dim ?? 4 * channels[0]!,
      groups,
      epsilon: config.norm_eps,
      timeScaleShift: config.resnet_time_scale_shift,
    },
    downsamplePadding: config.downsample_padding,
    down: config.down_block_types.map((type, i) => ({
      layers: at(config.layers_per_block, i),
      attention:
        type === 'CrossAttnDownBlock2D'
          ? attention(i, at(config.only_cross_attention, i), (layer) => layersOf(transformerLayers, i, layer))
          : undefined,
    })),
    middle:
      config.mid_block_type === null
        ? undefined
        : {
            attention: attention(last, false, () => layersOf(transformerLayers, last, 0)),
            outputScale: config.mid_block_scale_factor,
          },
    up: config.up_block_types.map((type, i) => {
      const level = last - i;
      const reversed = config.reverse_transformer_layers_per_block;
      return {
        layers: at(config.layers_per_block, level) + 1,
        attention:
          type === 'CrossAttnUpBlock2D'
            ? attention(level, at(config.only_cross_attention, level), (layer) =>
                reversed ? layersOf(reversed, i, layer) : layersOf(transformerLayers, level, layer),
              )
            : undefined,
      };
    }),
    textChannels: usesText ? at(config.cross_attention_dim, last) : undefined,
  };
}
