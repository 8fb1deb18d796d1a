import type { NdArray } from '../../core/ndarray.js';
import type { Random } from '../../core/random.js';
import { meanAndStd } from '../../core/statistics.js';
import type { Span } from '../transitions.js';

/**
 * Of each episode a share of its trainable rows, drawn for each anew (ddpo-pytorch permutes each sample's timesteps).
 * @param trainable 1 for rows that have a gradient.
 * @param share more than 0 and at most 1; nothing is drawn for 1.
 */
export function trainedRows(spans: readonly Span[], trainable: Uint8Array, share: number, random: Random): Int32Array {
  const rows: number[] = [];
  for (const { first, end } of spans) {
    const own: number[] = [];
    for (let row = first; row < end; row++) if (trainable[row]) own.push(row);
    if (share === 1 || own.length === 0) {
      for (const row of own) rows.push(row);
      continue;
    }
    const count = Math.max(1, Math.floor(own.length * share));
    const drawn = random.permutation(own.length).slice(0, count).sort();
    for (const k of drawn) rows.push(own[k]!);
  }
  return Int32Array.from(rows);
}

/** The mean; NaN where there are no values. */
export function average(values: readonly number[]): number {
  return values.length === 0 ? Number.NaN : meanAndStd(values).mean;
}

export function concat(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}

/** A flat gradient as arrays by the parameters' names, in their own layout. */
export function byName(
  flat: Float32Array,
  parameters: ReadonlyMap<string, { readonly size: number; readonly shape: readonly number[] }>,
): Map<string, NdArray> {
  const named = new Map<string, NdArray>();
  let offset = 0;
  for (const [name, { size, shape }] of parameters) {
    named.set(name, { data: flat.subarray(offset, offset + size), shape });
    offset += size;
  }
  return named;
}
