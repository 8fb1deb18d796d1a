import * as z from 'zod';
import type { Reward } from '../core/reward.js';
import { httpRewardOptions } from './http/options.js';

/** A reward with options. Its kind says what computes it. */
export const rewardDefinition = z.discriminatedUnion('kind', [
  httpRewardOptions.extend({ kind: z.literal('http', 'must be http').describe('a server that is asked over HTTP') }),
]);

/** Rewards with options, by names that expressions may use. */
export const rewardDefinitions = z
  .record(
    z.string().regex(/^[A-Za-z]\w*(-\w+)*$/, 'must be letters, digits, _ and single -, a letter first'),
    rewardDefinition,
  )
  .default({});

/** The options of a reward, validated. */
export type RewardDefinition = z.output<typeof rewardDefinition>;

/**
 * Makes a reward from its options.
 * @param name what errors and logs call it.
 * @throws GymError E_CONFIG when options do not fit each other, or what they name is not there.
 */
export async function makeDefined(name: string, { kind: _, ...options }: RewardDefinition): Promise<Reward> {
  const { httpReward } = await import('./http/http.js');
  return httpReward(name, options);
}
