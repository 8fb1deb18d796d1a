import { GymError } from '../../core/errors.js';
import type { Extras } from '../agent.js';
import type { Policy } from '../policy.js';
import type { Transitions } from '../transitions.js';

/**
 * The log-ratios ln π(a|s) − ln π_reference(a|s) of actions that were taken, by the present weights, in nats: what a KL among
 * the rewards is made of. A deterministic step (σ = 0) has no density, and is left out: it counts 0.
 * @throws GymError E_CONFIG when the policy has none.
 */
export function referenceLogRatios<O, A>(
  policy: Policy<O, A>,
  microBatch: number,
): (transitions: Transitions<O, A>) => Promise<Extras> {
  if (policy.referenceLogRatio === undefined)
    throw new GymError(
      'E_CONFIG',
      "agent.klIn: 'reward' needs a policy that scores actions by its reference, as denoising policies do; use 'loss'.",
    );
  return async ({ observations, actions, extras }) => {
    const prepared = await policy.prepare(observations, actions, extras);
    const hasDensity = policy.trainable(prepared);
    const trainable = Int32Array.from(hasDensity.keys()).filter((row) => hasDensity[row] === 1);
    const referenceLogRatio = new Float32Array(prepared.length);
    for (let first = 0; first < trainable.length; first += microBatch) {
      const own = trainable.subarray(first, first + microBatch);
      const ratios = policy.referenceLogRatio!(prepared, own);
      const values = await ratios.data();
      ratios.dispose();
      own.forEach((row, k) => {
        referenceLogRatio[row] = values[k]!;
      });
    }
    return { referenceLogRatio };
  };
}
