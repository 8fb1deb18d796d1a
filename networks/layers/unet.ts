import * as tf from '@tensorflow/tfjs';
import { GymError } from '../../core/errors.js';
import type { Scope } from '../weights.js';
import type { AttentionLayer, Text } from './attention.js';
import { conv2d, downsample, groupNormalization, linearLayer, upsample } from './basic.js';
import { type ResnetOptions, resnet } from './resnet.js';

/** Makes the attention that follows residual block number `layer`, with its parameters at `scope`. */
export type AttentionFactory = (scope: Scope, layer: number) => AttentionLayer;

/** One resolution on the way down or up. */
export interface BlockPlan {
  /** The number of residual blocks. */
  readonly layers: number;
  readonly attention?: AttentionFactory;
}

/** The structure of a UNet, as it is derived from one of diffusers' configurations. */
export interface UNetPlan {
  readonly name: string;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly inKernel: number;
  readonly outKernel: number;
  readonly centerInput: boolean;
  /** Channels at each resolution, from the finest. */
  readonly channels: readonly number[];
  readonly flipSinToCos: boolean;
  readonly freqShift: number;
  readonly resnet: ResnetOptions & { readonly timeChannels: number };
  readonly downsamplePadding: 0 | 1;
  /** From the finest resolution to the coarsest. */
  readonly down: readonly BlockPlan[];
  readonly middle?: { readonly attention?: AttentionFactory; readonly outputScale: number };
  /** From the coarsest resolution to the finest. */
  readonly up: readonly BlockPlan[];
  /** The number of channels of the text; undefined for a network without text. */
  readonly textChannels?: number;
  /** The number of classes; undefined for a network without them. */
  readonly classes?: number;
}

/**
 * Takes noisy samples, timesteps and the condition to the prediction of the network. The condition is the text [batch, tokens,
 * channels], or the number of the class of each sample [batch, 1, 1].
 */
export type UNetForward = (
  sample: tf.Tensor4D,
  timesteps: tf.Tensor1D | number,
  condition?: tf.Tensor3D,
) => tf.Tensor4D;

/** Builds the network of a plan. diffusers' UNet2DConditionModel and UNet2DModel have this structure in common. */
export function unet(scope: Scope, plan: UNetPlan): UNetForward {
  const { channels } = plan;
  const finest = channels[0]!;
  const coarsest = channels.at(-1)!;

  const convIn = conv2d(scope.at('conv_in'), plan.inChannels, finest, plan.inKernel);
  const timeEmbedding = timeEmbedder(scope, plan);
  const down = plan.down.map((block, i) => downBlock(scope.at('down_blocks', i), plan, block, i));
  const middle = middleBlock(scope.at('mid_block'), plan, coarsest);
  const up = plan.up.map((block, i) => upBlock(scope.at('up_blocks', i), plan, block, i));
  const normOut = groupNormalization(scope.at('conv_norm_out'), finest, plan.resnet.groups, plan.resnet.epsilon);
  const convOut = conv2d(scope.at('conv_out'), finest, plan.outChannels, plan.outKernel);

  return (sample, timesteps, condition) =>
    tf.tidy(() => {
      checkInputs(plan, sample, timesteps, condition);
      const text = plan.textChannels === undefined ? undefined : condition;
      const time = timeEmbedding(timesteps, plan.classes === undefined ? undefined : condition);
      let h = convIn(plan.centerInput ? sample.mul<tf.Tensor4D>(2).sub(1) : sample);
      const skips = [h];
      for (const block of down) h = block(h, time, text, skips);
      h = middle(h, time, text);
      for (const block of up) h = block(h, time, text, skips);
      return convOut(normOut(h, { silu: true }));
    });
}

function checkInputs(
  plan: UNetPlan,
  sample: tf.Tensor4D,
  timesteps: tf.Tensor1D | number,
  condition?: tf.Tensor3D,
): void {
  const wrong = (what: string) => new GymError('E_SHAPE', `${plan.name}.apply: ${what}.`);
  const [batch, , , channels] = sample.shape;
  if (sample.rank !== 4 || channels !== plan.inChannels)
    throw wrong(`the sample has shape [${sample.shape}]; it must be [batch, height, width, ${plan.inChannels}]`);
  if (typeof timesteps !== 'number' && (timesteps.rank !== 1 || timesteps.shape[0] !== batch))
    throw wrong(`timesteps have shape [${timesteps.shape}]; give one number, or one for each of ${batch} samples`);
  const text = condition;
  if (plan.classes !== undefined) {
    if (condition?.rank !== 3 || condition.size !== batch || condition.shape[0] !== batch)
      throw wrong(
        `the classes have shape [${condition?.shape}]; this network is conditioned on classes, of which it takes [${batch}, 1, 1]`,
      );
  } else if (plan.textChannels === undefined) {
    if (text) throw wrong('this network takes no encoderHiddenStates');
  } else if (!text) throw wrong('encoderHiddenStates are missing; this network is conditioned on text');
  else if (text.rank !== 3 || text.shape[0] !== batch || text.shape[2] !== plan.textChannels)
    throw wrong(
      `encoderHiddenStates have shape [${text.shape}]; they must be [${batch}, tokens, ${plan.textChannels}]`,
    );
}

