import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import type { Snapshot } from '../../core/snapshot.js';
import { snapshotCount, snapshotList, snapshotParts } from '../checks.js';
import { type RandomSource, type RandomSourceState, randomSource, restoreRandomSource } from '../random-source.js';
import { type Bound, Box } from '../spaces/box.js';
import { Discrete } from '../spaces/discrete.js';
import { type DType, zeros } from '../spaces/dtype.js';
import { elementFromJson, elementToJson } from '../spaces/json.js';
import { MultiDiscrete } from '../spaces/multi-discrete.js';
import type { Space } from '../spaces/space.js';
import { binsOf, rescaling } from './box-maps.js';
import { actionModification, type Modification, needSpace } from './modifier.js';

/**
 * Hands any function of the agent's action to the environment.
 * @param space of the agent's actions; others are refused.
 */
export function transformAction<O, A, InnerA>(
  act: (action: A) => InnerA,
  space: Space<A>,
): Modification<O, A, O, InnerA> {
  return actionModification('TransformAction', () => ({ space, act }));
}

function unbounded(shape: readonly number[], dtype: DType): Space<NdArray> {
  return new Box(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, shape, dtype) as Space<NdArray>;
}

/** Takes actions of any numbers, and clips them into the bounds of the environment's Box. */
export function clipAction<O>(): Modification<O, NdArray, O, NdArray> {
  return actionModification('ClipAction', (space) => {
    const box = needSpace('ClipAction', space, Box) as unknown as Box<DType>;
    return {
      space: unbounded(box.shape, box.dtype),
      act: ({ data }) => {
        const clipped = zeros(box.dtype, data.length);
        for (let i = 0; i < data.length; i++) clipped[i] = Math.min(box.high[i]!, Math.max(box.low[i]!, data[i]!));
        return { data: clipped, shape: box.shape };
      },
    };
  });
}

/**
 * Takes actions between `low` and `high`, and maps them linearly to the bounds of the environment's Box. An action
 * outside `low` and `high` is mapped to one outside the environment's bounds, which the environment refuses or clips.
 */
export function rescaleAction<O>(low: Bound, high: Bound): Modification<O, NdArray, O, NdArray> {
  return actionModification('RescaleAction', (space) => {
    const map = rescaling('RescaleAction', needSpace('RescaleAction', space, Box), low, high);
    const { shape, dtype } = map.space;
    return { space: map.space as Space<NdArray>, accepts: unbounded(shape, dtype), act: map.backward };
  });
}

/**
 * Cuts the environment's Box into bins, and takes the index of a bin, whose centre is the action.
 * @param bins the number of bins of all numbers of an action, or of each.
 * @param options.multidiscrete whether each number has an index of its own (MultiDiscrete). Default: one index counts
 *   all combinations, in row-major order (Discrete).
 */
export function discretizeAction<O>(
  bins: number | readonly number[],
  { multidiscrete = false }: { multidiscrete?: boolean | undefined } = {},
): Modification<O, number | NdArray<Int32Array>, O, NdArray> {
  return actionModification('DiscretizeAction', (space) => {
    const box = needSpace('DiscretizeAction', space, Box) as unknown as Box<DType>;
    const counts = binsOf('DiscretizeAction', box, bins);
    const discrete: Space<unknown> = multidiscrete
      ? new MultiDiscrete(counts)
      : new Discrete(counts.reduce((a, b) => a * b, 1));
    return {
      space: discrete as Space<number | NdArray<Int32Array>>,
      act: (action) => {
        const data = zeros(box.dtype, counts.length);
        let rest = typeof action === 'number' ? action : 0;
        for (let i = counts.length - 1; i >= 0; i--) {
          const n = counts[i]!;
          const index = typeof action === 'number' ? rest % n : action.data[i]!;
          rest = Math.floor(rest / n);
          data[i] = box.low[i]! + ((index + 0.5) / n) * (box.high[i]! - box.low[i]!);
        }
        return { data, shape: box.shape };
      },
    };
  });
}

export interface StickyOptions {
  /**
   * The number of steps for which an action is repeated once it sticks, or a range from which it is drawn. Default 1.
   */
  duration?: number | readonly [number, number] | undefined;
}

/**
 * At each step but an episode's first, takes the action of the step before instead of the agent's with this probability
 * (Machado et al. 2018). Its random numbers are seeded by `reset({ seed })`.
 */
export function stickyAction<O, A>(
  probability: number,
  { duration = 1 }: StickyOptions = {},
): Modification<O, A, O, A> {
  const [least, most] = typeof duration === 'number' ? [duration, duration] : duration;
  if (!(probability >= 0 && probability < 1))
    throw new GymError('E_CONFIG', `StickyAction: the probability must be in [0, 1), actual value ${probability}.`);
  if (!(Number.isInteger(least) && Number.isInteger(most) && least >= 1 && most >= least))
    throw new GymError(
      'E_CONFIG',
      `StickyAction: duration must be an integer of at least 1, or a rising pair, actual value ${JSON.stringify(duration)}.`,
    );
  return {
    name: 'StickyAction',
    settings: `${probability}, ${least}-${most}`,
    around: ({ observationSpace, actionSpace }) => ({
      observationSpace,
      actionSpace,
      modifier: () => {
        let random: RandomSource | undefined;
        let last: { action: A } | undefined;
        /** The number of further steps for which the last action is repeated. */
        let left = 0;
        const taken = (action: A) => (last !== undefined && left > 0 ? last.action : action);
        return {
          first: (result, options) => {
            if (options?.seed !== undefined) random = randomSource(`${options.seed}/sticky`);
            last = undefined;
            left = 0;
            return result;
          },
          action: taken,
          next: (result, action) => {
            last = { action: taken(action) };
            left = Math.max(0, left - 1);
            random ??= randomSource();
            // Drawn here for the next step and not in that step itself, so that an action which is refused there leaves
            // no trace.
            if (left === 0 && random.next() < probability) left = least + random.integer(most - least + 1);
            return result;
          },
          state: () => ({
            left,
            last: last === undefined ? null : [elementToJson(actionSpace, last.action) as Snapshot],
            random: (random?.state() ?? null) as unknown as Snapshot,
          }),
          restore: (state, result) => {
            const saved = snapshotParts('StickyAction', state, ['left', 'last', 'random']);
            left = snapshotCount('StickyAction', saved.left);
            last =
              saved.last === null
                ? undefined
                : { action: elementFromJson(actionSpace, snapshotList('StickyAction', saved.last)[0]) };
            random =
              saved.random === null ? undefined : restoreRandomSource(saved.random as unknown as RandomSourceState);
            return result;
          },
        };
      },
    }),
  };
}
