import type { Decision, Extras, RolloutStep } from '../../agents/agent.js';
import { breathe, orAborted } from '../../core/breathe.js';
import { GymError } from '../../core/errors.js';
import { type Awaitable, type Info, isPromiseLike } from '../../core/types.js';
import type { VectorEnv, VectorStepResult } from '../../envs/vector-env.js';
import { checkedStep } from './checks.js';
import type { Collected, CollectProgress, Episode } from './episode.js';

export interface LockstepOptions<O, A> {
  /** Alike, each with a `horizon`. */
  readonly envs: readonly VectorEnv<O, A>[];
  readonly seed: number;
  /** Number of the first batch, counted through the whole training. */
  readonly batch: number;
  readonly batches: number;
  readonly store: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: CollectProgress | undefined;
  act(observations: readonly O[], infos: readonly Info[], starts: Uint8Array): Awaitable<Decision<A>>;
}

/**
 * Whole batches of lockstep environments. The last step of a batch is a promise of its rewards; the next batch of the same
 * rollout is sampled on another environment meanwhile. Results are taken in the order of the batches.
 */
export async function collectBatches<O, A>(options: LockstepOptions<O, A>): Promise<Collected<O, A>> {
  const { envs, seed, batches, store, signal, onProgress } = options;
  const { numEnvs } = envs[0]!;
  const horizon = envs[0]!.horizon!;
  const steps: RolloutStep<O, A>[] = [];
  const episodes: Episode[] = [];
  const pending: (() => Promise<void>)[] = [];
  let lastObservations: readonly O[] = [];
  let done = 0;
  for (let b = 0; b < batches; b++) {
    // The environment of this batch still scores the batch that it sampled before.
    while (pending.length >= envs.length) await pending.shift()!();
    const env = envs[b % envs.length]!;
    const first = await env.reset({ seed, options: { batch: options.batch + b } });
    let { observations, infos } = first;
    const returns = new Float64Array(numEnvs);
    for (let t = 0; t < horizon; t++) {
      await breathe(signal);
      const starts = new Uint8Array(numEnvs).fill(Number(t === 0));
      const decision = await options.act(observations, infos, starts);
      const record = { observations, actions: decision.actions, starts, extras: decision.extras ?? {} };
      const result = env.step(decision.actions);
      if (t < horizon - 1) {
        const step = checkedStep(isPromiseLike(result) ? await orAborted(result, signal) : result, numEnvs);
        add(returns, step.rewards);
        if (store) steps.push(transition(record, step));
        ({ observations, infos } = step);
        onProgress?.(++done, batches * horizon);
        continue;
      }
      const index = steps.length;
      if (store) steps.length++;
      const promise = Promise.resolve(result);
      // Awaited later, in order; a failure until then must not count as unhandled.
      promise.catch(() => {});
      pending.push(async () => {
        const step = checkedStep(await orAborted(promise, signal), numEnvs);
        add(returns, step.rewards);
        if (store) steps[index] = transition(record, step);
        for (let i = 0; i < numEnvs; i++) {
          if (!(step.terminated[i] || step.truncated[i]))
            throw new GymError(
              'E_STATE',
              `collect: the environment says horizon ${horizon}, but episode ${i} did not end after that many steps.`,
            );
          episodes.push({ reward: returns[i]!, length: horizon, info: step.infos[i]! });
        }
        lastObservations = step.observations;
        onProgress?.(++done, batches * horizon);
      });
    }
  }
  while (pending.length > 0) await pending.shift()!();
  return {
    rollout: store ? { steps, lastObservations } : undefined,
    episodes,
    envSteps: batches * horizon * numEnvs,
  };
}

function transition<O, A>(
  record: { observations: readonly O[]; actions: readonly A[]; starts: Uint8Array; extras: Extras },
  result: VectorStepResult<O>,
): RolloutStep<O, A> {
  const { observations, rewards, terminated, truncated, infos } = result;
  return {
    ...record,
    rewards,
    terminated,
    truncated,
    valid: new Uint8Array(observations.length).fill(1),
    infos,
    finalObservations: observations.map((o, i) => (terminated[i] || truncated[i] ? o : undefined)),
  };
}

function add(sums: Float64Array, values: Float64Array): void {
  for (let i = 0; i < sums.length; i++) sums[i]! += values[i]!;
}
