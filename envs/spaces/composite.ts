import { BaseSpace, type FlatLayout } from './base.js';
import { resultType } from './dtype.js';
import type { Space } from './space.js';

/** A test that a part of an element must pass, given the space of that part. */
export type PartTest = (space: Space<unknown>, part: unknown) => boolean;

const isElement: PartTest = (space, part) => space.contains(part);

/** Whether a value has the form of a space's element: see {@link BaseSpace.hasForm}. */
export const hasForm: PartTest = (space, value) =>
  space instanceof BaseSpace ? space.hasForm(value) : space.contains(value);

/** A space whose elements are made of elements of other spaces. */
export abstract class CompositeSpace<T> extends BaseSpace<T> {
  /** Whether a value is made of parts as an element is, each of which passes the test. */
  protected abstract consists(value: unknown, test: PartTest): boolean;

  contains(value: unknown): value is T {
    return this.consists(value, isElement);
  }

  override hasForm(value: unknown): boolean {
    return this.consists(value, hasForm);
  }
}

/** The layout of several spaces one after another; undefined if one of them has no layout. */
export function compositeLayout<T>(
  spaces: readonly Space<unknown>[],
  split: (value: T) => readonly unknown[],
  join: (parts: unknown[]) => T,
): FlatLayout<T> | undefined {
  const layouts: FlatLayout<unknown>[] = [];
  for (const space of spaces) {
    if (!(space instanceof BaseSpace) || space.flat === undefined) return undefined;
    layouts.push(space.flat);
  }
  const offsets: number[] = [];
  let size = 0;
  for (const layout of layouts) {
    offsets.push(size);
    size += layout.size;
  }
  return {
    size,
    dtype: layouts.length === 0 ? 'float32' : resultType(layouts.map((layout) => layout.dtype)),
    bounds: (low, high, offset) => {
      layouts.forEach((layout, i) => {
        layout.bounds(low, high, offset + offsets[i]!);
      });
    },
    write: (value, into, offset) => {
      const parts = split(value);
      layouts.forEach((layout, i) => {
        layout.write(parts[i], into, offset + offsets[i]!);
      });
    },
    read: (from, offset) => join(layouts.map((layout, i) => layout.read(from, offset + offsets[i]!))),
  };
}
