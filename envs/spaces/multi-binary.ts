import { GymError } from '../../core/errors.js';
import { isNdArray, type NdArray, sameShape, sizeOf } from '../../core/ndarray.js';
import { bits } from '../random-source.js';
import { checkShape } from './arguments.js';
import { BaseSpace, type FlatLayout, oneRestriction } from './base.js';
import { arrayOf } from './dtype.js';
import type { Space } from './space.js';

/** Restricts a sample of a {@link MultiBinary}, by an entry for each of its numbers in row-major order. */
export interface MultiBinarySample {
  /** 0 or 1 for each number that is to have this value, and 2 for each that is to be drawn. */
  mask?: ArrayLike<number> | undefined;
  /** How likely each number is to be 1. */
  probability?: ArrayLike<number> | undefined;
}

/** Arrays of zeros and ones of one shape. Samples are of type int8, but arrays of other types are elements too. */
export class MultiBinary extends BaseSpace<NdArray> {
  readonly kind = 'MultiBinary';
  override readonly shape: readonly number[];
  readonly flat: FlatLayout<NdArray>;

  /**
   * @param n the number of elements of a list, or a shape.
   * @throws GymError E_SPACE unless all are integers of at least 1.
   */
  constructor(n: number | readonly number[]) {
    super();
    this.shape = checkShape('MultiBinary', typeof n === 'number' ? [n] : n, 1);
    if (this.shape.length === 0)
      throw new GymError('E_SPACE', 'MultiBinary: n is an empty shape; name at least one size.');
    const size = sizeOf(this.shape);
    this.flat = {
      size,
      dtype: 'int8',
      bounds: (low, high, offset) => {
        low.fill(0, offset, offset + size);
        high.fill(1, offset, offset + size);
      },
      write: (value, into, offset) => into.set(value.data, offset),
      read: (from, offset) => ({
        data: arrayOf('unflatten', 'int8', from, offset, size),
        shape: this.shape,
      }),
    };
  }

  /**
   * A random element. Each number is 0 or 1 with equal probability, unless the mask or the probabilities say otherwise.
   */
  sample(options?: MultiBinarySample): NdArray<Int8Array> {
    const restriction = oneRestriction('MultiBinary', options);
    const size = this.flat.size;
    const given = restriction && options![restriction]!;
    if (given && given.length !== size)
      throw new GymError(
        'E_VALUE',
        `MultiBinary.sample: the ${restriction} has ${given.length} entries, it needs ${size}.`,
      );
    const data = new Int8Array(size);
    if (restriction === 'probability') {
      for (let i = 0; i < size; i++) {
        const p = given![i]!;
        if (!(p >= 0 && p <= 1))
          throw new GymError('E_VALUE', `MultiBinary.sample: probability[${i}] must be in [0, 1], actual value ${p}.`);
        data[i] = this.random.next() <= p ? 1 : 0;
      }
      return { data, shape: this.shape };
    }
    data.set(bits(this.random, size));
    for (let i = 0; given && i < size; i++) {
      const m = given[i]!;
      if (m !== 0 && m !== 1 && m !== 2)
        throw new GymError('E_VALUE', `MultiBinary.sample: mask[${i}] must be 0, 1 or 2, actual value ${m}.`);
      if (m !== 2) data[i] = m;
    }
    return { data, shape: this.shape };
  }

  contains(value: unknown): value is NdArray {
    if (!isNdArray(value) || !sameShape(value.shape, this.shape) || value.data.length !== this.flat.size) return false;
    for (const x of value.data) if (x !== 0 && x !== 1) return false;
    return true;
  }

  equals(other: Space<unknown>): boolean {
    return other instanceof MultiBinary && sameShape(other.shape, this.shape);
  }

  toJson(): unknown {
    return { kind: this.kind, shape: this.shape };
  }

  toString(): string {
    return this.shape.length === 1 ? `MultiBinary(${this.shape[0]})` : `MultiBinary((${this.shape.join(', ')}))`;
  }
}
