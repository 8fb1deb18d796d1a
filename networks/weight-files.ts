import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type * as tf from '@tensorflow/tfjs';
import { GymError } from '../core/errors.js';
import { fileError, readPythonJson, removeFile } from '../core/files.js';
import { SafetensorsFile, streamSafetensors } from '../core/safetensors.js';
import { shownJson, shownName } from '../core/shown.js';
import type { Awaitable } from '../core/types.js';
import { type StoredTensors, torchShape, toTorch } from './weights.js';

// The weight files of a network's folder, as diffusers and transformers name them: one file, or shards with an index; in
// float32, or in a variant of lower precision.

/** The variants that are read, in the order of preference; the first is the full precision. */
const VARIANTS = ['', '.fp16', '.bf16'];

/**
 * The files that the weights of a network are read from: one file, or an index and its shards. As in Python, an index goes
 * before a single file; where there are none in full precision, those of the variants `fp16` and `bf16` are read.
 * @param stems with what the names of weight files begin; the first is that of safetensors, all are those of pickles
 * @returns the paths; the first is the one that errors name
 * @throws GymError E_FILE where there are none, or only such as are not read: it says what is there
 */
export async function weightFiles(folder: string, stems: readonly string[]): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    throw fileError('cannot read', folder, error);
  }
  const [stem] = stems;
  for (const variant of VARIANTS) {
    const indices = [`${stem}.safetensors.index${variant}.json`, `${stem}${variant}.safetensors.index.json`];
    const index = indices.find((name) => names.includes(name));
    if (index !== undefined) return [join(folder, index), ...(await shardsOf(folder, index))];
    if (names.includes(`${stem}${variant}.safetensors`)) return [join(folder, `${stem}${variant}.safetensors`)];
  }
  const pickles = names.filter((name) => stems.some((one) => name.startsWith(one)) && name.endsWith('.bin'));
  if (pickles.length > 0) throw onlyPickles(folder, stem!, pickles);
  throw new GymError(
    'E_FILE',
    `cannot read ${join(folder, `${stem}.safetensors`)}: it is not there, nor are shards with an index, nor its variants fp16 and bf16; there is ${names.map(shownName).sort().join(', ') || 'nothing'}.`,
  );
}

/** @param pickles the names of the files that hold the weights, which may be one or shards */
function onlyPickles(folder: string, stem: string, pickles: readonly string[]): GymError {
  const full = pickles.filter((name) => /^[^.]+\.bin$/.test(name));
  const chosen = full.length > 0 ? full : pickles;
  const files = chosen.map((name) => `'${join(folder, name)}'`).join(', ');
  const line =
    'import torch, safetensors.torch; safetensors.torch.save_file({name: tensor.clone() ' +
    `for file in [${files}] for name, tensor in torch.load(file, map_location='cpu', weights_only=True).items()}, ` +
    `'${join(folder, `${stem}.safetensors`)}', {'format': 'pt'})`;
  return new GymError(
    'E_FILE',
    `${folder}: the weights are ${chosen.map(shownName).join(', ')}, pickles, which run code when they are read, so this program reads none; convert them once, in Python: ${line}`,
  );
}

/** The paths of the shards that an index names, each once. */
async function shardsOf(folder: string, index: string): Promise<string[]> {
  const where = join(folder, index);
  const map = ((await readPythonJson(where)) as { weight_map?: unknown } | null)?.weight_map;
  const names = typeof map === 'object' && map !== null ? [...new Set(Object.values(map))] : [];
  if (names.length === 0)
    throw new GymError('E_FILE', `${where}: has no \`weight_map\` that names shards; restore it from its source.`);
  return names.map((name) => {
    if (typeof name !== 'string' || !/^[^/\\]+\.safetensors$/.test(name))
      throw new GymError(
        'E_FILE',
        `${where}: names ${shownJson(name)} as a shard, which is no safetensors file beside it.`,
      );
    return join(folder, name);
  });
}

/** Several files as one map by names. */
class Shards implements StoredTensors {
  readonly #files = new Map<string, SafetensorsFile>();

  constructor(files: readonly SafetensorsFile[]) {
    for (const file of files)
      for (const name of file.keys()) {
        const other = this.#files.get(name);
        if (other)
          throw new GymError(
            'E_FILE',
            `${file.path}: has the tensor \`${shownName(name)}\`, which ${other.path} has, too.`,
          );
        this.#files.set(name, file);
      }
  }

  keys(): Iterable<string> {
    return this.#files.keys();
  }

  get(name: string) {
    return this.#files.get(name)?.get(name);
  }
}

/**
 * Makes something of the weights in a folder, of which one tensor at a time is read.
 * @param stems as in {@link weightFiles}
 * @param use takes the path that errors name, and the weights by name, in PyTorch's layout, which can be read until it is done
 * @throws GymError E_FILE where they are missing or broken, and what `use` throws
 */
export async function useWeights<T>(
  folder: string,
  stems: readonly string[],
  use: (path: string, state: StoredTensors) => Awaitable<T>,
): Promise<T> {
  const [first, ...shards] = await weightFiles(folder, stems);
  const open: SafetensorsFile[] = [];
  try {
    for (const path of shards.length === 0 ? [first!] : shards) open.push(await SafetensorsFile.open(path));
    return await use(first!, open.length === 1 ? open[0]! : new Shards(open));
  } finally {
    for (const file of open) file.close();
  }
}

/**
 * Writes a network's weights as one file, one tensor at a time, and then removes all other weight files of the same network
 * from its folder. Python's libraries would read those instead: an index of shards goes before a single file, and a variant
 * such as `fp16` or a pickled `.bin` is read where a caller asks for it.
 * @param stems as in {@link weightFiles}
 * @throws GymError E_FILE when a file cannot be written or removed
 */
export async function writeWeights(
  folder: string,
  stems: readonly string[],
  parameters: ReadonlyMap<string, tf.Variable>,
): Promise<void> {
  const written = `${stems[0]}.safetensors`;
  const tensors = [...parameters].map(([name, variable]) => {
    const { shape } = variable;
    const read = async () => toTorch(name, { data: await variable.data(), shape }).data as Float32Array;
    return [name, { shape: torchShape(name, shape), read }] as const;
  });
  await streamSafetensors(join(folder, written), new Map(tensors));
  const variant = String.raw`(\.[\w-]+)?`;
  const shard = String.raw`(-\d+-of-\d+)?`;
  const index = String.raw`(\.index${variant}\.json)?`;
  const pattern = String.raw`^(${stems.join('|')})${variant}${shard}${variant}\.(safetensors|bin)${index}$`;
  const weights = new RegExp(pattern);
  const others = (await readdir(folder)).filter((name) => name !== written && weights.test(name));
  // An index is removed before its shards, so that no reader meets one whose shards are gone.
  others.sort((a, b) => Number(b.endsWith('.json')) - Number(a.endsWith('.json')));
  for (const name of others) await removeFile(join(folder, name));
}
