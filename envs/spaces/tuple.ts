import { GymError } from '../../core/errors.js';
import { checkSpaces } from './arguments.js';
import { type FlatLayout, oneRestriction } from './base.js';
import { CompositeSpace, compositeLayout, type PartTest } from './composite.js';
import type { ElementOf, Space } from './space.js';

/** The mask that a space's `sample` takes. */
export type MaskOf<S> = S extends { sample(options?: { mask?: infer M }): unknown } ? M : unknown;
/** The probabilities that a space's `sample` takes. */
export type ProbabilityOf<S> = S extends { sample(options?: { probability?: infer P }): unknown } ? P : unknown;

/** An element of a {@link Tuple}: a list with an element of each of its spaces. */
export type TupleElement<S extends readonly Space<unknown>[]> = { [K in keyof S]: ElementOf<S[K]> };

export interface TupleSample<S extends readonly Space<unknown>[]> {
  mask?: { readonly [K in keyof S]: MaskOf<S[K]> | undefined } | undefined;
  probability?: { readonly [K in keyof S]: ProbabilityOf<S[K]> | undefined } | undefined;
}

/** Lists whose item i is an element of space i: `new Tuple([new Discrete(2), new Box(0, 1, [2])])`. */
export class Tuple<const S extends readonly Space<unknown>[] = readonly Space<unknown>[]> extends CompositeSpace<
  TupleElement<S>
> {
  readonly kind = 'Tuple';
  readonly spaces: S;
  readonly flat?: FlatLayout<TupleElement<S>>;

  /** @throws GymError E_SPACE on anything but a list of spaces. */
  constructor(spaces: S) {
    super();
    checkSpaces('Tuple: spaces', spaces);
    this.spaces = spaces;
    this.flat = compositeLayout(
      spaces,
      (value: TupleElement<S>) => value as readonly unknown[],
      (parts) => parts as unknown as TupleElement<S>,
    );
  }

  protected override get parts(): readonly Space<unknown>[] {
    return this.spaces;
  }

  /** A random element. @throws GymError E_VALUE when there is not a mask, or probabilities, for each space. */
  sample(options?: TupleSample<S>): TupleElement<S> {
    const restriction = oneRestriction('Tuple', options);
    const parts = restriction && (options![restriction] as readonly unknown[]);
    if (parts && parts.length !== this.spaces.length)
      throw new GymError(
        'E_VALUE',
        `Tuple.sample: the ${restriction} has ${parts.length} entries, the space has ${this.spaces.length}.`,
      );
    return this.spaces.map((space, i) =>
      space.sample(restriction && { [restriction]: parts![i] }),
    ) as unknown as TupleElement<S>;
  }

  protected consists(value: unknown, test: PartTest): boolean {
    return (
      Array.isArray(value) &&
      value.length === this.spaces.length &&
      this.spaces.every((space, i) => test(space, value[i]))
    );
  }

  equals(other: Space<unknown>): boolean {
    return (
      other instanceof Tuple &&
      other.spaces.length === this.spaces.length &&
      this.spaces.every((space, i) => space.equals(other.spaces[i]))
    );
  }

  toJson(): unknown {
    return { kind: this.kind, spaces: this.spaces.map((space) => space.toJson()) };
  }

  toString(): string {
    return `Tuple(${this.spaces.join(', ')})`;
  }
}
