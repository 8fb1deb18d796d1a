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
  /** How many batches may be sampled at the same time. Default 1. */
  lanes?(): number;
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
  let lastObservations: readonly O[] = [];
  let done = 0;
  const progress = () => onProgress?.(++done, batches * horizon);

  /** Samples one batch. @returns its steps but the last, and the last one with the promise of its rewards. */
  const sample = async (env: VectorEnv<O, A>, b: number): Promise<Sampled<O, A>> => {
    const returns = new Float64Array(numEnvs);
    const earlier: RolloutStep<O, A>[] = [];
    let { observations, infos } = await env.reset({ seed, options: { batch: options.batch + b } });
    for (let t = 0; ; t++) {
      await breathe(signal);
      const starts = new Uint8Array(numEnvs).fill(Number(t === 0));
      const decision = await options.act(observations, infos, starts);
      const record = { observations, actions: decision.actions, starts, extras: decision.extras ?? {} };
      const result = env.step(decision.actions);
      if (t === horizon - 1) {
        const scored = Promise.resolve(result);
        // Awaited later, in order; a failure until then must not count as unhandled.
        scored.catch(() => {});
        return { earlier, returns, record, scored };
      }
      const step = checkedStep(isPromiseLike(result) ? await orAborted(result, signal) : result, numEnvs);
      add(returns, step.rewards);
      if (store) earlier.push(transition(record, step));
      ({ observations, infos } = step);
      progress();
    }
  };

  /** Takes a batch in, when its rewards are there. */
  const take = async ({ earlier, returns, record, scored }: Sampled<O, A>): Promise<void> => {
    const step = checkedStep(await orAborted(scored, signal), numEnvs);
    add(returns, step.rewards);
    if (store) steps.push(...earlier, transition(record, step));
    for (let i = 0; i < numEnvs; i++) {
      if (!(step.terminated[i] || step.truncated[i]))
        throw new GymError(
          'E_STATE',
          `collect: the environment says horizon ${horizon}, but episode ${i} did not end after that many steps.`,
        );
      episodes.push({ reward: returns[i]!, length: horizon, info: step.infos[i]! });
    }
    lastObservations = step.observations;
    progress();
  };

  // Batch b is sampled on environment b mod n, which must have scored its batch before. So many batches are sampled at the
  // same time as the agent has lanes.
  const sampling: Promise<Sampled<O, A>>[] = [];
  let taken = 0;
  for (let b = 0; b < batches; b++) {
    while (b - taken >= envs.length) await take(await sampling[taken++]!);
    // The batches that are sampled at this moment are the last ones.
    const lanes = Math.max(1, options.lanes?.() ?? 1);
    if (b >= lanes) await sampling[b - lanes];
    const batch = sample(envs[b % envs.length]!, b);
    batch.catch(() => {});
    sampling.push(batch);
    if (lanes === 1) await batch;
  }
  while (taken < batches) await take(await sampling[taken++]!);
  return {
    rollout: store ? { steps, lastObservations } : undefined,
    episodes,
    envSteps: batches * horizon * numEnvs,
  };
}

/** A batch whose rewards are still to come. */
interface Sampled<O, A> {
  readonly earlier: readonly RolloutStep<O, A>[];
  readonly returns: Float64Array;
  readonly record: StepRecord<O, A>;
  readonly scored: Promise<VectorStepResult<O>>;
}

interface StepRecord<O, A> {
  readonly observations: readonly O[];
  readonly actions: readonly A[];
  readonly starts: Uint8Array;
  readonly extras: Extras;
}

function transition<O, A>(record: StepRecord<O, A>, result: VectorStepResult<O>): RolloutStep<O, A> {
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
