import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { GymError } from '../core/errors.js';
import { readJson } from '../core/files.js';
import { shownName } from '../core/shown.js';
import { CLIPTextModel } from '../networks/clip-text-model.js';
import { CLIPTokenizer } from '../networks/clip-tokenizer.js';
import { DIFFUSERS_VERSION, writeJson } from '../networks/model-folder.js';
import { UNet2DModel } from '../networks/unet-2d.js';
import { UNet2DConditionModel } from '../networks/unet-2d-condition.js';
import { DDIMScheduler, DDPMScheduler, loadScheduler, type ModelScheduler } from './schedulers/index.js';

const INDEX = 'model_index.json';

/**
 * A whole diffusion model: the network that denoises, tokenizer and text encoder for its prompts, and its noise
 * schedule.
 */
export interface Denoiser {
  readonly unet: UNet2DConditionModel | UNet2DModel;
  /** The text encoder, which is there if and only if the tokenizer is. Without both, the model is unconditional. */
  readonly textEncoder?: CLIPTextModel;
  readonly tokenizer?: CLIPTokenizer;
  readonly scheduler: ModelScheduler;
  /** The folder from which it was loaded. */
  readonly folder?: string;
}

/**
 * Reads a folder in the layout of diffusers' pipelines: `model_index.json`, `unet/`, `scheduler/`, and for a model with
 * text `text_encoder/` and `tokenizer/`.
 * @throws GymError E_FILE that names a file that is missing or broken; E_CONFIG where something is not supported, or
 *   the parts do not fit together
 */
export async function loadDenoiser(folder: string): Promise<Denoiser> {
  const index = await readIndex(folder);
  const part = (name: string) => join(folder, name);
  const networks: { dispose(): void }[] = [];
  try {
    const unetClass = index.get('unet');
    if (unetClass !== 'UNet2DConditionModel' && unetClass !== 'UNet2DModel')
      throw wrong(
        folder,
        `\`unet\` is ${shownName(unetClass ?? 'missing')}; it must be UNet2DConditionModel or UNet2DModel`,
      );
    if (!index.has('scheduler')) throw wrong(folder, '`scheduler` is missing');
    const scheduler = await loadScheduler(part('scheduler'));
    const unet = await (unetClass === 'UNet2DModel' ? UNet2DModel : UNet2DConditionModel).load(part('unet'));
    networks.push(unet);
    if (!index.has('text_encoder')) {
      const denoiser = { unet, scheduler, folder };
      checkFit(folder, denoiser);
      return denoiser;
    }
    const textClass = index.get('text_encoder');
    if (textClass !== 'CLIPTextModel')
      throw wrong(folder, `\`text_encoder\` is ${shownName(textClass!)}; only CLIPTextModel is supported`);
    const tokenizer = await CLIPTokenizer.load(part('tokenizer'));
    const textEncoder = await CLIPTextModel.load(part('text_encoder'));
    networks.push(textEncoder);
    const denoiser = { unet, textEncoder, tokenizer, scheduler, folder };
    checkFit(folder, denoiser);
    return denoiser;
  } catch (error) {
    for (const network of networks) network.dispose();
    throw error;
  }
}

/**
 * Writes what {@link loadDenoiser} reads, in place of a model that the folder holds already. Each file is written
 * completely or not at all, and `model_index.json` is the last.
 *
 * Python reads the model too: each part by `from_pretrained(folder, subfolder=...)` of its class; an unconditional
 * model as a `DDIMPipeline` or `DDPMPipeline`; a model with text, whose samples are pixels, as a
 * `StableDiffusionPipeline` with `vae=None` that is called with `output_type='latent'`. (That pipeline cannot sample a
 * model of flow matching, which is written all the same: its parts are read, and the loop over timesteps is one's own.)
 * @throws GymError E_CONFIG where the parts do not fit together, E_FILE where a file cannot be written
 */
export async function saveDenoiser(folder: string, denoiser: Denoiser): Promise<void> {
  checkFit(folder, denoiser);
  const { unet, textEncoder, tokenizer, scheduler } = denoiser;
  await unet.save(join(folder, 'unet'));
  await scheduler.save(join(folder, 'scheduler'));
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
    ...(textEncoder && {
      text_encoder: ['transformers', 'CLIPTextModel'],
      tokenizer: ['transformers', 'CLIPTokenizer'],
      vae: none,
      image_encoder: none,
      feature_extractor: none,
      safety_checker: none,
      requires_safety_checker: false,
    }),
  });
}

/**
 * Encodes prompts as the network takes them. The encoding of the empty prompt is the unconditional one of guidance. The
 * result is differentiable in the parameters of the text encoder, and the caller frees it.
 * @returns [prompts, tokens, channels]
 * @throws GymError E_STATE for a model without text, E_VALUE where there is no prompt or one is too long
 */
export function encodePrompts(
  denoiser: Pick<Denoiser, 'textEncoder' | 'tokenizer'>,
  prompts: readonly string[],
): tf.Tensor3D {
  const { textEncoder, tokenizer } = denoiser;
  if (!textEncoder || !tokenizer)
    throw new GymError('E_STATE', 'encodePrompts: this model is unconditional, it has no text encoder.');
  if (prompts.length === 0) throw new GymError('E_VALUE', 'encodePrompts: the list of prompts is empty.');
  const ids = new Int32Array(prompts.length * tokenizer.maxLength);
  prompts.forEach((prompt, i) => {
    ids.set(tokenizer.encode(prompt).inputIds, i * tokenizer.maxLength);
  });
  return tf.tidy(
    () => textEncoder.apply(tf.tensor2d(ids, [prompts.length, tokenizer.maxLength], 'int32')).lastHiddenState,
  );
}

/** Frees the networks of a model. */
export function disposeDenoiser(denoiser: Denoiser): void {
  denoiser.unet.dispose();
  denoiser.textEncoder?.dispose();
}

/** Reads the class of each part of a model, by the name of the part. */
async function readIndex(folder: string): Promise<Map<string, string>> {
  const index = await readJson(join(folder, INDEX));
  if (typeof index !== 'object' || index === null || Array.isArray(index))
    throw wrong(folder, 'it must be a JSON object');
  const classes = new Map<string, string>();
  for (const [name, entry] of Object.entries(index))
    if (Array.isArray(entry) && typeof entry[1] === 'string') classes.set(name, entry[1]);
  if (classes.has('vae'))
    throw wrong(
      folder,
      `it has a \`vae\` (${shownName(classes.get('vae')!)}); models whose samples are latents are not supported`,
    );
  return classes;
}

/** Checks that the parts of a model belong together. @throws GymError E_CONFIG where they do not */
function checkFit(folder: string, { unet, textEncoder, tokenizer }: Denoiser): void {
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
