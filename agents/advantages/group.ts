import { GymError } from '../../core/errors.js';
import { meanAndStd } from '../../core/statistics.js';
import type { Span, Transitions } from '../transitions.js';
import { type AdvantageEstimator, type Advantages, episodeReturns } from './estimator.js';

/**
 * The complete episodes of a rollout by their group: `info.group` of their last step, as the environments write it that
 * begin several episodes alike.
 * @param without where the infos name no group: 'one' takes the whole rollout as one.
 * @throws GymError E_STATE where they name none, and `without` is 'error'.
 */
export function groupsOf(
  { infos, spans }: Pick<Transitions<unknown, unknown>, 'infos' | 'spans'>,
  without: 'error' | 'one' = 'error',
): Span[][] {
  const groups = new Map<unknown, Span[]>();
  for (const span of spans) {
    if (!span.complete) continue;
    const { group } = infos[span.end - 1]!;
    if (group === undefined && without === 'error')
      throw new GymError(
        'E_STATE',
        'learn: the environment forms no groups (its infos have no `group`); make Denoising with groupSize, or put environments into a Groups.',
      );
    const known = groups.get(group);
    if (known) known.push(span);
    else groups.set(group, [span]);
  }
  return [...groups.values()];
}

/** What the differences to a group's mean are divided by. */
export type GroupStd = 'group' | 'batch' | 'none';

/**
 * The advantage of GRPO: an episode's return less the mean of its group, all of whose episodes began alike (DeepSeekMath,
 * arXiv 2402.03300 §4.1), over a standard deviation of the whole population + 1e-4, as in Flow-GRPO:
 * - `group`: the group's own, as in the paper; it makes easy and hard starts count alike;
 * - `batch`: that of all returns of the rollout (Flow-GRPO's `global_std`);
 * - `none`: 1 (Dr. GRPO, arXiv 2503.20783, for which the division is a bias towards starts with little spread).
 */
export class GroupAdvantages implements AdvantageEstimator {
  readonly #std: GroupStd;

  constructor({ std }: { std: GroupStd }) {
    this.#std = std;
  }

  estimate(transitions: Transitions<unknown, unknown>): Advantages {
    const advantages = new Float64Array(transitions.rewards.length).fill(Number.NaN);
    const batch = meanAndStd(episodeReturns(transitions).returns).std;
    for (const group of groupsOf(transitions)) {
      const returns = group.map(({ first, end }) =>
        transitions.rewards.subarray(first, end).reduce((sum, reward) => sum + reward, 0),
      );
      const { mean, std } = meanAndStd(returns);
      const scale = this.#std === 'none' ? 1 : (this.#std === 'group' ? std : batch) + 1e-4;
      group.forEach(({ first, end }, i) => {
        advantages.fill((returns[i]! - mean) / scale, first, end);
      });
    }
    return { advantages };
  }
}
