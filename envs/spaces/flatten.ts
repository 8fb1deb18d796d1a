import { GymError } from '../../core/errors.js';
import { isNdArray, type NdArray, type TypedArray } from '../../core/ndarray.js';
import { noElement } from './arguments.js';
import { BaseSpace, type FlatLayout } from './base.js';
import { Box } from './box.js';
import { hasForm } from './composite.js';
import { Dict } from './dict.js';
import { zeros } from './dtype.js';
import { Graph, type GraphElement } from './graph.js';
import { Sequence } from './sequence.js';
import type { Space } from './space.js';
import { Tuple } from './tuple.js';

/** A flat element: one list of numbers, or, where a Sequence or a Graph is inside, a tree of such lists. */
export type Flat = NdArray | Flat[] | { [key: string]: Flat } | GraphElement<Flat, Flat>;

function layoutOf<T>(space: Space<T>): FlatLayout<T> | undefined {
  return space instanceof BaseSpace ? (space as BaseSpace<T>).flat : undefined;
}

function noLayout(where: string, space: Space<unknown>): GymError {
  return new GymError(
    'E_SPACE',
    `${where}: elements of ${space} have no fixed number of numbers; flatten what is inside, or use another space.`,
  );
}

/** Whether elements flatten into one list of numbers. */
export function isFlattenable(space: Space<unknown>): boolean {
  return layoutOf(space) !== undefined;
}

/**
 * The number of numbers into which an element flattens.
 * @throws GymError E_SPACE for Sequence, Graph, and spaces that contain one.
 */
export function flatdim(space: Space<unknown>): number {
  const layout = layoutOf(space);
  if (layout === undefined) throw noLayout('flatdim', space);
  return layout.size;
}

/**
 * The space of flat elements: a 1-D Box, or, where a Sequence or a Graph is inside, the same tree of Boxes.
 * Not every sample of this space can be unflattened: a one-hot vector, for instance, must have exactly one 1.
 */
export function flattenSpace(space: Space<unknown>): Space<unknown> {
  const layout = layoutOf(space);
  if (layout !== undefined) {
    const [low, high] = [zeros('float64', layout.size), zeros('float64', layout.size)];
    layout.bounds(low, high, 0);
    return new Box(low, high, [layout.size], layout.dtype);
  }
  if (space instanceof Tuple) return new Tuple(space.spaces.map(flattenSpace));
  if (space instanceof Dict) return new Dict(space.keys.map((key) => [key, flattenSpace(space.spaces[key]!)] as const));
  if (space instanceof Sequence) return new Sequence(flattenSpace(space.feature));
  if (space instanceof Graph)
    return new Graph(flattenSpace(space.node), space.edge === null ? null : flattenSpace(space.edge));
  throw noLayout('flattenSpace', space);
}

/**
 * An element as one list of numbers. Arrays are written in row-major order, a Discrete as a one-hot vector, a Text as
 * the indices of its characters, and the parts of a Tuple or a Dict one after another. Where the space contains a
 * Sequence or a Graph the result is a tree of such lists. Numbers outside the bounds of a Box are written as they are.
 * @throws GymError E_VALUE on a value that does not have the form of an element, E_SPACE on a space of unknown kind.
 */
export function flatten<T>(space: Space<T>, value: T): Flat {
  if (!hasForm(space, value)) throw noElement('flatten', space, value);
  return flattened(space, value);
}

function flattened<T>(space: Space<T>, value: T): Flat {
  const layout = layoutOf(space);
  if (layout !== undefined) {
    const data = zeros(layout.dtype, layout.size);
    layout.write(value, data, 0);
    return { data, shape: [layout.size] };
  }
  if (space instanceof Tuple)
    return (space.spaces as readonly Space<unknown>[]).map((part, i) =>
      flattened(part, (value as readonly unknown[])[i]),
    );
  if (space instanceof Dict)
    return Object.fromEntries(
      space.keys.map((key) => [key, flattened(space.spaces[key]!, (value as Record<string, unknown>)[key])]),
    );
  if (space instanceof Sequence) return (value as readonly unknown[]).map((item) => flattened(space.feature, item));
  if (space instanceof Graph) {
    const { nodes, edges, edgeLinks } = value as GraphElement;
    return {
      nodes: nodes.map((node) => flattened(space.node, node)),
      edges: edges?.map((edge) => flattened(space.edge as Space<unknown>, edge)) ?? null,
      edgeLinks,
    };
  }
  throw noLayout('flatten', space);
}

/**
 * Writes the numbers into which an element flattens into `into`, from `offset` on. A batch is so filled without an
 * array for each element.
 * @throws GymError E_SPACE for Sequence, Graph, and spaces that contain one; E_VALUE if `into` is too short, or on a
 *   value that does not have the form of an element.
 */
export function flattenInto<T>(space: Space<T>, value: T, into: TypedArray, offset = 0): void {
  const layout = layoutOf(space);
  if (layout === undefined) throw noLayout('flattenInto', space);
  if (!hasForm(space, value)) throw noElement('flattenInto', space, value);
  if (!(offset >= 0 && offset + layout.size <= into.length))
    throw new GymError(
      'E_VALUE',
      `flattenInto: ${layout.size} numbers from offset ${offset} on do not fit into an array of ${into.length}.`,
    );
  layout.write(value, into, offset);
}

/** The element that {@link flatten} made into this. @throws GymError E_VALUE when no element flattens into it. */
export function unflatten<T>(space: Space<T>, flat: Flat): T {
  const layout = layoutOf(space);
  if (layout !== undefined) {
    if (!isNdArray(flat) || flat.data.length !== layout.size)
      throw new GymError(
        'E_VALUE',
        `unflatten: ${space} needs one list of ${layout.size} numbers, actual value ${
          isNdArray(flat) ? `has ${flat.data.length}` : 'is a tree'
        }.`,
      );
    const value = layout.read(flat.data, 0);
    if (!hasForm(space, value)) throw noElement('unflatten', space, value);
    return value;
  }
  if (space instanceof Tuple)
    return (space.spaces as readonly Space<unknown>[]).map((part, i) =>
      unflatten(part, (flat as readonly Flat[])[i]!),
    ) as unknown as T;
  if (space instanceof Dict)
    return Object.fromEntries(
      space.keys.map((key) => [key, unflatten(space.spaces[key]!, (flat as Record<string, Flat>)[key]!)]),
    ) as T;
  if (space instanceof Sequence)
    return (flat as readonly Flat[]).map((item) => unflatten(space.feature, item)) as unknown as T;
  if (space instanceof Graph) {
    const { nodes, edges, edgeLinks } = flat as GraphElement<Flat, Flat>;
    return {
      nodes: nodes.map((node) => unflatten(space.node, node)),
      edges: edges?.map((edge) => unflatten(space.edge as Space<unknown>, edge)) ?? null,
      edgeLinks,
    } as T;
  }
  throw noLayout('unflatten', space);
}
