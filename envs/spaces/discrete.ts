import { GymError } from '../../core/errors.js';
import { shown } from '../../core/shown.js';
import { choiceIndex } from '../random-source.js';
import { BaseSpace, checkMask, checkProbability, type FlatLayout, indicesOf, oneRestriction } from './base.js';
import type { Space } from './space.js';

/** Restricts a sample of a {@link Discrete}, by an entry for each value. */
export interface DiscreteSample {
  /** 1 for each value that may be drawn, 0 for the others. If no value may be drawn, the sample is `start`. */
  mask?: ArrayLike<number | boolean> | undefined;
  /** How likely each value is to be drawn. The probabilities must sum to 1. */
  probability?: ArrayLike<number> | undefined;
}

/** The integers start .. start + n − 1, as plain numbers. */
export class Discrete extends BaseSpace<number> {
  readonly kind = 'Discrete';
  override readonly shape: readonly number[] = [];
  readonly n: number;
  readonly start: number;
  readonly flat: FlatLayout<number>;

  /** @throws GymError E_SPACE unless n is an integer of at least 1 and start an integer. */
  constructor(n: number, start = 0) {
    super();
    if (!Number.isSafeInteger(n) || n < 1)
      throw new GymError('E_SPACE', `Discrete: n must be an integer of at least 1, actual value ${shown(n)}.`);
    if (!Number.isSafeInteger(start))
      throw new GymError('E_SPACE', `Discrete: start must be an integer, actual value ${shown(start)}.`);
    this.n = n;
    this.start = start;
    this.flat = {
      size: n,
      dtype: 'int32',
      bounds: (low, high, offset) => {
        low.fill(0, offset, offset + n);
        high.fill(1, offset, offset + n);
      },
      write: (value, into, offset) => {
        into.fill(0, offset, offset + n);
        into[offset + value - start] = 1;
      },
      read: (from, offset) => start + hotIndex(from, offset, n, 'Discrete'),
    };
  }

  /** A random value: uniform among all, uniform among those whose mask is 1, or with the probabilities given. */
  sample(options?: DiscreteSample): number {
    const restriction = oneRestriction('Discrete', options);
    if (restriction === 'mask') {
      checkMask('Discrete.sample', options!.mask!, this.n);
      const valid = indicesOf(options!.mask!);
      return this.start + (valid.length === 0 ? 0 : valid[this.random.integer(valid.length)]!);
    }
    if (restriction === 'probability') {
      checkProbability('Discrete.sample', options!.probability!, this.n);
      return this.start + choiceIndex(this.random, options!.probability!);
    }
    return this.start + this.random.integer(this.n);
  }

  contains(value: unknown): value is number {
    return typeof value === 'number' && Number.isInteger(value) && value >= this.start && value < this.start + this.n;
  }

  equals(other: Space<unknown>): boolean {
    return other instanceof Discrete && other.n === this.n && other.start === this.start;
  }

  toJson(): unknown {
    return { kind: this.kind, n: this.n, start: this.start };
  }

  toString(): string {
    return this.start === 0 ? `Discrete(${this.n})` : `Discrete(${this.n}, start=${this.start})`;
  }
}

/** The index at which a one-hot vector is 1. @throws GymError E_VALUE when all its numbers are 0. */
export function hotIndex(from: ArrayLike<number>, offset: number, n: number, kind: string): number {
  for (let i = 0; i < n; i++) if (from[offset + i] !== 0) return i;
  throw new GymError('E_VALUE', `unflatten: the ${n} numbers of a ${kind} are all 0; one of them must be 1.`);
}
