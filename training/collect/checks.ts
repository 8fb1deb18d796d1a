import type { Decision } from '../../agents/agent.js';
import { GymError } from '../../core/errors.js';
import type { VectorStepResult } from '../../envs/vector-env.js';

/** A decision with one action for each environment. @throws GymError E_SHAPE otherwise. */
export function checkedDecision<A>(decision: Decision<A>, numEnvs: number): Decision<A> {
  if (!Array.isArray(decision?.actions) || decision.actions.length !== numEnvs)
    throw new GymError(
      'E_SHAPE',
      `collect: the agent gave ${decision?.actions?.length ?? 'no'} actions for ${numEnvs} observations; \`act\` returns { actions: [one for each] }.`,
    );
  return decision;
}

/**
 * A step's result with an observation for each environment, and a reward that is finite in float32: of larger ones the
 * squares and sums of a rollout overflow, and all that is left to say would be that nothing can be learned.
 * @throws GymError E_SHAPE, E_VALUE.
 */
export function checkedStep<O>(result: VectorStepResult<O>, numEnvs: number): VectorStepResult<O> {
  if (result.observations.length !== numEnvs || result.rewards.length !== numEnvs)
    throw new GymError(
      'E_SHAPE',
      `collect: ${numEnvs} environments gave ${result.observations.length} observations and ${result.rewards.length} rewards.`,
    );
  for (let i = 0; i < numEnvs; i++)
    if (!Number.isFinite(Math.fround(result.rewards[i]!)))
      throw new GymError(
        'E_VALUE',
        `collect: environment ${i} gave the reward ${result.rewards[i]}; rewards must be finite numbers, at most 3.4e38 either way.`,
      );
  return result;
}
