import { join } from 'node:path';
import type * as tf from '@tensorflow/tfjs';
import { GymError } from '../core/errors.js';
import { readPythonJson, writeFileAtomic } from '../core/files.js';
import { shownJson } from '../core/shown.js';
import { useWeights, writeWeights } from './weight-files.js';
import type { StoredTensors } from './weights.js';

const CONFIG = 'config.json';
/** With what the names of the weight files of diffusers' networks begin. */
export const MODEL_STEMS = ['diffusion_pytorch_model'];
/** The version of diffusers whose file layout is written. */
export const DIFFUSERS_VERSION = '0.42.0';

/** The configuration of a network as it stands in its folder. */
export interface StoredConfig {
  /** The path of the file, which errors name. */
  readonly where: string;
  readonly config: unknown;
}

/**
 * Reads `config.json` of a network's folder.
 * @param className what `_class_name` must be, if there is one
 * @throws GymError E_FILE where it is missing or broken, E_CONFIG where it is of another class
 */
export async function readConfig(folder: string, className: string): Promise<StoredConfig> {
  const where = join(folder, CONFIG);
  const config = await readPythonJson(where);
  const actual = (config as { _class_name?: unknown } | null)?._class_name;
  if (actual !== undefined && actual !== className)
    throw new GymError(
      'E_CONFIG',
      `${where}: \`_class_name\` is ${shownJson(actual)}; this folder holds no ${className}.`,
    );
  return { where, config };
}

/**
 * Makes something of the weights in a network's folder. They are read one tensor at a time.
 * @param use takes the path that errors name, and the weights by name, in PyTorch's layout
 * @throws GymError E_FILE where they are missing or broken, and what `use` throws
 */
export function useModelWeights<T>(folder: string, use: (path: string, state: StoredTensors) => T): Promise<T> {
  return useWeights(folder, MODEL_STEMS, use);
}

/** Writes a network's weights and configuration, in place of a network that the folder holds already. */
export async function writeModel(
  folder: string,
  className: string,
  config: Readonly<Record<string, unknown>>,
  parameters: ReadonlyMap<string, tf.Variable>,
): Promise<void> {
  await writeWeights(folder, MODEL_STEMS, parameters);
  await writeJson(join(folder, CONFIG), { _diffusers_version: DIFFUSERS_VERSION, ...config, _class_name: className });
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
