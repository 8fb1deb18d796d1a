import type { RandomState } from '../../core/random.js';

/**
 * The set of values that an observation or an action may take.
 * Sampling laws, membership and flattening are Gymnasium's.
 */
export interface Space<T> {
  /** The class's name: 'Box', 'Discrete', ... */
  readonly kind: string;
  /** Shape of one element, or undefined where elements are not one array. */
  readonly shape?: readonly number[];
  /** One random element, from the space's own stream. */
  sample(): T;
  /** Whether the value is an element. Never throws. */
  contains(value: unknown): value is T;
  /** Seeds the space's own stream; `env.reset({ seed })` does not. */
  seed(seed: number | string): void;
  /** Where the space's own stream is, and back to there. */
  randomState(): RandomState;
  restoreRandomState(state: RandomState): void;
  /** Same kind, bounds, shape and type. */
  equals(other: Space<unknown>): boolean;
  /** Plain JSON that `spaceFromJson` turns into an equal space. */
  toJson(): unknown;
  toString(): string;
}

/** The type of a space's elements. */
export type ElementOf<S> = S extends Space<infer T> ? T : never;
