import { join } from 'node:path';
import type { NdArray } from '../../core/ndarray.js';
import { readSafetensors } from '../../core/safetensors.js';
import { filesBelow } from './digests.js';

/** Whether no number is infinite or NaN. */
export function allFinite(data: ArrayLike<number>): boolean {
  // 0 · x is NaN for what is not finite, and the sum keeps it: three times as fast as asking each number.
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += 0 * data[i]!;
  return sum === 0;
}

/** The name of the first tensor that holds an infinite number or NaN, if any. */
export function nonFiniteTensor(tensors: ReadonlyMap<string, NdArray>): string | undefined {
  for (const [name, { data }] of tensors) if (!allFinite(data)) return name;
  return undefined;
}

/**
 * Looks for infinite numbers and NaN in all safetensors files below a folder.
 * @returns the first that is found, as `policy/weights.safetensors: \`actor/0/kernel\``, or undefined.
 */
export async function nonFiniteWeights(folder: string): Promise<string | undefined> {
  for (const file of await filesBelow(folder)) {
    if (!file.endsWith('.safetensors')) continue;
    const name = nonFiniteTensor(await readSafetensors(join(folder, file)));
    if (name !== undefined) return `${file}: \`${name}\``;
  }
  return undefined;
}
