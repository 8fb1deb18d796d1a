import { GymError, unknownName } from '../../core/errors.js';
import { isTooDeep, mostLevels } from '../../core/json.js';
import type { NdArray } from '../../core/ndarray.js';
import { shown } from '../../core/shown.js';
import { Box } from './box.js';
import { hasForm } from './composite.js';
import { Dict } from './dict.js';
import { Discrete } from './discrete.js';
import { arrayOf, type DType } from './dtype.js';
import { Graph, type GraphElement } from './graph.js';
import { MultiBinary } from './multi-binary.js';
import { MultiDiscrete } from './multi-discrete.js';
import { OneOf } from './one-of.js';
import { Sequence } from './sequence.js';
import type { Space } from './space.js';
import { Text } from './text.js';
import { Tuple } from './tuple.js';

/** Plain JSON that {@link spaceFromJson} turns into an equal space. */
export function spaceToJson(space: Space<unknown>): unknown {
  return space.toJson();
}

type Json = Record<string, unknown>;

/**
 * A field, whose type the constructor checks that it is handed to. A field that is missing is an error: with a default
 * in its place, JSON that was cut short would become another space.
 */
function field<T>(json: Json, key: string): T {
  if (!Object.hasOwn(json, key))
    throw new GymError('E_SPACE', `spaceFromJson: ${json.kind} needs \`${key}\`, actual value ${shown(json)}.`);
  return json[key] as T;
}

function listField<T>(json: Json, key: string): T[] {
  const list = field<T[]>(json, key);
  if (!Array.isArray(list))
    throw new GymError('E_SPACE', `spaceFromJson: ${json.kind}.${key} must be a list, actual value ${shown(list)}.`);
  return list;
}

const readers: Record<string, (json: Json) => Space<unknown>> = {
  Box: (json) => {
    const bound = (side: string, infinity: number) => {
      const values = field<number | null | (number | null)[]>(json, side);
      return Array.isArray(values) ? values.map((v) => v ?? infinity) : (values ?? infinity);
    };
    return new Box(
      bound('low', Number.NEGATIVE_INFINITY),
      bound('high', Number.POSITIVE_INFINITY),
      listField(json, 'shape'),
      field<DType>(json, 'dtype'),
    );
  },
  Discrete: (json) => new Discrete(field(json, 'n'), field(json, 'start')),
  MultiBinary: (json) => new MultiBinary(listField<number>(json, 'shape')),
  MultiDiscrete: (json) =>
    new MultiDiscrete(listField(json, 'nvec'), { start: listField(json, 'start'), shape: listField(json, 'shape') }),
  Text: (json) =>
    new Text(field(json, 'maxLength'), { minLength: field(json, 'minLength'), charset: field(json, 'charset') }),
  Tuple: (json) => new Tuple(listField(json, 'spaces').map((part) => readSpace(part))),
  Dict: (json) => {
    const entries = listField(json, 'spaces').map((entry) => {
      if (!Array.isArray(entry) || entry.length !== 2 || typeof entry[0] !== 'string')
        throw new GymError('E_SPACE', `spaceFromJson: Dict.spaces needs [key, space], actual value ${shown(entry)}.`);
      return [entry[0], readSpace(entry[1])] as const;
    });
    return new Dict(entries);
  },
  Sequence: (json) => new Sequence(readSpace(field(json, 'feature'))),
  Graph: (json) => {
    const edge = field(json, 'edge');
    return new Graph(readSpace(field(json, 'node')), edge === null ? null : readSpace(edge));
  },
  OneOf: (json) => new OneOf(listField(json, 'spaces').map((part) => readSpace(part))),
};

/**
 * The space that `toJson` wrote.
 * @throws GymError E_NAME on an unknown kind, E_SPACE on anything that is no space or lacks a part of one.
 */
export function spaceFromJson(json: unknown): Space<unknown> {
  if (isTooDeep(json))
    throw new GymError('E_SPACE', `spaceFromJson: spaces are nested by more than ${mostLevels} levels; it is damaged.`);
  return readSpace(json);
}

function readSpace(json: unknown): Space<unknown> {
  const kind = typeof json === 'object' && json !== null ? (json as Json).kind : undefined;
  if (typeof kind !== 'string')
    throw new GymError('E_SPACE', `spaceFromJson: needs an object with \`kind\`, actual value ${shown(json)}.`);
  const read = Object.hasOwn(readers, kind) ? readers[kind] : undefined;
  if (read === undefined) throw unknownName('spaceFromJson', 'kind of space', kind, Object.keys(readers));
  return read(json as Json);
}

