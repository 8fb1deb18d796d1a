import { GymError } from '../../core/errors.js';
import type { TypedArray } from '../../core/ndarray.js';
import { checkSize } from './arguments.js';

interface ArrayOfType {
  float32: Float32Array;
  float64: Float64Array;
  int8: Int8Array;
  uint8: Uint8Array;
  int16: Int16Array;
  uint16: Uint16Array;
  int32: Int32Array;
  uint32: Uint32Array;
}

/** The element types of array spaces, under NumPy's names. */
export type DType = keyof ArrayOfType;

/** The typed array of an element type. */
export type ArrayOf<D extends DType> = ArrayOfType[D];

interface TypeFacts {
  readonly array: new (length: number) => TypedArray;
  readonly kind: 'f' | 'i' | 'u';
  readonly bits: number;
  readonly low: number;
  readonly high: number;
}

const integer = (array: TypeFacts['array'], bits: number, signed: boolean): TypeFacts => ({
  array,
  kind: signed ? 'i' : 'u',
  bits,
  low: signed ? -(2 ** (bits - 1)) : 0,
  high: signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1,
});
const float = (array: TypeFacts['array'], bits: number): TypeFacts => ({
  array,
  kind: 'f',
  bits,
  low: Number.NEGATIVE_INFINITY,
  high: Number.POSITIVE_INFINITY,
});

const facts: Record<DType, TypeFacts> = {
  float32: float(Float32Array, 32),
  float64: float(Float64Array, 64),
  int8: integer(Int8Array, 8, true),
  uint8: integer(Uint8Array, 8, false),
  int16: integer(Int16Array, 16, true),
  uint16: integer(Uint16Array, 16, false),
  int32: integer(Int32Array, 32, true),
  uint32: integer(Uint32Array, 32, false),
};

export const dtypes = Object.keys(facts) as DType[];

/** Range and kind of an element type. */
export function typeFacts(dtype: DType): TypeFacts {
  return facts[dtype];
}

/** A zeroed array of an element type. */
export function zeros<D extends DType>(dtype: D, length: number): ArrayOf<D> {
  checkSize('an element', length);
  return new facts[dtype].array(length) as ArrayOf<D>;
}

// Found by the tag of the array and not by its constructor, since subclasses (Buffer) and arrays of other realms have
// the same tag.
const byTag = new Map<string, DType>(dtypes.map((dtype) => [zeros(dtype, 0)[Symbol.toStringTag], dtype]));
byTag.set('Uint8ClampedArray', 'uint8');

/** The element type of a typed array; undefined for types that no space has, such as BigInts and 16-bit floats. */
export function dtypeOf(array: TypedArray): DType | undefined {
  return byTag.get(array[Symbol.toStringTag]);
}

/**
 * An array of a type, made of the `length` numbers from `offset` on.
 * @throws GymError E_VALUE, beginning with `where`, on a number that the type, one of integers, cannot hold.
 */
export function arrayOf<D extends DType>(
  where: string,
  dtype: D,
  numbers: ArrayLike<number>,
  offset: number,
  length: number,
): ArrayOf<D> {
  const data = zeros(dtype, length);
  const exact = facts[dtype].kind !== 'f';
  for (let i = 0; i < length; i++) {
    const value = numbers[offset + i]!;
    data[i] = value;
    if (exact && data[i] !== value) throw new GymError('E_VALUE', `${where}: number ${i}, ${value}, is no ${dtype}.`);
  }
  return data;
}

/** Whether every value of the type `from` is one of the type `to` too: `numpy.can_cast(from, to, 'safe')`. */
export function canCast(from: DType | undefined, to: DType): boolean {
  if (from === to) return true;
  if (from === undefined) return false;
  const [a, b] = [facts[from], facts[to]];
  if (a.kind === 'f') return b.kind === 'f' && a.bits <= b.bits;
  // The mantissa of a float32, of 24 bits, holds integers of 16 bits, and that of a float64, of 53, those of 32 bits.
  if (b.kind === 'f') return a.bits < b.bits;
  return a.low >= b.low && a.high <= b.high;
}

/** The smallest type to which all of these can be cast: `numpy.result_type`. */
export function resultType(types: Iterable<DType>): DType {
  const all = [...types];
  const order: DType[] = ['int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'float32', 'float64'];
  const anyFloat = all.some((type) => facts[type].kind === 'f');
  return (
    order.find((to) => (!anyFloat || facts[to].kind === 'f') && all.every((from) => canCast(from, to))) ?? 'float64'
  );
}
