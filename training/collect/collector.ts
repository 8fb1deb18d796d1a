import type { Agent, Decision, RolloutStep } from '../../agents/agent.js';
import { breathe } from '../../core/breathe.js';
import { GymError } from '../../core/errors.js';
import { Random } from '../../core/random.js';
import type { Snapshot } from '../../core/snapshot.js';
import { type Awaitable, type Info, isPromiseLike } from '../../core/types.js';
import { snapshotCount, snapshotParts } from '../../envs/checks.js';
import type { Env } from '../../envs/env.js';
import type { VectorEnv, VectorResetResult } from '../../envs/vector-env.js';
import { asVector, isLockstep } from './as-vector.js';
import { checkedDecision } from './checks.js';
import type { Collected, CollectProgress, Episode } from './episode.js';
import { collectBatches } from './lockstep.js';
import { cannotResume, Stepper } from './stepper.js';

export interface CollectorOptions<O, A> {
  readonly agent: Agent<O, A>;
  /**
   * One environment, or several alike (same seed, same size). With two or more that have a `horizon`, the rewards of one
   * batch are awaited while the next batch of the same rollout is sampled on another one.
   */
  readonly envs: readonly (VectorEnv<O, A> | Env<O, A>)[];
  /** Seeds the environments. */
  readonly seed: number;
  /** false: rollouts are not stored, only their episodes reported. Default true. */
  readonly store?: boolean | undefined;
  /** An episode that is longer is cut there and marked so, where whole episodes are collected. Default: no limit. */
  readonly maxEpisodeSteps?: number | undefined;
}

export interface CollectOptions {
  readonly onProgress?: CollectProgress | undefined;
  /** Aborted: `collect` throws its reason after the present step, and what it had is lost. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes rollouts: agent.act ↔ env.step until what `agent.collect` names is full. Batches (and, for other environments,
 * rollouts) are numbered through the whole training, and a lockstep environment's batch is fixed by the seed and that number.
 */
export class Collector<O, A> {
  readonly #agent: Agent<O, A>;
  readonly #envs: readonly VectorEnv<O, A>[];
  readonly #stepper: Stepper<O, A>;
  readonly #seed: number;
  readonly #store: boolean;
  readonly #maxEpisodeSteps: number;
  #batch = 0;

