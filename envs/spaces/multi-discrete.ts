import { GymError } from '../../core/errors.js';
import { isNdArray, type NdArray, sameShape, sizeOf } from '../../core/ndarray.js';
import { shown } from '../../core/shown.js';
import { choiceIndex } from '../random-source.js';
import { checkList, checkShape } from './arguments.js';
import { BaseSpace, checkMask, checkProbability, type FlatLayout, indicesOf, oneRestriction } from './base.js';
import { hotIndex } from './discrete.js';
import { canCast, dtypeOf } from './dtype.js';
import type { Space } from './space.js';

/**
 * Restricts a sample of a {@link MultiDiscrete}. Each of its numbers, in row-major order, has a list with an entry for
 * each value.
 */
export interface MultiDiscreteSample {
  /** 1 for each value that may be drawn, 0 for the others. If a number may have no value, it is its `start`. */
  mask?: readonly ArrayLike<number | boolean>[] | undefined;
  /** How likely each value is to be drawn. The probabilities of each number must sum to 1. */
  probability?: readonly ArrayLike<number>[] | undefined;
}

export interface MultiDiscreteOptions {
  /** The lowest value of each number. Default 0. */
  start?: ArrayLike<number> | undefined;
  /** The shape of the arrays. Default: a list, [nvec.length]. */
  shape?: readonly number[] | undefined;
}

/** Arrays of int32 whose number i is one of start[i] .. start[i] + nvec[i] − 1. */
export class MultiDiscrete extends BaseSpace<NdArray<Int32Array>> {
  readonly kind = 'MultiDiscrete';
  override readonly shape: readonly number[];
  readonly nvec: Int32Array;
  readonly start: Int32Array;
  readonly flat: FlatLayout<NdArray<Int32Array>>;

  /** @throws GymError E_SPACE unless nvec are integers of at least 1 and start as many integers, all values int32. */
  constructor(nvec: ArrayLike<number>, { start, shape = [nvec?.length] }: MultiDiscreteOptions = {}) {
    super();
    checkList('MultiDiscrete: nvec', nvec);
    if (start !== undefined) checkList('MultiDiscrete: start', start);
    this.shape = checkShape('MultiDiscrete', shape, 1);
    this.nvec = Int32Array.from(nvec);
    this.start = Int32Array.from(start ?? { length: nvec.length }, (value) => value ?? 0);
    const size = sizeOf(shape);
    if (size !== nvec.length)
      throw new GymError(
        'E_SPACE',
        `MultiDiscrete: nvec has ${nvec.length} values, shape [${shape.join(', ')}] has ${size}.`,
      );
    if (this.start.length !== size)
      throw new GymError('E_SPACE', `MultiDiscrete: start has ${this.start.length} values, nvec ${size}.`);
    for (let i = 0; i < size; i++) {
      if (this.nvec[i] !== nvec[i] || nvec[i]! < 1)
        throw new GymError(
          'E_SPACE',
          `MultiDiscrete: nvec[${i}] must be an integer of at least 1, actual value ${shown(nvec[i])}.`,
        );
      if (start !== undefined && this.start[i] !== start[i])
        throw new GymError(
          'E_SPACE',
          `MultiDiscrete: start[${i}] must be an integer, actual value ${shown(start[i])}.`,
        );
      const last = this.start[i]! + this.nvec[i]! - 1;
      if (last > 2 ** 31 - 1)
        throw new GymError('E_SPACE', `MultiDiscrete: the last value of element ${i}, ${last}, is outside int32.`);
    }
    const offsets = new Float64Array(size + 1); // The sum of all counts may be too large for an int32.
    for (let i = 0; i < size; i++) offsets[i + 1] = offsets[i]! + this.nvec[i]!;
    const total = offsets[size]!;
    this.flat = {
      size: total,
      dtype: 'int32',
      bounds: (low, high, offset) => {
        low.fill(0, offset, offset + total);
        high.fill(1, offset, offset + total);
      },
      write: (value, into, offset) => {
        into.fill(0, offset, offset + total);
        for (let i = 0; i < size; i++) into[offset + offsets[i]! + value.data[i]! - this.start[i]!] = 1;
      },
      read: (from, offset) => ({
        data: Int32Array.from(
          { length: size },
          (_, i) => this.start[i]! + hotIndex(from, offset + offsets[i]!, this.nvec[i]!, 'MultiDiscrete'),
        ),
        shape: this.shape,
      }),
    };
  }

  /**
   * A random element. Each number is uniform among its values or those whose mask is 1, or has the probabilities given.
   */
  sample(options?: MultiDiscreteSample): NdArray<Int32Array> {
    const restriction = oneRestriction('MultiDiscrete', options);
    const { nvec, start, random } = this;
    const given = restriction && options![restriction]!;
    if (given && given.length !== nvec.length)
      throw new GymError(
        'E_VALUE',
        `MultiDiscrete.sample: the ${restriction} has ${given.length} entries, it needs ${nvec.length}.`,
      );
    const data = new Int32Array(nvec.length);
    for (let i = 0; i < data.length; i++) {
      if (restriction === 'mask') {
        checkMask(`MultiDiscrete.sample: element ${i}`, given![i]!, nvec[i]!);
        const valid = indicesOf(given![i]!);
        data[i] = start[i]! + (valid.length === 0 ? 0 : valid[random.integer(valid.length)]!);
      } else if (restriction === 'probability') {
        const p = given![i] as ArrayLike<number>;
        checkProbability(`MultiDiscrete.sample: element ${i}`, p, nvec[i]!);
        data[i] = start[i]! + choiceIndex(random, p);
      } else data[i] = start[i]! + Math.floor(random.next() * nvec[i]!);
    }
    return { data, shape: this.shape };
  }

  contains(value: unknown): value is NdArray<Int32Array> {
    if (!isNdArray(value) || !sameShape(value.shape, this.shape)) return false;
    const { data } = value;
    if (data.length !== this.nvec.length || !canCast(dtypeOf(data), 'int32')) return false;
    for (let i = 0; i < data.length; i++) {
      const index = data[i]! - this.start[i]!;
      if (index < 0 || index >= this.nvec[i]!) return false;
    }
    return true;
  }

  equals(other: Space<unknown>): boolean {
    return (
      other instanceof MultiDiscrete &&
      sameShape(other.shape, this.shape) &&
      this.nvec.every((n, i) => n === other.nvec[i] && this.start[i] === other.start[i])
    );
  }

  toJson(): unknown {
    return { kind: this.kind, nvec: [...this.nvec], start: [...this.start], shape: this.shape };
  }

  toString(): string {
    const start = this.start.every((s) => s === 0) ? '' : `, start=[${this.start.join(' ')}]`;
    const shape = this.shape.length === 1 ? '' : `, shape=(${this.shape.join(', ')})`;
    return `MultiDiscrete([${this.nvec.join(' ')}]${start}${shape})`;
  }
}
