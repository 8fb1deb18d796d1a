import { GymError } from '../../core/errors.js';
import { checkSpaces } from './arguments.js';
import { BaseSpace, type FlatLayout, oneRestriction } from './base.js';
import { CompositeSpace, type PartTest } from './composite.js';
import { resultType } from './dtype.js';
import type { ElementOf, Space } from './space.js';
import type { TupleSample } from './tuple.js';

/** An element of a {@link OneOf}: the index of one of its spaces, and an element of that space. */
export type OneOfElement<S extends readonly Space<unknown>[]> = {
  [K in keyof S]: readonly [index: number, element: ElementOf<S[K]>];
}[number];

/** Pairs of an index and an element of the space with that index. */
export class OneOf<const S extends readonly Space<unknown>[] = readonly Space<unknown>[]> extends CompositeSpace<
  OneOfElement<S>
> {
  readonly kind = 'OneOf';
  readonly spaces: S;
  readonly flat?: FlatLayout<OneOfElement<S>>;

  /** @throws GymError E_SPACE on no space at all, or anything but a list of spaces. */
  constructor(spaces: S) {
    super();
    checkSpaces('OneOf: spaces', spaces);
    if (spaces.length === 0) throw new GymError('E_SPACE', 'OneOf: it needs at least one space.');
    this.spaces = spaces;
    this.flat = this.#layout();
  }

  /**
   * The index, then the numbers of the element. They are filled up with the first of them to the length of the longest.
   */
  #layout(): FlatLayout<OneOfElement<S>> | undefined {
    const layouts: FlatLayout<unknown>[] = [];
    for (const space of this.spaces) {
      if (!(space instanceof BaseSpace) || space.flat === undefined) return undefined;
      layouts.push(space.flat);
    }
    const longest = Math.max(...layouts.map((layout) => layout.size));
    return {
      size: 1 + longest,
      dtype: resultType(layouts.map((layout) => layout.dtype)),
      bounds: (low, high, offset) => {
        let least = 0;
        let most = layouts.length - 1;
        for (const layout of layouts) {
          const [lows, highs] = [new Float64Array(layout.size), new Float64Array(layout.size)];
          layout.bounds(lows, highs, 0);
          // One by one, since a large Box has more numbers than a call of Math.min can take.
          for (const value of lows) least = Math.min(least, value);
          for (const value of highs) most = Math.max(most, value);
        }
        low.fill(least, offset, offset + 1 + longest);
        high.fill(most, offset, offset + 1 + longest);
      },
      write: ([index, element], into, offset) => {
        const layout = layouts[index]!;
        into[offset] = index;
        layout.write(element, into, offset + 1);
        into.fill(into[offset + 1]!, offset + 1 + layout.size, offset + 1 + longest);
      },
      read: (from, offset) => {
        const index = from[offset]!;
        const layout = layouts[index];
        if (layout === undefined)
          throw new GymError(
            'E_VALUE',
            `unflatten: the first number of a OneOf must be an index below ${layouts.length}, actual value ${index}.`,
          );
        return [index, layout.read(from, offset + 1)] as unknown as OneOfElement<S>;
      },
    };
  }

  protected override get parts(): readonly Space<unknown>[] {
    return this.spaces;
  }

  protected override get reseeds(): boolean {
    return true;
  }

  /**
   * A random element: a space is drawn, each equally likely, then an element of it.
   * @throws GymError E_VALUE when there is not a mask, or probabilities, for each space.
   */
  sample(options?: TupleSample<S>): OneOfElement<S> {
    const restriction = oneRestriction('OneOf', options);
    const parts = restriction && (options![restriction] as readonly unknown[]);
    if (parts && parts.length !== this.spaces.length)
      throw new GymError(
        'E_VALUE',
        `OneOf.sample: the ${restriction} has ${parts.length} entries, the space has ${this.spaces.length}.`,
      );
    const index = this.random.integer(this.spaces.length);
    const element = this.spaces[index]!.sample(restriction && { [restriction]: parts![index] });
    return [index, element] as unknown as OneOfElement<S>;
  }

  protected consists(value: unknown, test: PartTest): boolean {
    if (!Array.isArray(value) || value.length !== 2 || !Number.isInteger(value[0])) return false;
    const space = this.spaces[value[0] as number];
    return space !== undefined && test(space, value[1]);
  }

  equals(other: Space<unknown>): boolean {
    return (
      other instanceof OneOf &&
      other.spaces.length === this.spaces.length &&
      this.spaces.every((space, i) => space.equals(other.spaces[i]))
    );
  }

  toJson(): unknown {
    return { kind: this.kind, spaces: this.spaces.map((space) => space.toJson()) };
  }

  toString(): string {
    return `OneOf(${this.spaces.join(', ')})`;
  }
}
