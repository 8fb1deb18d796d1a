import { GymError, unknownName } from '../../core/errors.js';
import { type NdArray, ndarray } from '../../core/ndarray.js';
import { Box } from './box.js';
import { Dict } from './dict.js';
import { Discrete } from './discrete.js';
import { type DType, zeros } from './dtype.js';
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

const readers: Record<string, (json: Json) => Space<unknown>> = {
  Box: (json) => {
    const { low, high, shape, dtype } = json as {
      low: number | null | (number | null)[];
      high: number | null | (number | null)[];
      shape: number[];
      dtype: DType;
    };
    const bound = (values: typeof low, infinity: number) =>
      Array.isArray(values) ? values.map((v) => v ?? infinity) : (values ?? infinity);
    return new Box(bound(low, Number.NEGATIVE_INFINITY), bound(high, Number.POSITIVE_INFINITY), shape, dtype);
  },
  Discrete: (json) => new Discrete(json.n as number, json.start as number),
  MultiBinary: (json) => new MultiBinary(json.shape as number[]),
  MultiDiscrete: (json) =>
    new MultiDiscrete(json.nvec as number[], { start: json.start as number[], shape: json.shape as number[] }),
  Text: (json) =>
    new Text(json.maxLength as number, { minLength: json.minLength as number, charset: json.charset as string }),
  Tuple: (json) => new Tuple((json.spaces as unknown[]).map(spaceFromJson)),
  Dict: (json) =>
    new Dict(
      Object.fromEntries((json.spaces as [string, unknown][]).map(([key, part]) => [key, spaceFromJson(part)])),
      {
        sortKeys: false,
      },
    ),
  Sequence: (json) => new Sequence(spaceFromJson(json.feature)),
  Graph: (json) => new Graph(spaceFromJson(json.node), json.edge === null ? null : spaceFromJson(json.edge)),
  OneOf: (json) => new OneOf((json.spaces as unknown[]).map(spaceFromJson)),
};

/** The space that `toJson` wrote. @throws GymError E_NAME on an unknown kind, E_SPACE on anything that is no space. */
export function spaceFromJson(json: unknown): Space<unknown> {
  const kind = typeof json === 'object' && json !== null ? (json as Json).kind : undefined;
  if (typeof kind !== 'string')
    throw new GymError(
      'E_SPACE',
      `spaceFromJson: needs an object with \`kind\`, actual value ${JSON.stringify(json)}.`,
    );
  const read = Object.hasOwn(readers, kind) ? readers[kind] : undefined;
  if (read === undefined) throw unknownName('spaceFromJson', 'kind of space', kind, Object.keys(readers));
  return read(json as Json);
}

/**
 * An element as plain JSON: arrays as lists in row-major order, the rest as its parts. Numbers that JSON lacks
 * (NaN, ±Infinity) are text.
 */
export function elementToJson<T>(space: Space<T>, value: T): unknown {
  const numbers = (array: NdArray) => Array.from(array.data, (x) => (Number.isFinite(x) ? x : String(x)));
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

/** The element that {@link elementToJson} wrote. @throws GymError E_VALUE when it is none of the space. */
export function elementFromJson<T>(space: Space<T>, json: unknown): T {
  const value = read(space, json);
  if (!space.contains(value))
    throw new GymError('E_VALUE', `elementFromJson: ${JSON.stringify(json)} is no element of ${space}.`);
  return value;
}

function read(space: Space<unknown>, json: unknown): unknown {
  const array = (shape: readonly number[], dtype: DType) => {
    const list = json as (number | string)[];
    const data = zeros(dtype, list.length);
    list.forEach((x, i) => {
      data[i] = Number(x);
    });
    return ndarray(data, shape);
  };
  if (space instanceof Box) return array(space.shape, space.dtype);
  if (space instanceof MultiBinary) return array(space.shape, 'int8');
  if (space instanceof MultiDiscrete) return array(space.shape, 'int32');
  if (space instanceof Tuple)
    return (space.spaces as readonly Space<unknown>[]).map((part, i) => read(part, (json as unknown[])[i]));
  if (space instanceof Dict)
    return Object.fromEntries(space.keys.map((key) => [key, read(space.spaces[key]!, (json as Json)[key])]));
  if (space instanceof Sequence) return (json as unknown[]).map((item) => read(space.feature, item));
  if (space instanceof OneOf) {
    const [index, element] = json as [number, unknown];
    return [index, read(space.spaces[index]!, element)];
  }
  if (space instanceof Graph) {
    const { nodes, edges, edgeLinks } = json as {
      nodes: unknown[];
      edges: unknown[] | null;
      edgeLinks: number[] | null;
    };
    return {
      nodes: nodes.map((node) => read(space.node, node)),
      edges: edges?.map((edge) => read(space.edge as Space<unknown>, edge)) ?? null,
      edgeLinks: edgeLinks && { data: Int32Array.from(edgeLinks), shape: [edgeLinks.length / 2, 2] },
    };
  }
  return json;
}
