import { GymError } from '../../core/errors.js';
import { isNdArray, type NdArray, sameShape, sizeOf, type TypedArray } from '../../core/ndarray.js';
import { shown } from '../../core/shown.js';
import { exponential } from '../random-source.js';
import { checkList, checkShape } from './arguments.js';
import { BaseSpace, type FlatLayout, oneRestriction } from './base.js';
import { type ArrayOf, arrayOf, canCast, type DType, dtypeOf, dtypes, typeFacts, zeros } from './dtype.js';
import type { SampleOptions, Space } from './space.js';

/** One bound for all numbers of an element, or a bound for each of them in row-major order. */
export type Bound = number | ArrayLike<number> | NdArray;

/** The values of a bound, and the shape that the Box takes from them where none is named. */
function boundOf(
  side: 'low' | 'high',
  bound: Bound,
): { values: number | ArrayLike<number>; shape?: readonly number[] | undefined } {
  if (typeof bound === 'number') return { values: bound };
  if (isNdArray(bound)) return { values: bound.data, shape: bound.shape };
  checkList(`Box: ${side}, where it is no number,`, bound);
  const values = bound as ArrayLike<number>;
  return { values, shape: [values.length] };
}

/**
 * Arrays of one shape and type. Each number of an array has a lowest and a highest value, both of which it may take.
 *
 * In a sample, a number with two finite bounds is uniform between them. With one finite bound its distance from that
 * bound is exponential with mean 1, and with none it is standard normal.
 */
export class Box<D extends DType = 'float32'> extends BaseSpace<NdArray<ArrayOf<D>>> {
  readonly kind = 'Box';
  override readonly shape: readonly number[];
  readonly dtype: D;
  /** The lowest value of each number, in row-major order. */
  readonly low: ArrayOf<D>;
  /** The highest value of each number. */
  readonly high: ArrayOf<D>;
  /** 1 for each number whose lowest value is finite. */
  readonly boundedBelow: Uint8Array;
  /** 1 for each number whose highest value is finite. */
  readonly boundedAbove: Uint8Array;
  readonly flat: FlatLayout<NdArray<ArrayOf<D>>>;
  /** Whether all numbers have the same bounds. Then membership is quicker to check. */
  readonly #uniform: boolean;

  /**
   * @param low the lowest value of each number; -Infinity for none.
   * @param high the highest value of each number; Infinity for none.
   * @param shape default: the shape of the bounds if these are lists or arrays, and [1] if both are numbers.
   * @throws GymError E_SPACE on a bound that is NaN, outside the type, or above the other; on bounds of another shape
   *   (lists must have as many values as the shape).
   */
  constructor(low: Bound, high: Bound, shape?: readonly number[], dtype: D = 'float32' as D) {
    super();
    if (!dtypes.includes(dtype))
      throw new GymError('E_SPACE', `Box: dtype must be one of ${dtypes.join(', ')}; actual value ${shown(dtype)}.`);
    this.shape = checkShape('Box', shape ?? boundOf('low', low).shape ?? boundOf('high', high).shape ?? [1], 0);
    const size = sizeOf(this.shape);
    this.dtype = dtype;
    this.low = zeros(dtype, size);
    this.high = zeros(dtype, size);
    this.boundedBelow = new Uint8Array(size);
    this.boundedAbove = new Uint8Array(size);
    this.#fill('low', low, size);
    this.#fill('high', high, size);
    let uniform = true;
    for (let i = 0; i < size; i++) {
      if (this.low[i]! > this.high[i]!)
        throw new GymError('E_SPACE', `Box: low[${i}] = ${this.low[i]} is above high[${i}] = ${this.high[i]}.`);
      uniform &&= this.low[i] === this.low[0] && this.high[i] === this.high[0];
    }
    this.#uniform = uniform;
    this.flat = {
      size,
      dtype,
      bounds: (lows, highs, offset) => {
        for (let i = 0; i < size; i++) {
          lows[offset + i] = this.boundedBelow[i] ? this.low[i]! : Number.NEGATIVE_INFINITY;
          highs[offset + i] = this.boundedAbove[i] ? this.high[i]! : Number.POSITIVE_INFINITY;
        }
      },
      write: (value, into: TypedArray, offset) => into.set(value.data, offset),
      read: (from, offset) => ({ data: arrayOf('unflatten', dtype, from, offset, size), shape: this.shape }),
    };
  }

