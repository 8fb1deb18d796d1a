import { GymError, unknownName } from '../../core/errors.js';
import { type NdArray, ndarray, sizeOf } from '../../core/ndarray.js';
import { type Bound, Box } from '../spaces/box.js';
import { Dict } from '../spaces/dict.js';
import { Discrete } from '../spaces/discrete.js';
import { type ArrayOf, type DType, typeFacts, zeros } from '../spaces/dtype.js';
import { flatten, flattenSpace } from '../spaces/flatten.js';
import { MultiDiscrete } from '../spaces/multi-discrete.js';
import type { Space } from '../spaces/space.js';
import { Tuple } from '../spaces/tuple.js';
import { binsOf, rescaling } from './box-maps.js';
import { type Modification, needSpace, observationModification } from './modifier.js';

/** Observes any function of the observation. @param space of the function's values. */
export function transformObservation<O, A, InnerO>(
  observe: (observation: InnerO) => O,
  space: Space<O>,
): Modification<O, A, InnerO, A> {
  return observationModification('TransformObservation', () => ({ space, observe }));
}

/**
 * Observes the parts of a Dict with these keys, or of a Tuple with these indices.
 * @throws GymError E_NAME on unknown ones, E_CONFIG when none are named or one is named twice.
 */
export function filterObservation<A>(
  keys: readonly (string | number)[],
): Modification<Record<string, unknown> | unknown[], A, unknown, A> {
  return observationModification<Record<string, unknown> | unknown[], A, unknown>('FilterObservation', (space) => {
    if (keys.length === 0 || new Set(keys.map(String)).size !== keys.length)
      throw new GymError(
        'E_CONFIG',
        `FilterObservation: name at least one key, each once; actual value [${keys.join(', ')}].`,
      );
    if (space instanceof Dict) {
      for (const key of keys)
        if (!space.keys.includes(String(key)))
          throw unknownName('FilterObservation', 'key', String(key), space.keys as readonly string[]);
      const kept = new Set(keys.map(String));
      const pick = <T>(from: Readonly<Record<string, T>>) =>
        space.keys.filter((key) => kept.has(key)).map((key) => [key, from[key] as T] as const);
      return {
        space: new Dict(pick(space.spaces)) as Space<Record<string, unknown> | unknown[]>,
        observe: (observation) => Object.fromEntries(pick(observation as Record<string, unknown>)),
      };
    }
    const { spaces } = needSpace('FilterObservation', space, Tuple) as { spaces: readonly Space<unknown>[] };
    for (const key of keys)
      if (!(Number.isInteger(key) && Number(key) >= 0 && Number(key) < spaces.length))
        throw unknownName('FilterObservation', 'index', String(key), [...spaces.keys()].map(String));
    const pick = <T>(from: readonly T[]): T[] => from.filter((_, i) => keys.includes(i));
    return {
      space: new Tuple(pick(spaces)) as unknown as Space<Record<string, unknown> | unknown[]>,
      observe: (observation) => pick(observation as readonly unknown[]),
    };
  });
}

/**
 * Observes one list of numbers, as {@link flatten} makes it.
 * @throws GymError E_SPACE when elements have no fixed number of them.
 */
export function flattenObservation<A, InnerO>(): Modification<NdArray, A, InnerO, A> {
  return observationModification('FlattenObservation', (space) => {
    const flat = flattenSpace(space);
    if (!(flat instanceof Box))
      throw new GymError('E_SPACE', `FlattenObservation: elements of ${space} have no fixed number of numbers.`);
    return { space: flat as Space<NdArray>, observe: (observation) => flatten(space, observation) as NdArray };
  });
}

/** A space as a Box of uint8 images. @throws GymError E_SPACE when it is another one. */
function imageSpace(name: string, space: Space<unknown>, channels: readonly number[]): Box<DType> {
  const box = needSpace(name, space, Box) as unknown as Box<DType>;
  const depth = box.shape.length === 2 ? 0 : (box.shape[2] ?? -1);
  if (box.dtype !== 'uint8' || box.shape.length < 2 || box.shape.length > 3 || !channels.includes(depth))
    throw new GymError('E_SPACE', `${name}: needs uint8 images, actual space ${box}.`);
  return box;
}

