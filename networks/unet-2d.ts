import type * as tf from '@tensorflow/tfjs';
import type { Random } from '../core/random.js';
import { imageAttention } from './layers/attention.js';
import { type AttentionFactory, type UNetForward, type UNetPlan, unet } from './layers/unet.js';
import { readConfig, renameAttention, useModelWeights, writeModel } from './model-folder.js';
import { parseUnconditionalConfig, type UNet2DConfig, type UNet2DOptions } from './unet-config.js';
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

const NAME = 'UNet2DModel';

/**
 * The UNet of DDPM (Ho et al. 2020), unconditional or conditioned on classes, configured and stored as diffusers' class of the
 * same name.
 */
export class UNet2DModel {
  readonly config: UNet2DConfig;
  /**
   * The parameters by diffusers' keys, in TensorFlow's layout: convolutions [height, width, in, out], linear layers
   * [in, out].
   */
  readonly parameters: ReadonlyMap<string, tf.Variable>;
  /** The linear layers by name, and what changes their weights while the network is computed: a `Lora`, or nothing. */
  readonly adaptations: Adaptations;
  readonly #forward: UNetForward;

  private constructor(config: UNet2DConfig, source: ParameterSource) {
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
  static create(config: UNet2DOptions, random: Random): UNet2DModel {
    return new UNet2DModel(parseUnconditionalConfig(NAME, config), randomParameters(random));
  }

  /**
   * Reads `config.json` and `diffusion_pytorch_model.safetensors`: one file or shards, in float32 or a variant of less.
   * @throws GymError E_FILE where a file is missing, is corrupt or does not fit its configuration; E_CONFIG where the
   *   configuration is not supported
   */
  static async load(folder: string): Promise<UNet2DModel> {
    const { where, config } = await readConfig(folder, NAME);
    const parsed = parseUnconditionalConfig(where, config);
    return useModelWeights(
      folder,
      (path, state) => new UNet2DModel(parsed, storedParameters(path, state, renameAttention)),
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
  clone(): UNet2DModel {
    return new UNet2DModel(this.config, copiedParameters(this.parameters));
  }

  /** Frees the parameters. */
  dispose(): void {
    disposeParameters(this.parameters);
  }

  /**
   * Predicts from noisy samples. The prediction is differentiable, and the caller frees it.
   * @param sample [batch, height, width, in_channels]; clean samples are within -1..1
   * @param timesteps one for each sample, or one number for all, which is faster
   * @param classes the number of the class of each sample, [batch, 1, 1], for a network that has `num_class_embeds` of them;
   *   undefined for all others. It is of the rank of encoded text, so that both kinds of UNet are called alike
   * @returns [batch, height, width, out_channels]: the noise, the sample or the velocity, whichever it was trained to
   *   predict
   * @throws GymError E_SHAPE where a shape does not fit the configuration
   */
  apply(sample: tf.Tensor4D, timesteps: tf.Tensor1D | number, classes?: tf.Tensor3D): tf.Tensor4D {
    return this.#forward(sample, timesteps, classes);
  }
}

function plan(config: UNet2DConfig): UNetPlan {
  const channels = config.block_out_channels;
  const groups = config.norm_num_groups;
  const timeScaleShift = config.resnet_time_scale_shift;
  const epsilon = config.norm_eps;

  const attention =
    (level: number, attentionGroups: number | null = groups, outputScale = 1): AttentionFactory =>
    (scope) =>
      imageAttention(scope, {
        channels: channels[level]!,
        heads: channels[level]! / (config.attention_head_dim ?? channels[level]!),
        groups: attentionGroups,
        epsilon,
        outputScale,
      });
  return {
    name: NAME,
    classes: config.num_class_embeds ?? undefined,
    inChannels: config.in_channels,
    outChannels: config.out_channels,
    inKernel: 3,
    outKernel: 3,
    centerInput: config.center_input_sample,
    channels,
    flipSinToCos: config.flip_sin_to_cos,
    freqShift: config.freq_shift,
    resnet: {
      timeChannels: config.time_embedding_dim ?? 4 * channels[0]!,
      groups,
      epsilon,
      timeScaleShift,
    },
    downsamplePadding: config.downsample_padding,
    down: config.down_block_types.map((type, i) => ({
      layers: config.layers_per_block,
      attention: type === 'AttnDownBlock2D' ? attention(i) : undefined,
    })),
    middle:
      config.mid_block_type === null
        ? undefined
        : {
            // diffusers leaves out this one norm in networks whose blocks are scaled and shifted by the time embedding.
            attention: config.add_attention
              ? attention(
                  channels.length - 1,
                  config.attn_norm_num_groups ?? (timeScaleShift === 'default' ? groups : null),
                  config.mid_block_scale_factor,
                )
              : undefined,
            outputScale: config.mid_block_scale_factor,
          },
    up: config.up_block_types.map((type, i) => ({
      layers: config.layers_per_block + 1,
      attention: type === 'AttnUpBlock2D' ? attention(channels.length - 1 - i) : undefined,
    })),
  };
}
