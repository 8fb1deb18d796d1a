import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Tensor2D, Tensor4D, Variable } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import * as z from 'zod';
import { AdamW } from '../agents/optimization/adamw.js';
import { euclideanNorm, useBackend } from '../backend/index.js';
import { GymError } from '../core/errors.js';
import { readJson, recoverFolder, writeFileAtomic, writeFolderAtomic } from '../core/files.js';
import type { NdArray } from '../core/ndarray.js';
import { Random, type RandomState } from '../core/random.js';
import { readSafetensors, writeSafetensors } from '../core/safetensors.js';
import { parseSchema } from '../core/schema.js';
import {
  CLIPTextModel,
  CLIPTokenizer,
  DDIMScheduler,
  type Denoiser,
  disposeDenoiser,
  FlowMatchEulerDiscreteScheduler,
  flooredCosineBetas,
  loadDenoiser,
  type ModelScheduler,
  saveDenoiser,
  UNet2DConditionModel,
  type UNet2DConditionOptions,
} from '../diffusion/index.js';
import { caption, drawScene, kinds, randomScene, shapesVocabulary } from '../rewards/shapes/world.js';
import { Ema } from './ema.js';
import { differingFiles, digestFolder, nonFiniteTensor } from './run-folder/index.js';

/** What the network learns to predict: the velocity of a diffusion with a cosine ᾱ, or that of a straight flow. */
const objectives = ['velocity', 'flow-matching'] as const;
export type Objective = (typeof objectives)[number];

export interface PretrainOptions {
  /** The diffusers folder to write, e.g. `models/shapes`. */
  out: string;
  /** Default `velocity`, with which the embedded model is trained. */
  objective?: Objective;
  /** A folder whose model is gone on from, of whatever objective, instead of an untrained one. It must be of the same layers. */
  from?: string | undefined;
  seed?: number;
  /** Optimiser steps. Default 5200. */
  steps?: number;
  batchSize?: number;
  /** Pictures drawn ahead; an epoch over them is images / batchSize steps. */
  images?: number;
  learningRate?: number;
  /** Steps over which the learning rate rises from 0; then it falls to 0 as a cosine. */
  warmup?: number;
  emaDecay?: number;
  /** Share of captions replaced by '', so that guidance has an unconditional prediction. */
  captionDropout?: number;
  maxGradNorm?: number;
  /** Steps between checkpoints, which a later call with `resume` goes on from. */
  checkpointEvery?: number;
  resume?: boolean;
  /** Stops after the step at hand, with a checkpoint. */
  signal?: AbortSignal;
}

export interface PretrainProgress {
  step: number;
  steps: number;
  /** Mean squared error of the velocity, running mean. */
  loss: number;
  learningRate: number;
}

/** The embedded model's picture size. */
const SIZE = 16;
const TRAIN_TIMESTEPS = 1000;