  #fill(side: 'low' | 'high', bound: Bound, size: number): void {
    const { values, shape } = boundOf(side, bound);
    const facts = typeFacts(this.dtype);
    if (
      typeof values !== 'number' &&
      (values.length !== size || (isNdArray(bound) && !sameShape(bound.shape, this.shape)))
    )
      throw new GymError(
        'E_SPACE',
        `Box: ${side} has ${values.length} values of shape [${shape?.join(', ')}], it needs ${size} of shape [${this.shape.join(', ')}].`,
      );
    const into = this[side];
    const bounded = side === 'low' ? this.boundedBelow : this.boundedAbove;
    for (let i = 0; i < size; i++) {
      const value = typeof values === 'number' ? values : values[i]!;
      const where = `Box: ${side}[${i}]`;
      if (typeof value !== 'number' || Number.isNaN(value))
        throw new GymError('E_SPACE', `${where} is ${shown(value)}; a bound is a number or ±Infinity.`);
      if (value === (side === 'low' ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY))
        throw new GymError('E_SPACE', `${where} = ${value} leaves no element.`);
      bounded[i] = Number.isFinite(value) ? 1 : 0;
      if (facts.kind === 'u' && !bounded[i])
        throw new GymError('E_SPACE', `${where} = ${value}: an unsigned type needs finite bounds.`);
      if (facts.kind !== 'f' && bounded[i] && !(value >= facts.low && value <= facts.high))
        throw new GymError('E_SPACE', `${where} = ${value} is outside ${this.dtype} (${facts.low} to ${facts.high}).`);
      if (facts.kind !== 'f' && bounded[i] && !Number.isInteger(value))
        throw new GymError('E_SPACE', `${where} = ${value} is not an integer, as ${this.dtype} needs.`);
      into[i] = bounded[i] ? value : facts.kind === 'f' ? value : side === 'low' ? facts.low : facts.high;
      if (bounded[i] && !Number.isFinite(into[i]))
        throw new GymError('E_SPACE', `${where} = ${value} is outside ${this.dtype}; for no bound give ${into[i]}.`);
    }
  }

  /** Whether all numbers have finite bounds on this side, or on both. */
  isBounded(manner: 'below' | 'above' | 'both' = 'both'): boolean {
    const below = this.boundedBelow.every((b) => b === 1);
    const above = this.boundedAbove.every((b) => b === 1);
    return manner === 'below' ? below : manner === 'above' ? above : below && above;
  }

  /** A random element. @throws GymError E_VALUE on a mask or probabilities, since a Box has neither. */
  sample(options?: SampleOptions): NdArray<ArrayOf<D>> {
    if (oneRestriction('Box', options) !== undefined)
      throw new GymError('E_VALUE', 'Box.sample: a Box takes no mask and no probability.');
    const facts = typeFacts(this.dtype);
    const inclusive = facts.kind === 'f' ? 0 : 1; // An integer is the floor of a number drawn below high + 1.
    const data = zeros(this.dtype, this.low.length);
    const put = (i: number, value: number) => {
      data[i] = facts.kind === 'f' ? value : Math.min(facts.high, Math.max(facts.low, Math.floor(value)));
    };
    // NumPy draws all numbers of one distribution, then those of the next. Only in this order do equal seeds give equal
    // samples.
    const { random, low, high, boundedBelow, boundedAbove } = this;
    for (let i = 0; i < data.length; i++) if (!boundedBelow[i] && !boundedAbove[i]) put(i, random.normal());
    for (let i = 0; i < data.length; i++)
      if (boundedBelow[i] && !boundedAbove[i]) put(i, low[i]! + exponential(random));
    for (let i = 0; i < data.length; i++)
      if (!boundedBelow[i] && boundedAbove[i]) put(i, high[i]! + inclusive - exponential(random));
    for (let i = 0; i < data.length; i++)
      // Twice a number between the halves of the bounds: the difference of the bounds themselves may be too large for a
      // double.
      if (boundedBelow[i] && boundedAbove[i]) put(i, 2 * random.uniform(low[i]! / 2, (high[i]! + inclusive) / 2));
    return { data, shape: this.shape };
  }

  /**
   * Whether a value is an array of this shape within the bounds. Its type need only be one that casts safely into the
   * space's type, so that an array of int8 is an element of a float32 Box, and one of float64 is not.
   */
  contains(value: unknown): value is NdArray<ArrayOf<D>> {
    if (!isNdArray(value) || !sameShape(value.shape, this.shape)) return false;
    const { data } = value;
    const { low, high } = this;
    if (data.length !== low.length || !canCast(dtypeOf(data), this.dtype)) return false;
    if (this.#uniform) {
      const [least, most] = [low[0] ?? 0, high[0] ?? 0];
      for (let i = 0; i < data.length; i++) if (!(data[i]! >= least && data[i]! <= most)) return false;
      return true;
    }
    for (let i = 0; i < data.length; i++) if (!(data[i]! >= low[i]! && data[i]! <= high[i]!)) return false;
    return true;
  }

  override hasForm(value: unknown): boolean {
    return (
      isNdArray(value) &&
      sameShape(value.shape, this.shape) &&
      value.data.length === this.flat.size &&
      dtypeOf(value.data) !== undefined
    );
  }

  /**
   * Whether the other space is a Box of the same type and shape whose bounds are close to these, as in NumPy's
   * `allclose`.
   */
  equals(other: Space<unknown>): boolean {
    if (!(other instanceof Box) || other.dtype !== this.dtype || !sameShape(other.shape, this.shape)) return false;
    const close = (a: TypedArray, b: TypedArray) =>
      a.every((x: number, i: number) => x === b[i] || Math.abs(x - b[i]!) <= 1e-8 + 1e-5 * Math.abs(b[i]!));
    const same = (a: Uint8Array, b: Uint8Array) => a.every((x, i) => x === b[i]);
    return (
      close(this.low, other.low) &&
      close(this.high, other.high) &&
      same(this.boundedBelow, other.boundedBelow) &&
      same(this.boundedAbove, other.boundedAbove)
    );
  }

  toJson(): unknown {
    // JSON has no infinities, so null stands for a bound that is none.
    const list = (values: TypedArray, bounded: Uint8Array) => {
      const plain = Array.from(values, (v, i) => (bounded[i] ? v : null));
      return plain.length > 0 && plain.every((v) => v === plain[0]) ? plain[0] : plain;
    };
    return {
      kind: this.kind,
      low: list(this.low, this.boundedBelow),
      high: list(this.high, this.boundedAbove),
      shape: this.shape,
      dtype: this.dtype,
    };
  }

  toString(): string {
    const range = (values: TypedArray, bounded: Uint8Array, infinite: string) => {
      const text = Array.from(values, (v, i) => (bounded[i] ? String(v) : infinite));
      return text.every((t) => t === text[0]) ? (text[0] ?? '') : `[${text.join(' ')}]`;
    };
    return `Box(${range(this.low, this.boundedBelow, '-inf')}, ${range(this.high, this.boundedAbove, 'inf')}, (${this.shape.join(', ')}${this.shape.length === 1 ? ',' : ''}), ${this.dtype})`;
  }
}
