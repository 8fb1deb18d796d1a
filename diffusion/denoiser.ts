import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { GymError } from '../core/errors.js';
import { readPythonJson } from '../core/files.js';
import { shownJson } from '../core/shown.js';
import { AutoencoderKL } from '../networks/autoencoder-kl.js';
import { CLIPTextModel, TEXT_STEMS } from '../networks/clip-text-model.js';
import { CLIPTokenizer } from '../networks/clip-tokenizer.js';
import { TOKENIZER_FILES } from '../networks/clip-tokenizer-files.js';
import { DIFFUSERS_VERSION, MODEL_STEMS, writeJson } from '../networks/model-folder.js';
import { UNet2DModel } from '../networks/unet-2d.js';
import { UNet2DConditionModel } from '../networks/unet-2d-condition.js';
import { weightFiles } from '../networks/weight-files.js';
import { INDEX, readIndex } from './model-index.js';
import { DDIMScheduler, DDPMScheduler, loadScheduler, type ModelScheduler } from './schedulers/index.js';

/**
 * A whole diffusion model: the network that denoises, tokenizer and text encoder for its prompts, its noise schedule, and the
 * autoencoder whose latents it denoises.
 */
export interface Denoiser {
  readonly unet: UNet2DConditionModel | UNet2DModel;
  /** The text encoder, which is there if and only if the tokenizer is. */
  readonly textEncoder?: CLIPTextModel;
  readonly tokenizer?: CLIPTokenizer;
  readonly scheduler: ModelScheduler;
  /** Without it, the samples are the pictures themselves. */
  readonly vae?: AutoencoderKL;
  /** The folder from which it was loaded. */
  readonly folder?: string;
}

export interface LoadOptions {
  /** False: the autoencoder is left out, by whoever decodes nothing. Default true. */
  readonly vae?: boolean;
  /** Is told what is read as something else than it says, such as the configuration of another scheduler. */
  readonly warn?: ((message: string) => void) | undefined;
}

/** What a model's prompts are: texts, the numbers of its classes, or nothing. */
export type Condition = 'text' | 'class' | 'none';

/**
 * Reads a folder in the layout of diffusers' pipelines: `model_index.json`, `unet/`, `scheduler/`; for a model with text
 * `text_encoder/` and `tokenizer/`; for one whose samples are latents `vae/`. As in Python, a part without a folder of its own
 * is looked for beside the index; and a folder with nothing but a `UNet2DModel` and a scheduler needs no index.
 * @throws GymError E_FILE that names a file that is missing or broken; E_CONFIG where something is not supported, or
 *   the parts do not fit together
 */
export async function loadDenoiser(folder: string, { vae: wanted = true, warn }: LoadOptions = {}): Promise<Denoiser> {
  const index = await readIndex(folder);
  const networks: { dispose(): void }[] = [];
  const kept = <T extends { dispose(): void }>(network: T): T => {
    networks.push(network);
    return network;
  };
  try {
    const { unet: unetPlace, scheduler: schedulerPlace, vae: vaePlace } = index.places;
    const scheduler = await loadScheduler(schedulerPlace, warn);
    const unet = kept(
      await (index.classes.get('unet') === 'UNet2DModel'
        ? UNet2DModel.load(unetPlace)
        : UNet2DConditionModel.load(unetPlace)),
    );
    const vae = wanted && vaePlace !== undefined ? kept(await AutoencoderKL.load(vaePlace)) : undefined;
    const { tokenizer: tokenizerPlace, text_encoder: encoderPlace } = index.places;
    const tokenizer = tokenizerPlace === undefined ? undefined : await CLIPTokenizer.load(tokenizerPlace);
    const textEncoder = encoderPlace === undefined ? undefined : kept(await CLIPTextModel.load(encoderPlace));
    const denoiser = {
      ...{ unet, scheduler, folder },
      ...(vae && { vae }),
      ...(tokenizer && { tokenizer }),
      ...(textEncoder && { textEncoder }),
    };
    checkFit(folder, denoiser);
    return denoiser;
  } catch (error) {
    for (const network of networks) network.dispose();
    throw error;
  }
}

