import { GymError } from '../../core/errors.js';
import type { TypedArray } from '../../core/ndarray.js';
import { shown } from '../../core/shown.js';
import { type RandomKind, type RandomSource, randomSource, restoreRandomSource } from '../random-source.js';
import type { DType } from './dtype.js';
import type { SampleOptions, Space, SpaceState } from './space.js';

/** How the elements of a space become one flat list of numbers. */
export interface FlatLayout<T> {
  /** The number of numbers of an element. */
  readonly size: number;
  readonly dtype: DType;
  /** Writes the lowest and the highest value of each number into the two arrays, from `offset` on. */
  bounds(low: Float64Array, high: Float64Array, offset: number): void;
  /** Writes the numbers of an element into an array, from `offset` on. */
  write(value: T, into: TypedArray, offset: number): void;
  /** The element whose numbers stand in an array, from `offset` on. */
  read(from: TypedArray, offset: number): T;
}

/** What all spaces share: a stream of random numbers of their own, which is made when it is first needed. */
export abstract class BaseSpace<T> implements Space<T> {
  abstract readonly kind: string;
  readonly shape?: readonly number[] | undefined;
  #random: RandomSource | undefined;

  protected get random(): RandomSource {
    this.#random ??= randomSource();
    return this.#random;
  }

  /** How elements flatten; undefined where they have no fixed number of numbers (Sequence, Graph). */
  abstract readonly flat?: FlatLayout<T> | undefined;
  abstract sample(options?: SampleOptions): T;
  abstract contains(value: unknown): value is T;
  /**
   * Whether a value has the form of an element. This is less than to be one: the numbers of a Box may lie outside its
   * bounds or be NaN. So the observations of an environment that diverges can still be flattened and saved.
   */
  hasForm(value: unknown): boolean {
    return this.contains(value);
  }
  abstract equals(other: Space<unknown>): boolean;
  abstract toJson(): unknown;
  abstract toString(): string;

  /** The spaces of which this one is made up. */
  protected get parts(): readonly Space<unknown>[] {
    return [];
  }

  /**
   * Seeds the space. The spaces in it are seeded with integers that are drawn from its own new stream.
   * @throws GymError E_VALUE on a seed that is neither text nor an integer of at least 0.
   */
  seed(seed: number | string, random: RandomKind = 'seedrandom'): void {
    if (typeof seed !== 'number' && typeof seed !== 'string')
      throw new GymError('E_VALUE', `${this.kind}.seed: needs a number or text, actual value ${shown(seed)}.`);
    this.#random = randomSource(seed, random);
    for (const part of this.parts) part.seed(this.random.integer(2 ** 31 - 1), random);
    if (this.parts.length > 0 && this.reseeds) this.#random = randomSource(seed, random);
  }

  /**
   * Whether the space's own stream begins anew after the seeds of its parts were drawn, as in Gymnasium's OneOf,
   * Sequence and Graph.
   */
  protected get reseeds(): boolean {
    return false;
  }

  randomState(): SpaceState {
    const own = this.random.state();
    return this.parts.length === 0 ? { own } : { own, parts: this.parts.map((part) => part.randomState()) };
  }

  restoreRandomState(state: SpaceState): void {
    const parts = state.parts ?? [];
    if (parts.length !== this.parts.length)
      throw new GymError(
        'E_STATE',
        `${this.kind}: the saved random state has ${parts.length} parts, this space has ${this.parts.length}; restore it into the space it was taken from.`,
      );
    this.#random = restoreRandomSource(state.own);
    this.parts.forEach((part, i) => {
      part.restoreRandomState(parts[i]!);
    });
  }
}

/**
 * Which of mask and probability was given.
 * @throws GymError E_VALUE when both were, or when the one that was is neither a list nor an object.
 */
export function oneRestriction(kind: string, options: SampleOptions | undefined): 'mask' | 'probability' | undefined {
  const mask = options?.mask !== undefined;
  const probability = options?.probability !== undefined;
  if (mask && probability)
    throw new GymError('E_VALUE', `${kind}.sample: got a mask and a probability; give one of the two.`);
  const name = mask ? 'mask' : probability ? 'probability' : undefined;
  if (name !== undefined) checkRestriction(`${kind}.sample: ${name}`, options![name]);
  return name;
}

function checkRestriction(where: string, restriction: unknown): void {
  if (typeof restriction !== 'object' || restriction === null)
    throw new GymError(
      'E_VALUE',
      `${where} must be a list, or an object for a Dict, actual value ${shown(restriction)}; leave it out for none.`,
    );
}

/** @throws GymError E_VALUE unless the mask is `length` values of 0 and 1 (or true and false). */
export function checkMask(where: string, mask: ArrayLike<number | boolean>, length: number): void {
  if (mask?.length !== length)
    throw new GymError('E_VALUE', `${where}: the mask has ${mask?.length} entries, it needs ${length}.`);
  for (let i = 0; i < length; i++)
    if (Number(mask[i]) !== 0 && Number(mask[i]) !== 1)
      throw new GymError('E_VALUE', `${where}: mask[${i}] must be 0 or 1, actual value ${mask[i]}.`);
}

/** @throws GymError E_VALUE unless these are `length` values in [0, 1] that sum to 1. */
export function checkProbability(where: string, probability: ArrayLike<number>, length: number): void {
  if (probability?.length !== length)
    throw new GymError('E_VALUE', `${where}: ${probability?.length} probabilities, it needs ${length}.`);
  let sum = 0;
  for (let i = 0; i < length; i++) {
    const p = probability[i]!;
    if (!(p >= 0 && p <= 1))
      throw new GymError('E_VALUE', `${where}: probability[${i}] must be in [0, 1], actual value ${p}.`);
    sum += p;
  }
  if (Math.abs(sum - 1) > 1e-5)
    throw new GymError('E_VALUE', `${where}: the probabilities sum to ${sum}, they must sum to 1.`);
}

/** The indices where a mask is set. */
export function indicesOf(mask: ArrayLike<number | boolean>): number[] {
  const indices: number[] = [];
  for (let i = 0; i < mask.length; i++) if (mask[i]) indices.push(i);
  return indices;
}
