import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import * as z from 'zod';
import { GymError } from '../core/errors.js';
import { readJson } from '../core/files.js';
import type { NdArray } from '../core/ndarray.js';
import { readSafetensors, readSafetensorsHeader, writeSafetensors } from '../core/safetensors.js';
import { checkedFile } from '../core/schema.js';
import { shownName, shownShape } from '../core/shown.js';

/** The adapter of one linear layer, in PyTorch's layout: the weight changes by scale · up · down. */
export interface LoraLayer {
  /** A, [r, in]. */
  readonly down: NdArray;
  /** B, [out, r]. */
  readonly up: NdArray;
  readonly scale: number;
}

/** The name of the file that diffusers' `save_lora_weights` writes and `load_lora_weights` looks for. */
export const LORA_FILE = 'pytorch_lora_weights.safetensors';
const PEFT_FILE = 'adapter_model.safetensors';
const PEFT_CONFIG = 'adapter_config.json';
/** Where diffusers and its `save_lora_adapter` keep peft's configuration: as JSON among the file's metadata. */
const METADATA = 'lora_adapter_metadata';

/** What is read of peft's `LoraConfig`. */
const peftConfig = z.looseObject({
  r: z.number().optional(),
  lora_alpha: z.number().optional(),
  alpha_pattern: z.record(z.string(), z.number()).optional(),
  use_rslora: z.boolean().optional(),
  use_dora: z.boolean().optional(),
});
type PeftConfig = z.output<typeof peftConfig>;

/** What a tensor of a LoRA file is: a factor of a layer, or its alpha. */
interface Part {
  /** The layer's name; as kohya writes it, with underscores for dots, where `flat` is true. */
  readonly layer: string;
  readonly flat?: boolean;
  readonly kind: 'down' | 'up' | 'alpha';
}

/** Which layer and factor a tensor is, by its name in any of the formats. */
function partOf(key: string): Part | undefined {
  // kohya's scripts: lora_unet_<layer with underscores>.lora_down.weight, .lora_up.weight, .alpha
  const kohya = /^lora_unet_(.+)\.(?:lora_(down|up)\.weight|(alpha))$/.exec(key);
  if (kohya) return { layer: kohya[1]!, flat: true, kind: (kohya[2] ?? kohya[3]) as Part['kind'] };
  const name = key.replace(/^(base_model\.model\.)?(unet\.)?/, '');
  // diffusers up to 0.20, `save_attn_procs`: <attention>.processor.to_q_lora.down.weight
  const processor = /^(.+)\.processor\.(to_[qkv]|to_out)_lora\.(down|up)\.weight$/.exec(name);
  if (processor) {
    const projection = processor[2] === 'to_out' ? 'to_out.0' : processor[2];
    return { layer: `${processor[1]}.${projection}`, kind: processor[3] as Part['kind'] };
  }
  // diffusers' `save_lora_weights`: unet.<layer>.lora.down.weight
  const diffusers = /^(.+?)\.(?:lora\.(down|up)\.weight|(alpha))$/.exec(name);
  if (diffusers) return { layer: diffusers[1]!, kind: (diffusers[2] ?? diffusers[3]) as Part['kind'] };
  // peft's `save_pretrained`, with the prefix base_model.model, and diffusers' `save_lora_adapter`, without
  const peft = /^(.+)\.lora_([AB])(?:\.default)?\.weight$/.exec(name);
  if (peft) return { layer: peft[1]!, kind: peft[2] === 'A' ? 'down' : 'up' };
  return undefined;
}

/**
 * Reads the LoRA of a UNet from a safetensors file, or a folder that holds one, in any of the formats in use: that of
 * diffusers' `save_lora_weights`, a folder of peft's `save_pretrained`, kohya's file, the attention processors of old
 * versions of diffusers, and the file of `unet.save_lora_adapter`.
 *
 * A layer's scale is its alpha / rank, where the file says an alpha: as a tensor, in the metadata, or in peft's
 * `adapter_config.json`. Where it says none, it is 1.
 * @param layers the names of the network's linear layers
 * @throws GymError E_FILE where the file is missing or broken, says something that is not supported, or has a layer that
 *   the network lacks
 */
export async function readLora(path: string, layers: readonly string[]): Promise<Map<string, LoraLayer>> {
  const file = weightsFile(path);
  const wrong = (what: string) => new GymError('E_FILE', `${file}: ${what}.`);
  const config = await configOf(file);
  if (config?.use_dora)
    throw wrong('it is a DoRA, which scales the rows of weights too; only plain LoRAs are supported');
  const byFlatName = new Map(layers.map((layer) => [layer.replaceAll('.', '_'), layer]));
  const known = new Set(layers);
  const found = new Map<string, Partial<Record<Part['kind'], NdArray>>>();
  for (const [key, value] of await readSafetensors(file)) {
    const part = partOf(key);
    if (/^(text_encoder|lora_te)/.test(key))
      throw wrong(`it adapts the text encoder (tensor ${shownName(key)}), and only LoRAs of the UNet are supported`);
    if (!part) throw wrong(`tensor ${shownName(key)} is of no format of LoRA that is known here`);
    const layer = part.flat ? byFlatName.get(part.layer) : known.has(part.layer) ? part.layer : undefined;
    if (layer === undefined)
      throw wrong(
        `tensor ${shownName(key)} belongs to no linear layer of the network; check that the LoRA was trained on this model`,
      );
    const entry = found.get(layer) ?? {};
    entry[part.kind] = value;
    found.set(layer, entry);
  }
  if (found.size === 0) throw wrong('it holds no tensors');
  return new Map(
    [...found].map(([layer, { down, up, alpha }]) => {
      if (!down || !up) throw wrong(`layer \`${layer}\` has no ${down ? 'up' : 'down'} factor`);
      const [a, b] = [matrix(down), matrix(up)];
      const rank = a?.shape[0];
      if (!a || !b || !rank || rank !== b.shape[1])
        throw wrong(
          `the factors of \`${layer}\` have shapes ${shownShape(down.shape)} and ${shownShape(up.shape)}, which are not [r, in] and [out, r]`,
        );
      const ownAlpha = alpha ? Number(alpha.data[0]) : alphaOf(config, layer);
      const scale = ownAlpha === undefined ? 1 : ownAlpha / (config?.use_rslora ? Math.sqrt(rank) : rank);
      if (!(Number.isFinite(scale) && scale !== 0)) throw wrong(`the alpha of \`${layer}\` is ${ownAlpha}`);
      return [layer, { down: a, up: b, scale }];
    }),
  );
}

