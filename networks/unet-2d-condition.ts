import type * as tf from '@tensorflow/tfjs';
import type { Random } from '../core/random.js';
import { transformer } from './layers/attention.js';
import { type AttentionFactory, type UNetForward, type UNetPlan, unet } from './layers/unet.js';
import { readModel, renameAttention, writeModel } from './model-folder.js';
import { at, parseConditionConfig, type UNet2DConditionConfig, type UNet2DConditionOptions } from './unet-config.js';
import {
  build,
  copiedParameters,
  disposeParameters,
  overwrite,
  type ParameterSource,
  randomParameters,
  storedParameters,
} from './weights.js';

const NAME = 'UNet2DConditionModel';

/** The text-conditional UNet of Stable Diffusion (Rombach et al. 2022); configured and stored as diffusers' class of this name. */
export class UNet2DConditionModel {
  readonly config: UNet2DConditionConfig;
  /** By diffusers' key; values in TensorFlow's layout (convolutions [height, width, in, out], linear [in, out]). */
  readonly parameters: ReadonlyMap<string, tf.Variable>;
  readonly #forward: UNetForward;

  private constructor(config: UNet2DConditionConfig, source: ParameterSource) {
    const { network, parameters } = build(source, (scope) => unet(scope, plan(config)));
    this.config = config;
    this.parameters = parameters;
    this.#forward = network;
  }

  /**
   * A new network, initialised as PyTorch does.
   * @param config the keys that differ from diffusers' defaults
   * @throws GymError E_CONFIG
   */
  static create(config: UNet2DConditionOptions, random: Random): UNet2DConditionModel {
    return new UNet2DConditionModel(parseConditionConfig(NAME, config), randomParameters(random));
  }

  /**
   * Reads `config.json` and `diffusion_pytorch_model.safetensors`.
   * @throws GymError E_FILE (missing, corrupt, not of this configuration), E_CONFIG (not supported)
   */
  static async load(folder: string): Promise<UNet2DConditionModel> {
    const { where, config, weightsPath, state } = await readModel(folder, NAME);
    return new UNet2DConditionModel(
      parseConditionConfig(where, config),
      storedParameters(weightsPath, state, renameAttention),
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

  /** Reads weights that {@link save} wrote into the existing parameters. @throws GymError E_FILE when they are of another configuration. */
  async restore(folder: string): Promise<void> {
    const { weightsPath, state } = await readModel(folder, NAME);
    overwrite(this.parameters, storedParameters(weightsPath, state, renameAttention));
  }

  /**
   * A network of the same configuration with copies of the present weights: training either leaves the other as it is, so
   * that a clone serves as the frozen reference of a policy. Whoever asks for it disposes of it.
   */
  clone(): UNet2DConditionModel {
    return new UNet2DConditionModel(this.config, copiedParameters(this.parameters));
  }

  /** Frees the parameters. */
  dispose(): void {
    disposeParameters(this.parameters);
  }

  /**
   * The prediction for noisy samples. Differentiable; the caller frees the result.
   * @param sample [batch, height, width, in_channels], -1..1
   * @param timesteps one for each sample, or one number for all (then the time costs next to nothing)
   * @param encoderHiddenStates the text [batch, tokens, cross_attention_dim]
   * @returns [batch, height, width, out_channels]: noise, sample or velocity, whatever it was trained for
   * @throws GymError E_SHAPE
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
  /** Layers of the transformers of block `block`, in order, where it is a list, a number of layers each. */
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