/**
 * Observes RGB images in grey: 0.2125 R + 0.7154 G + 0.0721 B, cut to uint8.
 * @param options.keepDim whether the shape is [height, width, 1] instead of [height, width]. Default false.
 */
export function grayscaleObservation<A>({
  keepDim = false,
}: {
  keepDim?: boolean | undefined;
} = {}): Modification<NdArray, A, NdArray, A> {
  return observationModification('GrayscaleObservation', (space) => {
    const [height = 0, width = 0] = imageSpace('GrayscaleObservation', space, [3]).shape;
    const shape = keepDim ? [height, width, 1] : [height, width];
    return {
      space: new Box(0, 255, shape, 'uint8') as Space<NdArray>,
      observe: ({ data }) => {
        const grey = new Uint8Array(height * width);
        for (let i = 0; i < grey.length; i++)
          grey[i] = 0.2125 * data[3 * i]! + 0.7154 * data[3 * i + 1]! + 0.0721 * data[3 * i + 2]!;
        return { data: grey, shape };
      },
    };
  });
}

/** For each of `to` pixels, which of `from` pixels it covers, and which share of it each of them makes up. */
function coverage(from: number, to: number): { start: number; weights: number[] }[] {
  const scale = from / to;
  return Array.from({ length: to }, (_, i) => {
    const [low, high] = [i * scale, Math.min(from, (i + 1) * scale)];
    const start = Math.floor(low);
    const weights: number[] = [];
    for (let k = start; k < high; k++) weights.push((Math.min(k + 1, high) - Math.max(k, low)) / (high - low));
    return { start, weights };
  });
}

/** Observes images in another size [height, width]. Each pixel is the rounded mean of the area that it covers. */
export function resizeObservation<A>(size: readonly [number, number]): Modification<NdArray, A, NdArray, A> {
  if (!size.every((n) => Number.isInteger(n) && n > 0))
    throw new GymError(
      'E_CONFIG',
      `ResizeObservation: size must be [height, width], actual value [${size.join(', ')}].`,
    );
  return observationModification('ResizeObservation', (space) => {
    const [height = 0, width = 0, ...rest] = imageSpace('ResizeObservation', space, [0, 1, 3]).shape;
    const depth = rest[0] ?? 1;
    const [rows, columns] = [coverage(height, size[0]), coverage(width, size[1])];
    const shape = [...size, ...rest];
    return {
      space: new Box(0, 255, shape, 'uint8') as Space<NdArray>,
      observe: ({ data }) => {
        const out = new Uint8ClampedArray(sizeOf(shape)); // It rounds what is written into it.
        let k = 0;
        for (const row of rows)
          for (const column of columns)
            for (let c = 0; c < depth; c++) {
              let sum = 0;
              row.weights.forEach((a, y) => {
                column.weights.forEach((b, x) => {
                  sum += a * b * data[((row.start + y) * width + column.start + x) * depth + c]!;
                });
              });
              out[k++] = sum;
            }
        return { data: new Uint8Array(out.buffer), shape };
      },
    };
  });
}

/** Observes the same numbers in another shape. @throws GymError E_SPACE when that has another number of elements. */
export function reshapeObservation<A>(shape: readonly number[]): Modification<NdArray, A, NdArray, A> {
  return observationModification('ReshapeObservation', (space) => {
    const box = needSpace('ReshapeObservation', space, Box) as unknown as Box<DType>;
    if (sizeOf(shape) !== box.low.length)
      throw new GymError(
        'E_SPACE',
        `ReshapeObservation: shape [${shape.join(', ')}] has ${sizeOf(shape)} elements, the observation [${box.shape.join(', ')}] has ${box.low.length}.`,
      );
    const bound = (values: ArrayLike<number>, bounded: Uint8Array, infinity: number) =>
      Array.from(values, (v, i) => (bounded[i] ? v : infinity));
    return {
      space: new Box(
        bound(box.low, box.boundedBelow, Number.NEGATIVE_INFINITY),
        bound(box.high, box.boundedAbove, Number.POSITIVE_INFINITY),
        shape,
        box.dtype,
      ) as Space<NdArray>,
      observe: ({ data }) => ndarray(data, shape),
    };
  });
}

