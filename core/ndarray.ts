import { GymError } from './errors.js';

export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array;

/**
 * Host memory, row-major: what crosses every boundary between rooms, processes and machines.
 * Never written after it is handed over, so an array may be handed on or be a view of a batch.
 */
export interface NdArray<T extends TypedArray = TypedArray> {
  readonly data: T;
  readonly shape: readonly number[];
}

/** The number of elements of a shape; 1 for a scalar's `[]`. */
export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (const n of shape) size *= n;
  return size;
}

/**
 * An array over existing data.
 * @throws GymError E_SHAPE when the data's length is not the shape's size.
 */
export function ndarray<T extends TypedArray>(data: T, shape: readonly number[]): NdArray<T> {
  if (data.length !== sizeOf(shape))
    throw new GymError(
      'E_SHAPE',
      `ndarray: ${data.length} elements do not fill shape [${shape.join(', ')}] (${sizeOf(shape)}).`,
    );
  return { data, shape };
}

/** Whether a value looks like an {@link NdArray}. */
export function isNdArray(value: unknown): value is NdArray {
  return (
    typeof value === 'object' &&
    value !== null &&
    ArrayBuffer.isView((value as NdArray).data) &&
    !((value as NdArray).data instanceof (DataView as never)) &&
    Array.isArray((value as NdArray).shape)
  );
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}

type Constructor<T extends TypedArray> = {
  new (length: number): T;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): T;
};

/**
 * Joins arrays of one shape along a new first axis. Views that already lie one after another in one buffer are
 * recognised and not copied: `stack(unstack(x))` is free.
 * @throws GymError E_SHAPE on an empty list or on shapes that differ.
 */
export function stack<T extends TypedArray>(arrays: readonly NdArray<T>[]): NdArray<T> {
  const first = arrays[0];
  if (!first) throw new GymError('E_SHAPE', 'stack: an empty list has no shape.');
  const size = first.data.length;
  const type = first.data.constructor as Constructor<T>;
  let contiguous = true;
  for (let i = 0; i < arrays.length; i++) {
    const a = arrays[i]!;
    if (!sameShape(a.shape, first.shape))
      throw new GymError(
        'E_SHAPE',
        `stack: element ${i} has shape [${a.shape.join(', ')}], element 0 [${first.shape.join(', ')}].`,
      );
    contiguous &&=
      a.data.buffer === first.data.buffer &&
      a.data.byteOffset === first.data.byteOffset + i * size * first.data.BYTES_PER_ELEMENT;
  }
  const shape = [arrays.length, ...first.shape];
  if (contiguous) return { data: new type(first.data.buffer, first.data.byteOffset, size * arrays.length), shape };
  const data = new type(size * arrays.length);
  for (let i = 0; i < arrays.length; i++) data.set(arrays[i]!.data, i * size);
  return { data, shape };
}

/** The rows along the first axis, as views of the same buffer. */
export function unstack<T extends TypedArray>(array: NdArray<T>): NdArray<T>[] {
  const [n, ...shape] = array.shape;
  if (n === undefined) throw new GymError('E_SHAPE', 'unstack: a scalar has no first axis.');
  const size = sizeOf(shape);
  const rows: NdArray<T>[] = [];
  for (let i = 0; i < n; i++) rows.push({ data: array.data.subarray(i * size, (i + 1) * size) as T, shape });
  return rows;
}

/** A copy in a buffer of its own (what a transfer between threads needs). */
export function copy<T extends TypedArray>(array: NdArray<T>): NdArray<T> {
  return { data: array.data.slice() as T, shape: array.shape };
}
