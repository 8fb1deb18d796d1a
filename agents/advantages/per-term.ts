import { GymError } from '../../core/errors.js';
import { meanAndStd } from '../../core/statistics.js';
import type { Span, Transitions } from '../transitions.js';
import { groupsOf } from './group.js';

/** A reward that is computed from others: its score, from the scores of those by name. */
export type CombineReward = (terms: Readonly<Record<string, number>>) => number;

/**
 * GDPO (arXiv 2601.05242): each reward of an expression is normalised among the episodes of a group, r'_k = (r_k − mean) /
 * max(std, 1e-6), before the expression puts them together, so that none drowns another by its scale. In a sum of weighted
 * rewards this is Σ w_k r'_k. Where an environment forms no groups, the rollout's episodes are one.
 * @param combine the expression, of scores by the names that `info.rewardTerms` has them under.
 * @returns the transitions with that as the reward of each complete episode's last step, and 0 before it.
 * @throws GymError E_STATE when an episode's last info has no `rewardTerms`.
 */
export function perTermRewards<O, A>(transitions: Transitions<O, A>, combine: CombineReward): Transitions<O, A> {
  const { infos, spans } = transitions;
  const rewards = transitions.rewards.slice();
  const termsOf = ({ end }: Span): Record<string, number> => {
    const { rewardTerms } = infos[end - 1]!;
    if (typeof rewardTerms !== 'object' || rewardTerms === null)
      throw new GymError(
        'E_STATE',
        "learn: rewardAggregation 'per-term' needs the scores of each reward in `info.rewardTerms` of an episode's last step, and this environment has none; use 'sum'.",
      );
    return rewardTerms as Record<string, number>;
  };
  for (const group of groupsOf(transitions, 'one')) {
    const terms = group.map(termsOf);
    const normalized = terms.map((): Record<string, number> => ({}));
    for (const name of Object.keys(terms[0]!)) {
      const { mean, std } = meanAndStd(terms.map((own) => own[name]!));
      terms.forEach((own, i) => {
        normalized[i]![name] = (own[name]! - mean) / Math.max(std, 1e-6);
      });
    }
    group.forEach(({ first, end }, i) => {
      rewards.fill(0, first, end - 1);
      rewards[end - 1] = combine(normalized[i]!);
    });
  }
  return { ...transitions, rewards, spans };
}