/** The files that {@link loadDenoiser} reads, by their paths in the folder. @throws GymError E_FILE, E_CONFIG as it does */
export async function denoiserFiles(folder: string): Promise<string[]> {
  const { places } = await readIndex(folder);
  const files: string[] = [];
  const add = async (place: string | undefined, names: readonly string[], stems?: readonly string[]) => {
    if (place === undefined) return;
    const there = await readdir(place).catch((): string[] => []);
    files.push(...names.filter((name) => there.includes(name)).map((name) => join(place, name)));
    if (stems) files.push(...(await weightFiles(place, stems)));
  };
  await add(folder, [INDEX]);
  await add(places.unet, ['config.json'], MODEL_STEMS);
  await add(places.scheduler, ['scheduler_config.json']);
  await add(places.vae, ['config.json'], MODEL_STEMS);
  await add(places.text_encoder, ['config.json'], TEXT_STEMS);
  await add(places.tokenizer, TOKENIZER_FILES);
  return files.map((file) => relative(folder, file)).sort();
}

/** What a model takes as prompts. @throws GymError E_FILE, E_CONFIG as {@link loadDenoiser} does */
export async function conditionOfFolder(folder: string): Promise<Condition> {
  const { classes, places } = await readIndex(folder);
  if (classes.has('text_encoder')) return 'text';
  const config = (await readPythonJson(join(places.unet, 'config.json'))) as { num_class_embeds?: unknown } | null;
  return config?.num_class_embeds == null ? 'none' : 'class';
}

/** What a model takes as prompts. */
export function conditionOf({ unet, textEncoder }: Pick<Denoiser, 'unet' | 'textEncoder'>): Condition {
  if (textEncoder) return 'text';
  return unet.config.num_class_embeds === null ? 'none' : 'class';
}

/**
 * Writes what {@link loadDenoiser} reads, in place of a model that the folder holds already. Each file is written
 * completely or not at all, and `model_index.json` is the last.
 *
 * Python reads the model too: each part by `from_pretrained(folder, subfolder=...)` of its class; an unconditional
 * model as a `DDIMPipeline` or `DDPMPipeline`; a model with text as a `StableDiffusionPipeline`, which for samples that are
 * pixels is made with `vae=None` and called with `output_type='latent'`. (These pipelines cannot sample a model of flow
 * matching or of classes, which is written all the same: its parts are read, and the loop over timesteps is one's own.)
 * {@link pythonUse} says it.
 * @throws GymError E_CONFIG where the parts do not fit together, E_FILE where a file cannot be written
 */
export async function saveDenoiser(folder: string, denoiser: Denoiser): Promise<void> {
  checkFit(folder, denoiser);
  const { unet, textEncoder, tokenizer, scheduler, vae } = denoiser;
  await unet.save(join(folder, 'unet'));
  await scheduler.save(join(folder, 'scheduler'));
  await vae?.save(join(folder, 'vae'));
  await textEncoder?.save(join(folder, 'text_encoder'));
  await tokenizer?.save(join(folder, 'tokenizer'));

  // The loop of DDPMPipeline, without a word about the noise, is that of flow matching too.
  const solver = scheduler instanceof DDIMScheduler ? 'DDIM' : 'DDPM';
  const solverClass =
    scheduler instanceof DDIMScheduler || scheduler instanceof DDPMScheduler
      ? `${solver}Scheduler`
      : 'FlowMatchEulerDiscreteScheduler';
  const none = [null, null];
  await writeJson(join(folder, INDEX), {
    _class_name: textEncoder ? 'StableDiffusionPipeline' : `${solver}Pipeline`,
    _diffusers_version: DIFFUSERS_VERSION,
    unet: ['diffusers', unet instanceof UNet2DConditionModel ? 'UNet2DConditionModel' : 'UNet2DModel'],
    scheduler: ['diffusers', solverClass],
    ...(vae && { vae: ['diffusers', 'AutoencoderKL'] }),
    ...(textEncoder && {
      text_encoder: ['transformers', 'CLIPTextModel'],
      tokenizer: ['transformers', 'CLIPTokenizer'],
      ...(!vae && { vae: none }),
      image_encoder: none,
      feature_extractor: none,
      safety_checker: none,
      requires_safety_checker: false,
    }),
  });
}

/**
 * Encodes prompts as the network takes them. For a model with text the encoding of the empty prompt is the unconditional one of
 * guidance, and the result is differentiable in the parameters of the text encoder; a class is given by its number. The caller
 * frees the result.
 * @param options.truncation whether a prompt that is too long is cut instead of refused
 * @returns [prompts, tokens, channels]; the numbers of classes as [prompts, 1, 1]
 * @throws GymError E_STATE for an unconditional model, E_VALUE where there is no prompt, one is too long or no class
 */
