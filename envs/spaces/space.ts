import type { RandomKind, RandomSourceState } from '../random-source.js';

/** Plain JSON: the stream of a space, and those of the spaces in it. */
export interface SpaceState {
  readonly own: RandomSourceState;
  readonly parts?: readonly SpaceState[] | undefined;
}

/** What restricts a sample; each space says the form of its own. At most one of the two. */
export interface SampleOptions {
  /** Which elements may be drawn. */
  mask?: unknown;
  /** How likely each is to be drawn. */
  probability?: unknown;
}

/**
 * The set of values that an observation or an action may take.
 * Sampling laws, membership and flattening are Gymnasium's.
 */
export interface Space<T> {
  /** The class's name: 'Box', 'Discrete', ... */
  readonly kind: string;
  /** Shape of one element, or undefined where elements are not one array. */
  readonly shape?: readonly number[] | undefined;
  /** One random element, from the space's own stream. */
  sample(options?: SampleOptions): T;
  /** Whether the value is an element. Never throws. */
  contains(value: unknown): value is T;
  /** Seeds the space's own stream; `env.reset({ seed })` does not. `'numpy'` gives the samples that Gymnasium gives. */
  seed(seed: number | string, random?: RandomKind): void;
  /** Where the space's own stream is, and back to there. */
  randomState(): SpaceState;
  restoreRandomState(state: SpaceState): void;
  /** Same kind, bounds, shape and type. */
  equals(other: Space<unknown>): boolean;
  /** Plain JSON that `spaceFromJson` turns into an equal space. */
  toJson(): unknown;
  toString(): string;
}

/** The type of a space's elements. */
export type ElementOf<S> = S extends Space<infer T> ? T : never;
