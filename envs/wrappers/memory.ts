import { GymError } from '../../core/errors.js';
import { copy, isNdArray, type NdArray, stack } from '../../core/ndarray.js';
import type { Snapshot } from '../../core/snapshot.js';
import { snapshotCount, snapshotList } from '../checks.js';
import type { ResetResult } from '../env.js';
import { checkSize } from '../spaces/arguments.js';
import { Box } from '../spaces/box.js';
import { Dict } from '../spaces/dict.js';
import type { DType } from '../spaces/dtype.js';
import { flatten, flattenSpace } from '../spaces/flatten.js';
import { elementFromJson, elementToJson } from '../spaces/json.js';
import type { Space } from '../spaces/space.js';
import { Tuple } from '../spaces/tuple.js';
import { zeroOf } from '../spaces/zero.js';
import type { Around, Modification, Modifier } from './modifier.js';

/**
 * A modifier that shows a function of the episode's observations so far, of which it keeps some.
 * @param lengths the lengths that the queue can have while an episode runs, the least and the most.
 * @param begin puts the first observation of an episode into the empty queue.
 * @param push puts each later one into it, and takes out what is not needed any more.
 */
function queued<O, A, InnerO>(
  name: string,
  space: Space<InnerO>,
  lengths: readonly [number, number],
  begin: (queue: InnerO[], observation: InnerO) => void,
  push: (queue: InnerO[], observation: InnerO) => void,
  show: (queue: readonly InnerO[]) => O,
): Modifier<O, A, InnerO, A> {
  let queue: InnerO[] = [];
  const shown = ({ info }: ResetResult<InnerO>) => ({ observation: show(queue), info });
  return {
    first: (result) => {
      queue = [];
      begin(queue, result.observation);
      return shown(result);
    },
    action: (action) => action,
    next: (result) => {
      push(queue, result.observation);
      return { ...result, observation: show(queue) };
    },
    state: () => queue.map((observation) => elementToJson(space, observation) as Snapshot),
    restore: (state, result) => {
      const saved = snapshotList(name, state);
      if (saved.length > 0 && !(saved.length >= lengths[0] && saved.length <= lengths[1]))
        throw new GymError(
          'E_STATE',
          `${name}.restore: the snapshot has ${saved.length} observations, this wrapper keeps ${lengths[1]}; restore it into one that was made alike.`,
        );
      queue = saved.map((json) => elementFromJson(space, json));
      if (queue.length === 0) begin(queue, result.observation); // The snapshot was taken before the first reset.
      return shown(result);
    },
  };
}

/**
 * Observes what was observed `delay` steps ago. Before there is such an observation, it is the element nearest to zero.
 */
export function delayObservation<O, A>(delay: number): Modification<O, A, O, A> {
  if (!Number.isInteger(delay) || delay < 0)
    throw new GymError('E_CONFIG', `DelayObservation: delay must be an integer of at least 0, actual value ${delay}.`);
  return {
    name: 'DelayObservation',
    settings: String(delay),
    around: ({ observationSpace, actionSpace }) => {
      const push = (queue: O[], observation: O) => {
        queue.push(observation);
        if (queue.length > delay + 1) queue.shift();
      };
      const show = (queue: readonly O[]) => (queue.length > delay ? queue[0]! : zeroOf(observationSpace));
      return {
        observationSpace,
        actionSpace,
        modifier: () => queued('DelayObservation', observationSpace, [1, delay + 1], push, push, show),
      };
    },
  };
}

/**
 * A copy of an element in which no array, list or object is that of another one, since each step returns objects of its
 * own.
 */
function copied<T>(value: T): T {
  if (isNdArray(value)) return copy(value) as T;
  if (Array.isArray(value)) return value.map(copied) as T;
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, copied(part)])) as T;
  return value;
}

export interface FrameStackOptions<O> {
  /**
   * What fills the stack before there are enough observations: the first of them ('reset', the default), zero, or an
   * element.
   */
  padding?: 'reset' | 'zero' | { readonly element: O } | undefined;
}

/**
 * Observes the last `size` observations, of which the newest is the last. Arrays are stacked along a new first axis;
 * observations of any other kind become a list.
 * @throws GymError E_CONFIG on a size below 1, E_SPACE on a padding that is no observation.
 */