/**
 * Maps the bounds of each number linearly to `low` and `high`.
 * @throws GymError E_CONFIG where a number has an infinite bound and the new one is not the same infinity.
 */
export function rescaleObservation<A>(low: Bound, high: Bound): Modification<NdArray, A, NdArray, A> {
  return observationModification('RescaleObservation', (space) => {
    const map = rescaling('RescaleObservation', needSpace('RescaleObservation', space, Box), low, high);
    return { space: map.space as Space<NdArray>, observe: map.forward };
  });
}

/** Observes the numbers in another type. The number of a Discrete becomes a Box of one number. */
export function dtypeObservation<A>(dtype: DType): Modification<NdArray, A, NdArray | number, A> {
  return observationModification('DtypeObservation', (space) => {
    const { low, high } = typeFacts(dtype);
    const [least, most] = [low, high];
    const cast = (values: ArrayLike<number>): ArrayOf<DType> => {
      const data = zeros(dtype, values.length);
      for (let i = 0; i < data.length; i++) data[i] = values[i]!;
      return data;
    };
    const clip = (v: number) => Math.min(most, Math.max(least, v));
    if (space instanceof Discrete)
      return {
        space: new Box(clip(space.start), clip(space.start + space.n - 1), [], dtype) as Space<NdArray>,
        observe: (observation) => ndarray(cast([observation as number]), []),
      };
    const box = needSpace('DtypeObservation', space, Box) as unknown as Box<DType>;
    const bound = (values: ArrayLike<number>, bounded: Uint8Array, infinity: number) =>
      Array.from(values, (v, i) => (bounded[i] || typeFacts(dtype).kind === 'u' ? clip(v) : infinity));
    return {
      space: new Box(
        bound(box.low, box.boundedBelow, Number.NEGATIVE_INFINITY),
        bound(box.high, box.boundedAbove, Number.POSITIVE_INFINITY),
        box.shape,
        dtype,
      ) as Space<NdArray>,
      observe: (observation) => ndarray(cast((observation as NdArray).data), box.shape),
    };
  });
}

/**
 * Cuts a finite Box into bins, and observes the index of the bin.
 * @param bins the number of bins of all numbers of an observation, or of each.
 * @param options.multidiscrete whether each number has an index of its own (MultiDiscrete). Default: one index counts
 *   all combinations, in row-major order (Discrete).
 */
export function discretizeObservation<A>(
  bins: number | readonly number[],
  { multidiscrete = false }: { multidiscrete?: boolean | undefined } = {},
): Modification<number | NdArray<Int32Array>, A, NdArray, A> {
  return observationModification('DiscretizeObservation', (space) => {
    const box = needSpace('DiscretizeObservation', space, Box) as unknown as Box<DType>;
    const counts = binsOf('DiscretizeObservation', box, bins);
    const indices = ({ data }: NdArray) =>
      Int32Array.from(counts, (n, i) => {
        const [low, high] = [box.low[i]!, box.high[i]!];
        return Math.min(n - 1, Math.max(0, Math.floor(((data[i]! - low) / (high - low)) * n)));
      });
    if (multidiscrete)
      return {
        space: new MultiDiscrete(counts) as Space<number | NdArray<Int32Array>>,
        observe: (observation) => ({ data: indices(observation), shape: [counts.length] }),
      };
    return {
      space: new Discrete(counts.reduce((a, b) => a * b, 1)) as Space<number | NdArray<Int32Array>>,
      observe: (observation) => indices(observation).reduce((flat, index, i) => flat * counts[i]! + index, 0),
    };
  });
}
