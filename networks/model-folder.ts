import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type * as tf from '@tensorflow/tfjs';
import { GymError } from '../core/errors.js';
import { readJson, removeFile, writeFileAtomic } from '../core/files.js';
import type { NdArray } from '../core/ndarray.js';
import { readSafetensors, writeSafetensors } from '../core/safetensors.js';
import { shownJson } from '../core/shown.js';
import { stateDict } from './weights.js';

const CONFIG = 'config.json';
const WEIGHTS = 'diffusion_pytorch_model.safetensors';
/** The version of diffusers whose file layout is written. */
export const DIFFUSERS_VERSION = '0.42.0';

/** The contents of a model's folder in diffusers' layout, before they are checked and made into a network. */
export interface ModelFolder {
  /** The path of the configuration, which errors name. */
  readonly where: string;
  readonly config: unknown;
  readonly weightsPath: string;
  /** The weights by name, in PyTorch's layout. */
  readonly state: ReadonlyMap<string, NdArray>;
}

/**
 * Reads `config.json` and `diffusion_pytorch_model.safetensors`.
 * @param className what `_class_name` of the configuration must be, if it has one
 * @throws GymError E_FILE where a file is missing or broken, E_CONFIG where the configuration is of another class
 */
export async function readModel(folder: string, className: string): Promise<ModelFolder> {
  const where = join(folder, CONFIG);
  const config = await readJson(where);
  const actual = (config as { _class_name?: unknown } | null)?._class_name;
  if (actual !== undefined && actual !== className)
    throw new GymError(
      'E_CONFIG',
      `${where}: \`_class_name\` is ${shownJson(actual)}; this folder holds no ${className}.`,
    );
  const weightsPath = join(folder, WEIGHTS);
  return { where, config, weightsPath, state: await readSafetensors(weightsPath) };
}

/** Writes what {@link readModel} reads, in place of a model that the folder holds already. */
export async function writeModel(
  folder: string,
  className: string,
  config: Readonly<Record<string, unknown>>,
  parameters: ReadonlyMap<string, tf.Variable>,
): Promise<void> {
  await writeWeights(join(folder, WEIGHTS), ['diffusion_pytorch_model'], parameters);
  await writeJson(join(folder, CONFIG), { _diffusers_version: DIFFUSERS_VERSION, ...config, _class_name: className });
}

/**
 * Writes a network's weights as one file, and then removes all other weight files of the same network from its folder.
 * Python's libraries would read those instead: an index of shards goes before a single file, and a variant such as
 * `fp16` or a pickled `.bin` is read where a caller asks for it.
 * @param stems with what the names of the network's weight files begin in Python's libraries
 * @throws GymError E_FILE when a file cannot be written or removed
 */
export async function writeWeights(
  path: string,
  stems: readonly string[],
  parameters: ReadonlyMap<string, tf.Variable>,
): Promise<void> {
  await writeSafetensors(path, await stateDict(parameters));
  const variant = String.raw`(\.[\w-]+)?`;
  const shard = String.raw`(-\d+-of-\d+)?`;
  const index = String.raw`(\.index${variant}\.json)?`;
  const pattern = String.raw`^(${stems.join('|')})${variant}${shard}${variant}\.(safetensors|bin)${index}$`;
  const weights = new RegExp(pattern);
  const others = (await readdir(dirname(path))).filter((name) => name !== basename(path) && weights.test(name));
  // An index is removed before its shards, so that no reader meets one whose shards are gone.
  others.sort((a, b) => Number(b.endsWith('.json')) - Number(a.endsWith('.json')));
  for (const name of others) await removeFile(join(dirname(path), name));
}

/**
 * Writes JSON with sorted keys, as Python's libraries write it.
 * @param floats keys whose values are written with a decimal point even if they are whole numbers, since transformers
 *   refuses an integer where it expects a float
 * @throws GymError E_FILE when it cannot be written
 */
export function writeJson(
  path: string,
  value: Readonly<Record<string, unknown>>,
  floats: readonly string[] = [],
): Promise<void> {
  const sorted = Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  let text = JSON.stringify(sorted, null, 2);
  for (const key of floats) text = text.replace(new RegExp(`^(  "${key}": -?\\d+)(?=,?$)`, 'm'), '$1.0');
  return writeFileAtomic(path, `${text}\n`);
}

const oldNames: Readonly<Record<string, string>> = {
  query: 'to_q',
  key: 'to_k',
  value: 'to_v',
  proj_attn: 'to_out.0',
};

/** The present key of a parameter. Checkpoints from before 2023 store those of image attentions under other names. */
export function renameAttention(name: string): string {
  return name.replace(
    /(attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)$/,
    (_, at, old, kind) => `${at}.${oldNames[old as string]}.${kind}`,
  );
}