export function encodePrompts(
  denoiser: Pick<Denoiser, 'unet' | 'textEncoder' | 'tokenizer'>,
  prompts: readonly string[],
  options: { readonly truncation?: boolean } = {},
): tf.Tensor3D {
  if (prompts.length === 0) throw new GymError('E_VALUE', 'encodePrompts: the list of prompts is empty.');
  const { textEncoder, tokenizer, unet } = denoiser;
  if (conditionOf(denoiser) === 'class') {
    const classes = prompts.map((prompt) => classOf(prompt, unet.config.num_class_embeds!));
    return tf.tensor3d(classes, [prompts.length, 1, 1]);
  }
  if (!textEncoder || !tokenizer)
    throw new GymError('E_STATE', 'encodePrompts: this model is unconditional, it has no text encoder.');
  const ids = new Int32Array(prompts.length * tokenizer.maxLength);
  prompts.forEach((prompt, i) => {
    ids.set(tokenizer.encode(prompt, options).inputIds, i * tokenizer.maxLength);
  });
  return tf.tidy(
    () => textEncoder.apply(tf.tensor2d(ids, [prompts.length, tokenizer.maxLength], 'int32')).lastHiddenState,
  );
}

/** The class that a prompt names. @throws GymError E_VALUE where it names none */
export function classOf(prompt: string, classes: number): number {
  const number = /^\s*\d+\s*$/.test(prompt) ? Number(prompt) : Number.NaN;
  if (number < classes) return number;
  throw new GymError(
    'E_VALUE',
    `the prompt ${shownJson(prompt)} is no class: this model takes the number of a class as a prompt, 0 to ${classes - 1}.`,
  );
}

/** Frees the networks of a model. */
export function disposeDenoiser(denoiser: Denoiser): void {
  denoiser.unet.dispose();
  denoiser.textEncoder?.dispose();
  denoiser.vae?.dispose();
}

/** Checks that the parts of a model belong together. @throws GymError E_CONFIG where they do not */
function checkFit(folder: string, { unet, textEncoder, tokenizer, vae }: Denoiser): void {
  const { in_channels: inputs, out_channels: outputs } = unet.config;
  if (inputs !== outputs)
    throw wrong(
      folder,
      `the unet has in_channels ${inputs} and out_channels ${outputs}; inpainting and other models that take a picture beside the noise are not supported`,
    );
  if (vae && vae.config.latent_channels !== inputs)
    throw wrong(folder, `the vae's latent_channels is ${vae.config.latent_channels}, the unet's in_channels ${inputs}`);
  if (vae && vae.config.out_channels !== 3)
    throw wrong(
      folder,
      `the vae's out_channels is ${vae.config.out_channels}; only pictures of 3 channels are supported`,
    );
  const conditional = unet instanceof UNet2DConditionModel;
  if (!textEncoder !== !tokenizer)
    throw wrong(folder, `there is a ${textEncoder ? 'text_encoder' : 'tokenizer'} without its counterpart`);
  if (conditional !== (textEncoder !== undefined))
    throw wrong(
      folder,
      conditional
        ? 'a UNet2DConditionModel needs a text_encoder and a tokenizer'
        : 'a UNet2DModel takes no text_encoder',
    );
  if (!conditional || !textEncoder || !tokenizer) return;
  const { hidden_size: width, vocab_size: vocabulary, max_position_embeddings: positions } = textEncoder.config;
  for (const dimension of [unet.config.cross_attention_dim].flat())
    if (dimension !== width)
      throw wrong(folder, `the text encoder's hidden_size is ${width}, the unet's cross_attention_dim ${dimension}`);
  if (tokenizer.vocabSize > vocabulary)
    throw wrong(
      folder,
      `the tokenizer has ${tokenizer.vocabSize} tokens, the text encoder's vocab_size is ${vocabulary}`,
    );
  if (tokenizer.maxLength > positions)
    throw wrong(
      folder,
      `the tokenizer pads to ${tokenizer.maxLength}, the text encoder's max_position_embeddings is ${positions}`,
    );
}

function wrong(folder: string, what: string): GymError {
  return new GymError('E_CONFIG', `${join(folder, INDEX)}: ${what}.`);
}
