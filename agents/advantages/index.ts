import { GymError } from '../../core/errors.js';
import type { AdvantageOptions } from '../options.js';
import type { Policy } from '../policy.js';
import { BatchAdvantages, EpisodeReturns } from './batch.js';
import type { AdvantageEstimator } from './estimator.js';
import { GeneralizedAdvantages } from './generalized.js';
import { PerPromptAdvantages } from './per-prompt.js';
import { RewardToGo } from './reward-to-go.js';

type Make = <O>(options: AdvantageOptions, policy: Policy<O, never>) => AdvantageEstimator<O>;

const estimators: Readonly<Record<AdvantageOptions['advantage'], Make>> = {
  batch: () => new BatchAdvantages(),
  none: () => new EpisodeReturns(),
  'per-prompt': ({ perPromptBuffer: bufferSize, perPromptMinCount: minCount }, policy) =>
    new PerPromptAdvantages({ bufferSize, minCount, promptOf: (observation) => policy.group?.(observation) ?? '' }),
  gae: ({ gamma, gaeLambda: lambda, standardizeAdvantages: standardize }, policy) => {
    if (policy.values === undefined)
      throw new GymError(
        'E_CONFIG',
        "agent.advantage: 'gae' needs a policy with a critic, and this one has none; choose 'batch', 'per-prompt' or 'reward-to-go'.",
      );
    return new GeneralizedAdvantages({
      gamma,
      lambda,
      standardize,
      values: (observations) => policy.values!(observations),
    });
  },
  'reward-to-go': ({ gamma, standardizeAdvantages: standardize }) => new RewardToGo({ gamma, standardize }),
};

/**
 * The estimator that an agent's options name.
 * @throws GymError E_CONFIG when generalized advantages are asked for and the policy has no critic.
 */
export function makeAdvantageEstimator<O, A>(options: AdvantageOptions, policy: Policy<O, A>): AdvantageEstimator<O> {
  return estimators[options.advantage](options, policy as Policy<O, never>);
}