/**
 * Writes a LoRA in the format of diffusers' `save_lora_weights`, with the configuration from which its
 * `load_lora_weights` (since version 0.35) takes the scales. Older versions know of no scale, and need layers whose scale
 * is 1.
 * @throws GymError E_FILE when it cannot be written
 */
export async function writeLora(path: string, layers: ReadonlyMap<string, LoraLayer>): Promise<void> {
  const tensors = new Map<string, NdArray>();
  const ranks: Record<string, number> = {};
  const alphas: Record<string, number> = {};
  for (const [layer, { down, up, scale }] of layers) {
    tensors.set(`unet.${layer}.lora.down.weight`, down);
    tensors.set(`unet.${layer}.lora.up.weight`, up);
    ranks[layer] = down.shape[0]!;
    alphas[layer] = scale * down.shape[0]!;
  }
  const [r, alpha] = [Object.values(ranks)[0]!, Object.values(alphas)[0]!];
  const others = (values: Record<string, number>, common: number) =>
    Object.fromEntries(Object.entries(values).filter(([, value]) => value !== common));
  const config = {
    r,
    lora_alpha: alpha,
    rank_pattern: others(ranks, r),
    alpha_pattern: others(alphas, alpha),
    target_modules: [...layers.keys()],
  };
  const prefixed = Object.fromEntries(Object.entries(config).map(([key, value]) => [`unet.${key}`, value]));
  await writeSafetensors(path, tensors, { [METADATA]: JSON.stringify(prefixed, null, 2) });
}

/**
 * The files that {@link readLora} reads of a path: the weights, and peft's configuration where that is beside them.
 * @throws GymError E_FILE when it is not there
 */
export function loraSources(path: string): string[] {
  const file = weightsFile(path);
  return basename(file) === PEFT_FILE ? [file, join(dirname(file), PEFT_CONFIG)] : [file];
}

/** The file that a path means. @throws GymError E_FILE */
function weightsFile(path: string): string {
  if (!existsSync(path))
    throw new GymError('E_FILE', `LoRA ${path}: there is no such file or folder; give the path of one.`);
  const inside = [PEFT_FILE, LORA_FILE].map((name) => join(path, name));
  const file = statSync(path).isDirectory() ? inside.find((name) => existsSync(name)) : path;
  if (file === undefined)
    throw new GymError('E_FILE', `LoRA ${path}: the folder holds neither ${PEFT_FILE} nor ${LORA_FILE}.`);
  if (!file.endsWith('.safetensors'))
    throw new GymError(
      'E_FILE',
      `LoRA ${file}: only safetensors files are read; write a pickled one (.bin, .pt) again by safetensors.torch.save_file.`,
    );
  return file;
}

/** The configuration of peft that goes with a file: beside it, or in its metadata; undefined where there is none. */
async function configOf(file: string): Promise<PeftConfig | undefined> {
  if (basename(file) === PEFT_FILE) {
    const path = join(dirname(file), PEFT_CONFIG);
    return checkedFile(peftConfig, await readJson(path), path);
  }
  const { [METADATA]: text } = (await readSafetensorsHeader(file)).metadata;
  if (text === undefined) return undefined;
  const where = `${file}, metadata ${METADATA}`;
  let all: unknown;
  try {
    all = JSON.parse(text);
  } catch {
    throw new GymError('E_FILE', `${where}: it is no JSON; write the LoRA again, or without this entry.`);
  }
  const own = Object.entries((all ?? {}) as object).map(([key, value]) => [key.replace(/^unet\./, ''), value]);
  return checkedFile(peftConfig, Object.fromEntries(own), where);
}

/** The alpha of a layer by peft's configuration: that of a pattern which is the end of its name, or the common one. */
function alphaOf(config: PeftConfig | undefined, layer: string): number | undefined {
  const own = Object.entries(config?.alpha_pattern ?? {}).find(([end]) => layer === end || layer.endsWith(`.${end}`));
  return own?.[1] ?? config?.lora_alpha;
}

/** A matrix, also where it is stored as the kernel of a 1×1 convolution. */
function matrix({ data, shape }: NdArray): NdArray | undefined {
  const [rows, columns, ...kernel] = shape;
  return columns !== undefined && kernel.every((n) => n === 1) ? { data, shape: [rows!, columns] } : undefined;
}
