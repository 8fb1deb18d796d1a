import type { RandomKind, RandomSourceState } from '../random-source.js';

/** The states of the random streams of a space and of the spaces in it, as plain JSON. */
export interface SpaceState {
  readonly own: RandomSourceState;
  readonly parts?: readonly SpaceState[] | undefined;
}

/** What restricts a sample: one of a mask and probabilities, whose form each space says for itself. */
export interface SampleOptions {
  /** Which elements may be drawn. */
  mask?: unknown;
  /** How likely each is to be drawn. */
  probability?: unknown;
}

/**
 * The set of values that an observation or an action may take. Which values are elements, how they are sampled, and how
 * they are flattened is as in Gymnasium.
 */
export interface Space<T> {
  /** The class's name: 'Box', 'Discrete', ... */
  readonly kind: string;
  /** The shape of an element; undefined where an element is not one array or number. */
  readonly shape?: readonly number[] | undefined;
  /** A random element, drawn from the space's own stream of random numbers. */
  sample(options?: SampleOptions): T;
  /** Whether a value is an element. This never throws, whatever the value is. */
  contains(value: unknown): value is T;
  /**
   * Seeds the space's own stream, which `env.reset({ seed })` does not do. With `'numpy'` as `random` the samples are
   * those that Gymnasium gives for the same seed.
   */
  seed(seed: number | string, random?: RandomKind): void;
  /** The state of the space's own stream. */
  randomState(): SpaceState;
  /** Takes the space's own stream back to a state. */
  restoreRandomState(state: SpaceState): void;
  /** Whether the other space is of the same kind and has the same elements. */
  equals(other: Space<unknown>): boolean;
  /** Plain JSON that `spaceFromJson` turns into an equal space. */
  toJson(): unknown;
  toString(): string;
}

/** The type of the elements of a space. */
export type ElementOf<S> = S extends Space<infer T> ? T : never;