export function frameStackObservation<A, O>(
  size: number,
  { padding = 'reset' }: FrameStackOptions<O> = {},
): Modification<O extends NdArray ? O : O[], A, O, A> {
  type Stacked = O extends NdArray ? O : O[];
  if (!Number.isInteger(size) || size < 1)
    throw new GymError(
      'E_CONFIG',
      `FrameStackObservation: size must be an integer of at least 1, actual value ${size}.`,
    );
  checkSize('FrameStackObservation: a stack', size);
  return {
    name: 'FrameStackObservation',
    settings: String(size),
    around: ({ observationSpace: space, actionSpace }) => {
      const element = typeof padding === 'object' ? padding.element : zeroOf(space);
      if (!space.contains(element))
        throw new GymError('E_SPACE', `FrameStackObservation: the padding is no element of ${space}.`);
      const begin = (queue: O[], observation: O) => {
        for (let i = 1; i < size; i++) queue.push(padding === 'reset' ? observation : element);
        queue.push(observation);
      };
      const push = (queue: O[], observation: O) => {
        queue.push(observation);
        queue.shift();
      };
      const box = space instanceof Box ? (space as unknown as Box<DType>) : undefined;
      const show = (queue: readonly O[]) => (box ? stack(queue as readonly NdArray[]) : queue.map(copied)) as Stacked;
      const stacked = box ? stackedBox(box, size) : new Tuple(new Array<Space<O>>(size).fill(space));
      return {
        observationSpace: stacked as unknown as Space<Stacked>,
        actionSpace,
        modifier: () => queued<Stacked, A, O>('FrameStackObservation', space, [size, size], begin, push, show),
      };
    },
  };
}

function stackedBox(box: Box<DType>, size: number): Box<DType> {
  checkSize('FrameStackObservation: a stack', size * box.low.length);
  const repeat = (values: ArrayLike<number>, bounded: Uint8Array, infinity: number) =>
    Array.from({ length: size * values.length }, (_, i) =>
      bounded[i % values.length] ? values[i % values.length]! : infinity,
    );
  return new Box(
    repeat(box.low, box.boundedBelow, Number.NEGATIVE_INFINITY),
    repeat(box.high, box.boundedAbove, Number.POSITIVE_INFINITY),
    [size, ...box.shape],
    box.dtype,
  );
}

export interface TimeAwareOptions {
  /** Whether observation and time are one list of numbers (default), or stand side by side. */
  flatten?: boolean | undefined;
  /** Whether the time is a part of the limit, 0..1, instead of a number of steps. Default false. */
  normalize?: boolean | undefined;
  /** The key of the time if observations are a Dict. Default 'time'. */
  key?: string | undefined;
  /** The limit of an episode in steps. Default: that of the environment's spec. */
  maxEpisodeSteps?: number | undefined;
}

/**
 * Adds to each observation how many steps of the episode were taken.
 * @throws GymError E_CONFIG when episodes have no limit, or the key is one of the observation's own.
 */
export function timeAwareObservation<A>({
  flatten: flat = true,
  normalize = false,
  key = 'time',
  maxEpisodeSteps,
}: TimeAwareOptions = {}): Modification<unknown, A, unknown, A> {
  return {
    name: 'TimeAwareObservation',
    around: ({ observationSpace: space, actionSpace, spec }: Around<unknown, A>) => {
      const limit = maxEpisodeSteps ?? spec?.maxEpisodeSteps;
      if (limit === undefined)
        throw new GymError(
          'E_CONFIG',
          'TimeAwareObservation: the environment has no limit of steps; name one by `maxEpisodeSteps`.',
        );
      const time = normalize ? new Box(0, 1) : new Box(0, limit, [1], 'int32');
      if (space instanceof Dict && space.keys.includes(key))
        throw new GymError('E_CONFIG', `TimeAwareObservation: the observation has a key \`${key}\`; choose another.`);
      const both: Space<unknown> =
        space instanceof Dict
          ? new Dict({ ...space.spaces, [key]: time })
          : space instanceof Tuple
            ? new Tuple([...(space.spaces as readonly Space<unknown>[]), time])
            : new Dict({ obs: space, time });
      const join = (observation: unknown, t: number) => {
        const now = { data: normalize ? Float32Array.of(t / limit) : Int32Array.of(t), shape: [1] };
        if (space instanceof Dict) return { ...(observation as object), [key]: now };
        if (space instanceof Tuple) return [...(observation as unknown[]), now];
        return { obs: observation, time: now };
      };
      const show = (observation: unknown, t: number) =>
        flat ? flatten(both, join(observation, t)) : join(observation, t);
      return {
        observationSpace: flat ? flattenSpace(both) : both,
        actionSpace,
        modifier: () => {
          let t = 0;
          return {
            first: ({ observation, info }) => {
              t = 0;
              return { observation: show(observation, t), info };
            },
            action: (action) => action,
            next: (result) => ({ ...result, observation: show(result.observation, ++t) }),
            state: () => t,
            restore: (state, { observation, info }) => {
              t = snapshotCount('TimeAwareObservation', state);
              return { observation: show(observation, t), info };
            },
          };
        },
      };
    },
  };
}