/**
 * Embeds timesteps: sinusoids (Ho et al. 2020, appendix B; diffusers' Timesteps), then an MLP, then the SiLU that every
 * residual block would apply first. To the embedding that of the class is added, where a network has classes.
 */
function timeEmbedder(
  scope: Scope,
  plan: UNetPlan,
): (timesteps: tf.Tensor1D | number, classes?: tf.Tensor3D) => tf.Tensor2D {
  const width = plan.channels[0]!;
  const { timeChannels } = plan.resnet;
  const mlp = scope.at('time_embedding');
  const linear1 = linearLayer(mlp.at('linear_1'), width, timeChannels, { activation: 'silu' });
  const classTable =
    plan.classes === undefined
      ? undefined
      : scope.at('class_embedding').variable<tf.Rank.R2>('weight', [plan.classes, timeChannels], { normal: 1 });
  const activation = classTable ? undefined : 'silu';
  const linear2 = linearLayer(mlp.at('linear_2'), timeChannels, timeChannels, { activation });
  const half = width / 2;
  // Each operation is rounded to float32, as in PyTorch. At t = 1000 the last bit of a frequency makes a visible
  // difference.
  const frequencies = Float32Array.from({ length: half }, (_, i) =>
    Math.exp(Math.fround(Math.fround(Math.fround(-Math.log(10000)) * i) / (half - plan.freqShift))),
  );
  return (timesteps, classes) => {
    const t = typeof timesteps === 'number' ? tf.tensor2d([timesteps], [1, 1]) : timesteps.toFloat().reshape([-1, 1]);
    const phase = t.mul(tf.tensor2d(frequencies, [1, half]));
    const waves = plan.flipSinToCos ? [phase.cos(), phase.sin()] : [phase.sin(), phase.cos()];
    const time = linear2(linear1(tf.concat(waves, 1) as tf.Tensor2D));
    if (!classTable || !classes) return time;
    const sum = time.add<tf.Tensor2D>(tf.gather(classTable, classes.flatten().toInt()));
    return sum.mul(sum.sigmoid());
  };
}

type BlockForward = (
  x: tf.Tensor4D,
  time: tf.Tensor2D,
  text: Text,
  /** The outputs of the way down. Blocks on the way down push to it, and blocks on the way up pop from it. */
  skips: tf.Tensor4D[],
) => tf.Tensor4D;

function downBlock(scope: Scope, plan: UNetPlan, block: BlockPlan, index: number): BlockForward {
  const inChannels = plan.channels[Math.max(0, index - 1)]!;
  const channels = plan.channels[index]!;
  const layers = Array.from({ length: block.layers }, (_, j) => ({
    residual: resnet(scope.at('resnets', j), j === 0 ? inChannels : channels, channels, plan.resnet),
    attention: block.attention?.(scope.at('attentions', j), j),
  }));
  const last = index === plan.down.length - 1;
  const shrink = last ? undefined : downsample(scope.at('downsamplers', 0), channels, plan.downsamplePadding);
  return (x, time, text, skips) => {
    let h = x;
    for (const { residual, attention } of layers) {
      h = residual(h, time);
      if (attention) h = attention(h, text);
      skips.push(h);
    }
    if (shrink) {
      h = shrink(h);
      skips.push(h);
    }
    return h;
  };
}

function middleBlock(
  scope: Scope,
  plan: UNetPlan,
  channels: number,
): (x: tf.Tensor4D, time: tf.Tensor2D, text: Text) => tf.Tensor4D {
  const { middle } = plan;
  if (!middle) return (x) => x;
  const first = resnet(scope.at('resnets', 0), channels, channels, plan.resnet, middle.outputScale);
  const attention = middle.attention?.(scope.at('attentions', 0), 0);
  const second = resnet(scope.at('resnets', 1), channels, channels, plan.resnet, middle.outputScale);
  return (x, time, text) => {
    const h = first(x, time);
    return second(attention ? attention(h, text) : h, time);
  };
}

function upBlock(scope: Scope, plan: UNetPlan, block: BlockPlan, index: number): BlockForward {
  const reversed = [...plan.channels].reverse();
  const channels = reversed[index]!;
  const previous = reversed[Math.max(0, index - 1)]!;
  const next = reversed[Math.min(index + 1, reversed.length - 1)]!;
  const layers = Array.from({ length: block.layers }, (_, j) => {
    const skip = j === block.layers - 1 ? next : channels;
    return {
      residual: resnet(scope.at('resnets', j), (j === 0 ? previous : channels) + skip, channels, plan.resnet),
      attention: block.attention?.(scope.at('attentions', j), j),
    };
  });
  const last = index === plan.up.length - 1;
  const grow = last ? undefined : upsample(scope.at('upsamplers', 0), channels);
  return (x, time, text, skips) => {
    let h = x;
    for (const { residual, attention } of layers) {
      h = tf.tidy(() => residual(tf.concat([h, skips.pop()!], 3), time));
      if (attention) h = attention(h, text);
    }
    // The image is enlarged to the size of the next skip connection. It is not always twice the present size, since an
    // odd size may have been halved on the way down.
    const target = skips.at(-1)?.shape;
    return grow ? grow(h, target && [target[1], target[2]]) : h;
  };
}
