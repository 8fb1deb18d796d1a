import { GymError } from './errors.js';
import { isTooDeep, mostLevels } from './json.js';
import { isNdArray, sizeOf, type TypedArray } from './ndarray.js';
import { shown, shownJson, shownName } from './shown.js';
import type { Snapshot } from './snapshot.js';

type ArrayType = new (buffer: ArrayBuffer) => TypedArray;

const types = new Map<string, ArrayType & { readonly BYTES_PER_ELEMENT: number }>(
  Object.entries({
    Float32Array,
    Float64Array,
    Int8Array,
    Uint8Array,
    Uint8ClampedArray,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
  }),
);

/** The numbers that JSON lacks, by the text that stands for them. */
const numbers = new Map<unknown, number>([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
  ['-0', -0],
]);

/**
 * A snapshot as plain JSON: arrays become `{ $array: type, shape, data: base64 }`, numbers that JSON lacks `{ $number }`, and
 * a key of the snapshot's own that begins with `$` is written with one more.
 * @throws GymError E_STATE for what JSON would lose: objects of a class, functions, values of undefined in a list, or nesting
 *   without an end.
 */
export function toJson(value: Snapshot): unknown {
  if (isTooDeep(value))
    throw new GymError(
      'E_STATE',
      `snapshot: it is nested by more than ${mostLevels} levels, or contains itself; give plain values and arrays.`,
    );
  return written(value, 'snapshot');
}

function written(value: unknown, path: string): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number')
    return Number.isFinite(value) && !Object.is(value, -0)
      ? value
      : { $number: Object.is(value, -0) ? '-0' : String(value) };
  if (Array.isArray(value)) return value.map((part, i) => written(part, `${path}[${i}]`));
  if (isNdArray(value)) {
    const { data, shape } = value;
    const type = data[Symbol.toStringTag];
    if (!types.has(type) || data.length !== sizeOf(shape)) throw unsaved(path, value);
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    return { $array: type, shape, data: bytes.toString('base64') };
  }
  if (typeof value !== 'object') throw unsaved(path, value);
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) throw unsaved(path, value);
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, part]) =>
      part === undefined ? [] : [[key.startsWith('$') ? `$${key}` : key, written(part, `${path}.${shownName(key)}`)]],
    ),
  );
}

function unsaved(path: string, value: unknown): GymError {
  return new GymError(
    'E_STATE',
    `${path}: ${shown(value)} cannot be saved; a snapshot is made of numbers, texts, booleans, null, NdArrays, and lists and plain objects of these.`,
  );
}

/**
 * The inverse of {@link toJson}, bit for bit.
 * @throws GymError E_FILE on an array of an unknown type or of another length than its shape's, and on an unknown number.
 */
export function fromJson(value: unknown): Snapshot {
  if (Array.isArray(value)) return value.map(fromJson);
  if (typeof value !== 'object' || value === null) return value as Snapshot;
  const object = value as Record<string, unknown>;
  if (Object.hasOwn(object, '$number')) {
    const number = numbers.get(object.$number);
    if (number === undefined) throw damaged('number', value);
    return number;
  }
  if (Object.hasOwn(object, '$array')) return arrayOf(object);
  return Object.fromEntries(
    Object.entries(object).map(([key, part]) => [key.startsWith('$$') ? key.slice(1) : key, fromJson(part)]),
  );
}

function arrayOf(object: Readonly<Record<string, unknown>>): Snapshot {
  const { $array: name, shape, data } = object;
  const type = typeof name === 'string' ? types.get(name) : undefined;
  const isShape = Array.isArray(shape) && shape.every((n) => Number.isSafeInteger(n) && n >= 0);
  if (type === undefined || !isShape || typeof data !== 'string') throw damaged('array', object);
  const bytes = Buffer.from(data, 'base64');
  // What is no base64 is left out by its decoder, without a word.
  if (bytes.byteLength !== sizeOf(shape) * type.BYTES_PER_ELEMENT || bytes.toString('base64') !== data)
    throw damaged('array', object);
  const buffer = new ArrayBuffer(bytes.byteLength);
  new Uint8Array(buffer).set(bytes);
  return { data: new type(buffer), shape };
}

function damaged(what: string, value: unknown): GymError {
  return new GymError('E_FILE', `snapshot: ${shownJson(value)} is no ${what}; the file is damaged.`);
}