const unetConfig: UNet2DConditionOptions = {
  sample_size: SIZE,
  in_channels: 3,
  out_channels: 3,
  block_out_channels: [16, 32, 64],
  layers_per_block: 1,
  down_block_types: ['DownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D'],
  up_block_types: ['CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'UpBlock2D'],
  cross_attention_dim: 32,
  attention_head_dim: 4,
  norm_num_groups: 8,
};

const textConfig = {
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  max_position_embeddings: 16,
};

/**
 * The scheduler that the embedded model is trained with: ᾱ a squared cosine held at 1e-3 or above, since with ᾱ_T nearer to 0 a
 * short chain starts where the velocity says nothing about x_0. x̂_0 is not clipped: under guidance it leaves ±1 (the dark
 * background above all), and clipping it alone, without its ε̂, makes every step brighter.
 */
function shapesScheduler(): DDIMScheduler {
  return DDIMScheduler.fromConfig({
    num_train_timesteps: TRAIN_TIMESTEPS,
    trained_betas: flooredCosineBetas(TRAIN_TIMESTEPS),
    prediction_type: 'v_prediction',
    timestep_spacing: 'trailing',
    clip_sample: false,
    set_alpha_to_one: true,
  });
}

/** The scheduler of a model that is trained by flow matching; on pictures this small the noise needs no shift. */
function flowScheduler(): FlowMatchEulerDiscreteScheduler {
  return FlowMatchEulerDiscreteScheduler.fromConfig({ num_train_timesteps: TRAIN_TIMESTEPS, shift: 1 });
}

/** The network, text encoder and tokenizer of the embedded model, untrained. */
function newShapesDenoiser(
  random: Random,
  scheduler: ModelScheduler = shapesScheduler(),
): Denoiser & { unet: UNet2DConditionModel } & Required<Pick<Denoiser, 'textEncoder' | 'tokenizer'>> {
  const tokenizer = CLIPTokenizer.fromWords(shapesVocabulary, textConfig.max_position_embeddings);
  return {
    unet: UNet2DConditionModel.create(unetConfig, random.child('unet')),
    textEncoder: CLIPTextModel.create(
      {
        ...textConfig,
        vocab_size: tokenizer.vocabSize,
        bos_token_id: tokenizer.bosTokenId,
        eos_token_id: tokenizer.eosTokenId,
        pad_token_id: tokenizer.padTokenId,
      },
      random.child('text'),
    ),
    tokenizer,
    scheduler,
  };
}

/** Pictures (uint8) and their captions' tokens. */
interface DataSet {
  images: Uint8Array[];
  tokens: Int32Array[];
}

function draw(count: number, tokenizer: CLIPTokenizer, random: Random): DataSet {
  const images: Uint8Array[] = [];
  const tokens: Int32Array[] = [];
  const known = new Map<string, Int32Array>();
  for (let i = 0; i < count; i++) {
    const scene = randomScene(kinds[i % kinds.length]!, random);
    images.push(drawScene(scene, SIZE).data as Uint8Array);
    const text = caption(scene);
    if (!known.has(text)) known.set(text, tokenizer.encode(text).inputIds);
    tokens.push(known.get(text)!);
  }
  return { images, tokens };
}

/** Gives the parameters of UNet and text encoder the values of another model. @throws GymError E_CONFIG where they differ. */
async function adopt(parameters: ReadonlyMap<string, Variable>, folder: string): Promise<void> {
  const other = await loadDenoiser(folder);
  try {
    for (const [name, variable] of parameters) {
      const [part, ...path] = name.split('.');
      const values = (part === 'unet' ? other.unet : other.textEncoder)?.parameters.get(path.join('.'));
      if (values?.shape.join() !== variable.shape.join())
        throw new GymError(
          'E_CONFIG',
          `pretrain: ${folder} has ${values === undefined ? 'no' : `[${values.shape}] as`} ${name}, which is [${variable.shape}] here; go on from a model of the same layers.`,
        );
      variable.assign(values);
    }
  } finally {
    disposeDenoiser(other);
  }
}

/**
 * Trains a small text-conditional pixel-space diffusion model on the world of shapes and writes it as a diffusers folder:
 * the velocity objective (Salimans & Ho, arXiv 2202.00512) or flow matching (arXiv 2210.02747), captions dropped for
 * classifier-free guidance (arXiv 2207.12598), and the moving average of the weights at the end.
 *
 * Yields after every step. Killed or stopped at any moment, it goes on with `resume` from its last checkpoint, beside `out`.
 * @throws GymError E_STATE when `resume` finds no checkpoint, E_FILE when that is damaged, E_CONFIG when it was begun with
 *   another objective or `from` has other layers, E_VALUE when the loss is no
 *   longer finite, E_DIVERGED when the weights are not; what was saved before stays.
 */
export async function* pretrain(options: PretrainOptions): AsyncGenerator<PretrainProgress, void> {
  const {
    out,
    objective = 'velocity',
    from,
    seed = 0,
    steps = 5200,
    batchSize = 64,
    images = 16_384,
    learningRate = 2e-3,
    warmup = 200,
    emaDecay = 0.999,
    captionDropout = 0.1,
    maxGradNorm = 1,
    checkpointEvery = 500,
    signal,
  } = options;
  await useBackend();
  const root = new Random(seed);
  const denoiser = newShapesDenoiser(
    root.child('weights'),
    objective === 'velocity' ? shapesScheduler() : flowScheduler(),
  );
  const { unet, textEncoder, tokenizer, scheduler } = denoiser;
  const data = draw(images, tokenizer, root.child('images'));
  const blank = tokenizer.encode('').inputIds;
  const { trainTimesteps } = scheduler;
  const parameters = new Map<string, Variable>([
    ...[...unet.parameters].map(([name, v]) => [`unet.${name}`, v] as const),
    ...[...textEncoder.parameters].map(([name, v]) => [`text.${name}`, v] as const),
  ]);
  if (from !== undefined && !options.resume) await adopt(parameters, from);
  const optimizer = new AdamW(parameters, { weightDecay: 0.01 });
  const ema = new Ema(parameters.values(), emaDecay);
  const checkpoint = `${out}.checkpoint`;
  recoverFolder(checkpoint);
  let random = root.child('steps');
  let start = 0;
  let running = Number.NaN;
  if (options.resume) ({ random, start, running } = await restore(checkpoint, objective, parameters, optimizer, ema));
  try {
    for (let step = start; step < steps; step++) {
      const rate =
        step < warmup
          ? (learningRate * (step + 1)) / warmup
          : (learningRate * (1 + Math.cos((Math.PI * (step - warmup)) / Math.max(1, steps - warmup)))) / 2;
      const rows = Array.from({ length: batchSize }, () => random.integer(images));
      const timesteps = rows.map(() => trainTimesteps[random.integer(trainTimesteps.length)]!);
      const ids = rows.map((row) => (random.next() < captionDropout ? blank : data.tokens[row]!));
      const noise = random.normals(batchSize * SIZE * SIZE * 3);
      const { value, grads } = tf.variableGrads(() => {
        const shape: [number, number, number, number] = [batchSize, SIZE, SIZE, 3];
        const pixels = new Uint8Array(batchSize * SIZE * SIZE * 3);
        rows.forEach((row, i) => {
          pixels.set(data.images[row]!, i * SIZE * SIZE * 3);
        });
        const clean = tf.tensor4d(
          Float32Array.from(pixels, (p) => p / 127.5 - 1),
          shape,
        );
        const epsilon = tf.tensor4d(noise, shape);
        const tokens = tf.tensor(
          ids.flatMap((list) => [...list]),
          [batchSize, blank.length],
          'int32',
        ) as Tensor2D;
        const noisy = scheduler.addNoise(clean, epsilon, timesteps);
        const target = scheduler.target(clean, epsilon, timesteps);
        const prompt = textEncoder.apply(tokens).lastHiddenState;
        const output: Tensor4D = unet.apply(noisy, tf.tensor1d(timesteps, 'float32'), prompt);
        return tf.squaredDifference(output, target).mean<tf.Scalar>();
      }, [...optimizer.variables]);
      const gradient = optimizer.flatten(grads);
      const norm = euclideanNorm(gradient);
      const loss = (await value.data())[0]!;
      const gradNorm = (await norm.data())[0]!;
      tf.dispose([value, norm, ...Object.values(grads)]);
      if (!Number.isFinite(loss) || !Number.isFinite(gradNorm))
        throw new GymError(
          'E_VALUE',
          `pretrain: at step ${step} the loss is ${loss} and its gradient's norm ${gradNorm}; lower the learning rate (${learningRate}).`,
        );
      optimizer.step(gradient, gradNorm, rate, maxGradNorm);
      gradient.dispose();
      ema.update();
      running = Number.isNaN(running) ? loss : 0.98 * running + 0.02 * loss;
      const done = step + 1;
      if ((done % checkpointEvery === 0 && done < steps) || signal?.aborted)
        await save(checkpoint, parameters, optimizer, ema, { objective, random: random.state(), start: done, running });
      yield { step: done, steps, loss: running, learningRate: rate };
      if (signal?.aborted) return;
    }
    ema.apply();
    await finiteWeights(parameters);
    await saveDenoiser(out, denoiser);
    await rm(checkpoint, { recursive: true, force: true });
  } finally {
    tf.dispose([...parameters.values()]);
    optimizer.dispose();
    ema.dispose();
  }
}

interface Position {
  objective: Objective;
  random: RandomState;
  start: number;
  /** The running mean of the loss. */
  running: number;
}

const savedPosition = z.strictObject({
  objective: z.enum(objectives),
  random: z.custom<RandomState>(
    (value) => typeof value === 'object' && value !== null,
    'must be the state of a stream',
  ),
  start: z.int().min(0),
  running: z.number(),
  /** The digests of the other files. */
  files: z.record(z.string(), z.string()),
});

/** The weights by name. @throws GymError E_DIVERGED when one is infinite or NaN. */
async function finiteWeights(parameters: ReadonlyMap<string, Variable>): Promise<Map<string, NdArray>> {
  const weights = new Map<string, NdArray>();
  for (const [name, variable] of parameters)
    weights.set(name, { data: (await variable.data()) as Float32Array, shape: variable.shape });
  const broken = nonFiniteTensor(weights);
  if (broken !== undefined)
    throw new GymError(
      'E_DIVERGED',
      `pretrain: the weights have diverged (\`${broken}\` is infinite or NaN), and are not saved; lower the learning rate.`,
    );
  return weights;
}

async function save(
  folder: string,
  parameters: ReadonlyMap<string, Variable>,
  optimizer: AdamW,
  ema: Ema,
  at: Position,
): Promise<void> {
  const weights = await finiteWeights(parameters);
  await writeFolderAtomic(folder, async (temp) => {
    await writeSafetensors(join(temp, 'weights.safetensors'), weights);
    await writeSafetensors(join(temp, 'optimizer.safetensors'), await optimizer.state());
    await writeSafetensors(join(temp, 'ema.safetensors'), await ema.state());
    const files = await digestFolder(temp);
    await writeFileAtomic(join(temp, 'position.json'), `${JSON.stringify({ ...at, files })}\n`);
  });
}

async function restore(
  folder: string,
  objective: Objective,
  parameters: ReadonlyMap<string, Variable>,
  optimizer: AdamW,
  ema: Ema,
): Promise<{ random: Random; start: number; running: number }> {
  const found = await stat(folder).catch(() => undefined);
  if (!found)
    throw new GymError('E_STATE', `pretrain: there is no checkpoint ${folder} to resume from; start without resume.`);
  const { value, problems } = parseSchema(savedPosition, await readJson(join(folder, 'position.json')));
  const now = value && (await digestFolder(folder, Object.keys(value.files)));
  const damages = value ? differingFiles(value.files, now!) : problems.map((problem) => `position.json: ${problem}`);
  if (damages.length > 0)
    throw new GymError(
      'E_FILE',
      `pretrain: ${folder} is damaged: ${damages.join(', ')}; restore it from a copy, or start without resume.`,
    );
  const { random, start, running } = value!;
  if (value!.objective !== objective)
    throw new GymError(
      'E_CONFIG',
      `pretrain: ${folder} was begun with the objective ${value!.objective}, and cannot go on with ${objective}; name the same, or start without resume.`,
    );
  const weights = await readSafetensors(join(folder, 'weights.safetensors'));
  for (const [name, variable] of parameters) {
    const value = weights.get(name);
    if (!value) throw new GymError('E_STATE', `pretrain: ${folder} has no \`${name}\`; start without resume.`);
    tf.tidy(() => variable.assign(tf.tensor(value.data as Float32Array, variable.shape)));
  }
  optimizer.restore(await readSafetensors(join(folder, 'optimizer.safetensors')));
  ema.restore(await readSafetensors(join(folder, 'ema.safetensors')));
  return { random: Random.restore(random), start, running };
}
