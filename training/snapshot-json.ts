import { GymError } from '../core/errors.js';
import { isNdArray, type NdArray, type TypedArray } from '../core/ndarray.js';
import type { Snapshot } from '../core/snapshot.js';

const types: Readonly<Record<string, new (buffer: ArrayBuffer) => TypedArray>> = {
  Float32Array,
  Float64Array,
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
};

/** A snapshot as plain JSON: arrays become `{ $array: type, shape, data: base64 }`, numbers that JSON lacks `{ $number }`. */
export function toJson(value: Snapshot): unknown {
  if (typeof value === 'number')
    return Number.isFinite(value) && !Object.is(value, -0)
      ? value
      : { $number: Object.is(value, -0) ? '-0' : String(value) };
  if (Array.isArray(value)) return value.map(toJson);
  if (isNdArray(value)) {
    const { data, shape } = value as NdArray;
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    return { $array: data.constructor.name, shape, data: bytes.toString('base64') };
  }
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).flatMap(([k, v]) => (v === undefined ? [] : [[k, toJson(v)]])));
  return value;
}

/** The inverse of {@link toJson}, bit for bit. @throws GymError E_FILE on an unknown type of array. */
export function fromJson(value: unknown): Snapshot {
  if (Array.isArray(value)) return value.map(fromJson);
  if (typeof value !== 'object' || value === null) return value as Snapshot;
  const object = value as Record<string, unknown>;
  if (typeof object.$number === 'string') return Number(object.$number);
  if (typeof object.$array === 'string') {
    const type = types[object.$array];
    if (!type)
      throw new GymError('E_FILE', `snapshot: unknown type of array \`${object.$array}\`; the file is damaged.`);
    const bytes = Buffer.from(object.data as string, 'base64');
    const buffer = new ArrayBuffer(bytes.byteLength);
    new Uint8Array(buffer).set(bytes);
    return { data: new type(buffer), shape: object.shape as number[] };
  }
  return Object.fromEntries(Object.entries(object).map(([k, v]) => [k, fromJson(v)]));
}