  /** @throws GymError E_VALUE without an environment, or with some that differ in size. */
  constructor({ agent, envs, seed, store = true, maxEpisodeSteps }: CollectorOptions<O, A>) {
    if (envs.length === 0) throw new GymError('E_VALUE', 'Collector: needs an environment, got none.');
    this.#agent = agent;
    this.#envs = envs.map(asVector);
    this.#stepper = new Stepper(this.#envs[0]!);
    this.#seed = seed;
    this.#store = store;
    this.#maxEpisodeSteps = maxEpisodeSteps ?? Number.POSITIVE_INFINITY;
    const sizes = new Set(this.#envs.map((env) => `${env.numEnvs} environments, horizon ${env.horizon}`));
    if (sizes.size > 1)
      throw new GymError('E_VALUE', `Collector: the vector environments must be alike, got ${[...sizes].join('; ')}.`);
  }

  /** The number of the next batch. */
  get batch(): number {
    return this.#batch;
  }

  /**
   * Makes one rollout. A rule's (`collect` is 'nothing') is one episode in each environment, and is not stored.
   * @throws whatever the environment (a reward) or the agent throws; GymError E_VALUE for a reward that is not finite.
   */
  async collect(options: CollectOptions = {}): Promise<Collected<O, A>> {
    const wanted = this.#agent.collect;
    const store = this.#store && wanted !== 'nothing';
    const amount = wanted === 'nothing' ? { episodes: this.#envs[0]!.numEnvs } : wanted;
    const env = this.#envs[0]!;
    if ('episodes' in amount)
      return isLockstep(env)
        ? await this.#batches(Math.ceil(amount.episodes / env.numEnvs), store, options)
        : await this.#episodes(amount.episodes, store, options);
    if (isLockstep(env) && amount.steps % env.horizon! === 0)
      return await this.#batches(amount.steps / env.horizon!, store, options);
    return await this.#steps(amount.steps, store, options);
  }

  async #batches(batches: number, store: boolean, options: CollectOptions): Promise<Collected<O, A>> {
    const collected = await collectBatches({
      ...options,
      envs: this.#envs,
      seed: this.#seed,
      batch: this.#batch,
      batches,
      store,
      lanes: () => this.#agent.lanes ?? 1,
      act: (observations, infos, starts) => this.#act(observations, infos, starts),
    });
    this.#batch += batches;
    return collected;
  }

  /**
   * The same number of whole episodes in each environment, more or less one: taking the first that end would prefer short
   * ones. Each rollout starts from a reset with a seed of its own, so it depends on the run's seed and its number alone.
   */
  async #episodes(count: number, store: boolean, { onProgress, signal }: CollectOptions): Promise<Collected<O, A>> {
    const stepper = this.#stepper;
    const { env } = stepper;
    const left = Int32Array.from({ length: env.numEnvs }, (_, i) =>
      Math.floor((count + env.numEnvs - 1 - i) / env.numEnvs),
    );
    const seed = new Random(this.#seed).child(`rollout/${this.#batch}`).integer(2 ** 31);
    stepper.begin(await this.#reset(env, seed));
    this.#batch++;
    const steps: RolloutStep<O, A>[] = [];
    const episodes: Episode[] = [];
    let envSteps = 0;
    while (left.some((n) => n > 0)) {
      const idle = left.map((n) => Number(n === 0));
      const { valid, ended } = await this.#step(idle, store ? steps : undefined, signal);
      envSteps += valid;
      for (const { index, episode } of ended) {
        left[index]!--;
        episodes.push(episode);
        onProgress?.(episodes.length, count);
      }
      const cut = new Uint8Array(env.numEnvs);
      for (let i = 0; i < env.numEnvs; i++) {
        if (left[i] === 0 || stepper.lengths[i]! < this.#maxEpisodeSteps) continue;
        cut[i] = Number(--left[i]! > 0);
        episodes.push(stepper.cut(i));
        onProgress?.(episodes.length, count);
      }
      if (cut.includes(1)) await stepper.restart(cut, (mask) => this.#reset(env, undefined, mask));
    }
    const lastObservations = stepper.observations;
    stepper.leave();
    return { rollout: store ? { steps, lastObservations } : undefined, episodes, envSteps };
  }

  /** So many vector steps; episodes go on from one rollout to the next. */
  async #steps(count: number, store: boolean, { onProgress, signal }: CollectOptions): Promise<Collected<O, A>> {
    const stepper = this.#stepper;
    if (!stepper.begun) stepper.begin(await this.#reset(stepper.env, this.#seed));
    const steps: RolloutStep<O, A>[] = [];
    const episodes: Episode[] = [];
    let envSteps = 0;
    for (let t = 0; t < count; t++) {
      const { valid, ended } = await this.#step(undefined, store ? steps : undefined, signal);
      envSteps += valid;
      for (const { episode } of ended) episodes.push(episode);
      onProgress?.(t + 1, count);
    }
    return {
      rollout: store ? { steps, lastObservations: stepper.observations } : undefined,
      episodes,
      envSteps,
    };
  }

  async #step(
    idle: ArrayLike<number> | undefined,
    steps: RolloutStep<O, A>[] | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Awaited<ReturnType<Stepper<O, A>['step']>>> {
    // A synchronous environment and agent would never let a signal through.
    const pause = breathe(signal);
    if (pause) await pause;
    return await this.#stepper.step({
      idle,
      steps,
      signal,
      act: (observations, infos, starts) => this.#act(observations, infos, starts),
      reset: (mask) => {
        const { env } = this.#stepper;
        return this.#reset(env, isLockstep(env) ? this.#seed : undefined, mask);
      },
    });
  }

  #act(observations: readonly O[], infos: readonly Info[], starts: Uint8Array): Awaitable<Decision<A>> {
    const decision = this.#agent.act(observations, { infos, starts });
    return isPromiseLike(decision)
      ? decision.then((d) => checkedDecision(d, observations.length))
      : checkedDecision(decision, observations.length);
  }

  /** A lockstep environment is told the batch at each reset; another one only takes the seed. */
  #reset(env: VectorEnv<O, A>, seed: number | undefined, mask?: Uint8Array): Awaitable<VectorResetResult<O>> {
    if (!isLockstep(env)) return env.reset({ seed, ...(mask && env.numEnvs > 1 && { mask }) });
    return env.reset({ seed, options: { batch: this.#batch++ } });
  }

  /**
   * What a checkpoint needs to go on from here: the batch's number and, where a rollout may be cut within an episode, the
   * environments themselves.
   */
  async state(): Promise<Snapshot> {
    return { batch: this.#batch, ...((await this.#stepper.state()) as object | undefined) };
  }

  /** Goes on from a {@link state}. @throws GymError E_STATE where the environment could not be saved within an episode. */
  async restore(state: Snapshot): Promise<void> {
    const { batch, ...position } = snapshotParts('Collector', state, ['batch']);
    const next = snapshotCount('Collector', batch);
    await this.#stepper.restore(Object.keys(position).length > 0 ? position : undefined);
    this.#batch = next;
  }

  /** What stands against resuming a run of this agent in these environments, if anything. */
  get obstacleToResume(): GymError | undefined {
    const wanted = this.#agent.collect;
    const { env } = this.#stepper;
    const cuts =
      typeof wanted === 'object' && 'steps' in wanted && !(isLockstep(env) && wanted.steps % env.horizon! === 0);
    return cuts && !(env.snapshot && env.restore) ? cannotResume('train', env) : undefined;
  }
}
