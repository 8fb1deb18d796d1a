import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { GymError } from '../core/errors.js';
import { readPythonJson } from '../core/files.js';
import { shownName } from '../core/shown.js';

/** The file that says which parts a model has. */
export const INDEX = 'model_index.json';

/** The parts of a model that are read, and of which classes each may be. */
const SUPPORTED: Readonly<Record<string, readonly string[]>> = {
  unet: ['UNet2DConditionModel', 'UNet2DModel'],
  text_encoder: ['CLIPTextModel'],
  tokenizer: ['CLIPTokenizer', 'CLIPTokenizerFast'],
  vae: ['AutoencoderKL'],
};
/** What the parts are called in whose place they are not supported: each would change the pictures if it were left out. */
const OTHERS =
  /^(transformer|prior|text_encoder_\d|tokenizer_\d|vqvae|vqmodel|movq|controlnet|image_normalizer|decoder)/;

/** Which parts a model has, and where they are. */
export interface ModelIndex {
  /** The class of each part. */
  readonly classes: ReadonlyMap<string, string>;
  /** The folder of each part that is read. */
  readonly places: {
    readonly unet: string;
    readonly scheduler: string;
    readonly text_encoder?: string;
    readonly tokenizer?: string;
    readonly vae?: string;
  };
}

/**
 * Reads which parts a model has. A folder without an index that holds a `UNet2DModel` itself is a model of that and a scheduler.
 * @throws GymError E_FILE where there is no index, or a broken one; E_CONFIG for a model of another kind, naming what it has
 */
export async function readIndex(folder: string): Promise<ModelIndex> {
  const classes = (await isThere(join(folder, INDEX))) ? await indexed(folder) : await unindexed(folder);
  for (const part of ['unet', 'scheduler'])
    if (!classes.has(part))
      throw wrong(folder, `it has no \`${part}\`, but ${described(classes)}; read are models with a UNet`);
  for (const [part, name] of classes) {
    const allowed = SUPPORTED[part];
    if (allowed && !allowed.includes(name))
      throw wrong(folder, `\`${part}\` is ${shownName(name)}; supported is ${allowed.join(', ')}`);
    if (OTHERS.test(part))
      throw wrong(
        folder,
        `it has the part \`${shownName(part)}\` (${shownName(name)}), which is not supported; there are ${described(classes)}`,
      );
  }
  const place = async (part: string): Promise<string> => {
    const own = join(folder, part);
    // As in Python: a part without a folder of its own lies beside the index, as in google/ddpm-cifar10-32.
    return (await isThere(own)) ? own : folder;
  };
  const there = async (part: 'text_encoder' | 'tokenizer' | 'vae') =>
    classes.has(part) ? { [part]: join(folder, part) } : {};
  return {
    classes,
    places: {
      unet: await place('unet'),
      scheduler: await place('scheduler'),
      ...(await there('text_encoder')),
      ...(await there('tokenizer')),
      ...(await there('vae')),
    },
  };
}

/** The class of each part that an index names. */
async function indexed(folder: string): Promise<Map<string, string>> {
  const index = await readPythonJson(join(folder, INDEX));
  if (typeof index !== 'object' || index === null || Array.isArray(index))
    throw wrong(folder, 'it must be a JSON object');
  const classes = new Map<string, string>();
  for (const [name, entry] of Object.entries(index))
    if (Array.isArray(entry) && typeof entry[1] === 'string') classes.set(name, entry[1]);
  return classes;
}

/** The parts of a folder that is a network's own, with its scheduler beside it. */
async function unindexed(folder: string): Promise<Map<string, string>> {
  const missing = new GymError(
    'E_FILE',
    `cannot read ${join(folder, INDEX)}: it is not there; the folder of a model in the layout of diffusers has it, beside unet/, scheduler/ and others.`,
  );
  for (const file of ['config.json', 'scheduler_config.json']) if (!(await isThere(join(folder, file)))) throw missing;
  const config = (await readPythonJson(join(folder, 'config.json'))) as { _class_name?: unknown } | null;
  if (config?._class_name !== 'UNet2DModel') throw missing;
  return new Map([
    ['unet', 'UNet2DModel'],
    ['scheduler', 'the one beside it'],
  ]);
}

function described(classes: ReadonlyMap<string, string>): string {
  return Array.from(classes, ([part, name]) => `${shownName(part)} (${shownName(name)})`).join(', ') || 'nothing';
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function wrong(folder: string, what: string): GymError {
  return new GymError('E_CONFIG', `${join(folder, INDEX)}: ${what}.`);
}