/**
 * An element as plain JSON. Arrays become lists in row-major order, and numbers that JSON lacks (NaN, ±Infinity, −0)
 * become text.
 */
export function elementToJson<T>(space: Space<T>, value: T): unknown {
  const numbers = ({ data }: NdArray) =>
    Array.from(data, (x) => (Object.is(x, -0) ? '-0' : Number.isFinite(x) ? x : String(x)));
  if (space instanceof Box || space instanceof MultiBinary || space instanceof MultiDiscrete)
    return numbers(value as NdArray);
  if (space instanceof Tuple)
    return (space.spaces as readonly Space<unknown>[]).map((part, i) =>
      elementToJson(part, (value as readonly unknown[])[i]),
    );
  if (space instanceof Dict)
    return Object.fromEntries(space.keys.map((key) => [key, elementToJson(space.spaces[key]!, (value as Json)[key])]));
  if (space instanceof Sequence) return (value as unknown[]).map((item) => elementToJson(space.feature, item));
  if (space instanceof OneOf) {
    const [index, element] = value as readonly [number, unknown];
    return [index, elementToJson(space.spaces[index]!, element)];
  }
  if (space instanceof Graph) {
    const { nodes, edges, edgeLinks } = value as GraphElement;
    return {
      nodes: nodes.map((node) => elementToJson(space.node, node)),
      edges: edges?.map((edge) => elementToJson(space.edge as Space<unknown>, edge)) ?? null,
      edgeLinks: edgeLinks === null ? null : numbers(edgeLinks),
    };
  }
  return value;
}

/**
 * The element that {@link elementToJson} wrote. Numbers outside the bounds of a Box, as an environment has them that
 * diverges, come back as they were.
 * @throws GymError E_VALUE on JSON that does not have the form of an element.
 */
export function elementFromJson<T>(space: Space<T>, json: unknown): T {
  const value = read(space, json);
  if (!hasForm(space, value))
    throw new GymError(
      'E_VALUE',
      `elementFromJson: ${shown(json)} is no element of ${space}; use the space it is from.`,
    );
  return value as T;
}

const textNumbers = new Set<unknown>(['NaN', 'Infinity', '-Infinity', '-0']);

/**
 * The element that the JSON says, with undefined in the place of each part of a wrong form, so that `hasForm` refuses
 * the whole.
 */
function read(space: Space<unknown>, json: unknown): unknown {
  const list = Array.isArray(json) ? (json as unknown[]) : undefined;
  const record = typeof json === 'object' && json !== null ? (json as Json) : {};
  const array = (shape: readonly number[], dtype: DType, numbers = list) => {
    if (!numbers?.every((x) => typeof x === 'number' || textNumbers.has(x))) return undefined;
    return { data: arrayOf('elementFromJson', dtype, numbers.map(Number), 0, numbers.length), shape };
  };
  if (space instanceof Box) return array(space.shape, space.dtype);
  if (space instanceof MultiBinary) return array(space.shape, 'int8');
  if (space instanceof MultiDiscrete) return array(space.shape, 'int32');
  if (space instanceof Tuple) {
    const spaces = space.spaces as readonly Space<unknown>[];
    return list?.length === spaces.length ? spaces.map((part, i) => read(part, list[i])) : undefined;
  }
  if (space instanceof Dict)
    return Object.fromEntries(
      space.keys.map((key) => [key, read(space.spaces[key]!, Object.hasOwn(record, key) ? record[key] : undefined)]),
    );
  if (space instanceof Sequence) return list?.map((item) => read(space.feature, item));
  if (space instanceof OneOf) {
    const part = space.spaces[list?.[0] as number];
    return part && [list![0], read(part, list![1])];
  }
  if (space instanceof Graph) {
    const { nodes, edges, edgeLinks } = record;
    const parts = (part: Space<unknown>, items: unknown) =>
      Array.isArray(items) ? items.map((item) => read(part, item)) : items;
    return {
      nodes: parts(space.node, nodes),
      edges: space.edge === null ? edges : parts(space.edge, edges),
      edgeLinks: Array.isArray(edgeLinks) ? array([edgeLinks.length / 2, 2], 'int32', edgeLinks) : edgeLinks,
    };
  }
  return json;
}
