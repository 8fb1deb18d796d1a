import { GymError } from '../../core/errors.js';
import type { Info } from '../../core/types.js';
import { type Modification, stepModification } from './modifier.js';

/** What a transformed reward may depend on, beside the environment's own reward. */
export interface RewardContext<O, A> {
  /** The observation after the step. */
  readonly observation: O;
  /** The observation before the step. */
  readonly previous: O;
  readonly action: A;
  readonly terminated: boolean;
  readonly truncated: boolean;
  readonly info: Info;
}

/** Replaces each reward by any function of it and of the step. */
export function transformReward<O, A>(
  transform: (reward: number, context: RewardContext<O, A>) => number,
): Modification<O, A, O, A> {
  return stepModification('TransformReward', () => () => {
    let previous: O;
    return {
      first: (result) => {
        previous = result.observation;
        return result;
      },
      next: (result, action) => {
        const { observation, terminated, truncated, info } = result;
        const reward = transform(result.reward, { observation, previous, action, terminated, truncated, info });
        previous = observation;
        return { ...result, reward };
      },
    };
  });
}

/** Replaces rewards below `low` by `low`, and those above `high` by `high`. One of the two may be left out. */
export function clipReward<O, A>({
  low,
  high,
}: {
  low?: number | undefined;
  high?: number | undefined;
}): Modification<O, A, O, A> {
  if ((low === undefined && high === undefined) || (low ?? 0) > (high ?? Number.POSITIVE_INFINITY))
    throw new GymError('E_CONFIG', `ClipReward: needs low <= high, or one of them; actual values ${low}, ${high}.`);
  const [least, most] = [low ?? Number.NEGATIVE_INFINITY, high ?? Number.POSITIVE_INFINITY];
  return stepModification('ClipReward', () => () => ({
    next: (result) => ({ ...result, reward: Math.min(most, Math.max(least, result.reward)) }),
  }));
}
