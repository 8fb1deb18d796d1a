import type { Agent, Decision, Extras, Rollout, RolloutStep } from '../agents/agent.js';
import { GymError } from '../core/errors.js';
import { Random } from '../core/random.js';
import type { Snapshot } from '../core/snapshot.js';
import { type Awaitable, type Info, isPromiseLike } from '../core/types.js';
import type { Env } from '../envs/env.js';
import type { VectorEnv, VectorResetResult, VectorStepResult } from '../envs/vector-env.js';

/** One finished episode. */
export interface Episode {
  /** The sum of its rewards. */
  readonly reward: number;
  /** Its steps. */
  readonly length: number;
  /** What its last step said. */
  readonly info: Info;
}

/** What a rollout brought. */
export interface Collected<O, A> {
  /** Undefined for a rule: nothing is stored for it. */
  readonly rollout?: Rollout<O, A>;
  /** The episodes that ended in it, in a fixed order. */
  readonly episodes: readonly Episode[];
  /** Valid steps, summed over environments. */
  readonly envSteps: number;
}

/** How far the present rollout is, in vector steps. */
export type CollectProgress = (done: number, total: number) => void;

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
  readonly store?: boolean;
}

/** A single environment as a vector of one, which is reset by the caller. */
export function asVector<O, A>(env: Env<O, A> | VectorEnv<O, A>): VectorEnv<O, A> {
  if ('numEnvs' in env) return env;
  const then = <T, R>(value: Awaitable<T>, map: (value: T) => R): Awaitable<R> =>
    isPromiseLike(value) ? value.then(map) : map(value);
  return {
    numEnvs: 1,
    observationSpace: env.observationSpace,
    actionSpace: env.actionSpace,
    autoreset: 'disabled',
    spec: env.spec,
    reset: (options) =>
      then(
        env.reset({
          seed: typeof options?.seed === 'number' ? options.seed : options?.seed?.[0],
          options: options?.options,
        }),
        ({ observation, info }) => ({ observations: [observation], infos: [info] }),
      ),
    step: (actions) =>
      then(env.step(actions[0]!), ({ observation, reward, terminated, truncated, info }) => ({
        observations: [observation],
        rewards: Float64Array.of(reward),
        terminated: Uint8Array.of(Number(terminated)),
        truncated: Uint8Array.of(Number(truncated)),
        infos: [info],
      })),
    ...(env.snapshot && { snapshot: () => env.snapshot!() }),
    ...(env.restore && {
      restore: (snapshot: Snapshot) =>
        then(env.restore!(snapshot), ({ observation, info }) => ({ observations: [observation], infos: [info] })),
    }),
    close: () => env.close?.(),
  };
}

/** An environment that is reset as a whole, by the number of the batch, and whose episodes all end together. */
export function isLockstep(env: { horizon?: number; autoreset: string }): boolean {
  return env.horizon !== undefined && env.autoreset === 'disabled';
}

/** Where a rollout stands between two steps of one vector environment. */
interface Position<O> {
  observations: O[];
  infos: Info[];
  starts: Uint8Array;
  /** 1 where the next step is only an autoreset's. */
  resetting: Uint8Array;
  returns: Float64Array;
  lengths: Int32Array;
}

/**
 * Makes rollouts: agent.act ↔ env.step until what `agent.collect` names is full. Batches (and, for other environments,
 * rollouts) are numbered through the whole training, and a lockstep environment's batch is fixed by the seed and that number.
 */
export class Collector<O, A> {
  readonly #agent: Agent<O, A>;
  readonly #envs: readonly VectorEnv<O, A>[];
  readonly #seed: number;
  readonly #store: boolean;
  #batch = 0;
  #position: Position<O> | undefined;

  /** @throws GymError E_VALUE without an environment, or with some that differ in size. */
  constructor({ agent, envs, seed, store = true }: CollectorOptions<O, A>) {
    if (envs.length === 0) throw new GymError('E_VALUE', 'Collector: needs an environment, got none.');
    this.#agent = agent;
    this.#envs = envs.map(asVector);
    this.#seed = seed;
    this.#store = store;
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
  async collect(onProgress?: CollectProgress): Promise<Collected<O, A>> {
    const wanted = this.#agent.collect;
    const store = this.#store && wanted !== 'nothing';
    const amount = wanted === 'nothing' ? { episodes: this.#envs[0]!.numEnvs } : wanted;
    const env = this.#envs[0]!;
    if ('episodes' in amount)
      return isLockstep(env)
        ? await this.#batches(Math.ceil(amount.episodes / env.numEnvs), store, onProgress)
        : await this.#episodes(amount.episodes, store, onProgress);
    if (isLockstep(env) && amount.steps % env.horizon! === 0)
      return await this.#batches(amount.steps / env.horizon!, store, onProgress);
    return await this.#steps(amount.steps, store, onProgress);
  }

  /** Lockstep: whole batches, scoring overlapped with sampling, results in the order of the batches. */
  async #batches(batches: number, store: boolean, onProgress?: CollectProgress): Promise<Collected<O, A>> {
    const { numEnvs } = this.#envs[0]!;
    const horizon = this.#envs[0]!.horizon!;
    const steps: RolloutStep<O, A>[] = [];
    const episodes: Episode[] = [];
    const pending: (() => Promise<void>)[] = [];
    let lastObservations: readonly O[] = [];
    let done = 0;
    for (let b = 0; b < batches; b++) {
      // The environment of this batch still scores the batch that it sampled before.
      while (pending.length >= this.#envs.length) await pending.shift()!();
      const env = this.#envs[b % this.#envs.length]!;
      const first = await env.reset({ seed: this.#seed, options: { batch: this.#batch + b } });
      let { observations, infos } = first;
      const returns = new Float64Array(numEnvs);
      for (let t = 0; t < horizon; t++) {
        const starts = new Uint8Array(numEnvs).fill(Number(t === 0));
        const decision = await this.#act(observations, infos, starts);
        const record = { observations, actions: decision.actions, starts, extras: decision.extras ?? {} };
        const result = env.step(decision.actions);
        if (t < horizon - 1) {
          const step = checked(await result, numEnvs);
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
          const step = checked(await promise, numEnvs);
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
    this.#batch += batches;
    return {
      rollout: store ? { steps, lastObservations } : undefined,
      episodes,
      envSteps: batches * horizon * numEnvs,
    };
  }

  /**
   * The same number of whole episodes in each environment, more or less one: taking the first that end would prefer short
   * ones. Each rollout starts from a reset with a seed of its own, so it depends on the run's seed and its number alone.
   */
  async #episodes(count: number, store: boolean, onProgress?: CollectProgress): Promise<Collected<O, A>> {
    const env = this.#envs[0]!;
    const left = Int32Array.from({ length: env.numEnvs }, (_, i) =>
      Math.floor((count + env.numEnvs - 1 - i) / env.numEnvs),
    );
    this.#position = fresh(
      await this.#reset(env, new Random(this.#seed).child(`rollout/${this.#batch}`).integer(2 ** 31)),
    );
    this.#batch++;
    const steps: RolloutStep<O, A>[] = [];
    const episodes: Episode[] = [];
    let envSteps = 0;
    while (left.some((n) => n > 0)) {
      const idle = left.map((n) => Number(n === 0));
      const { step, ended } = await this.#step(env, idle, store ? steps : undefined);
      envSteps += step;
      for (const { index, episode } of ended) {
        left[index]!--;
        episodes.push(episode);
        onProgress?.(episodes.length, count);
      }
    }
    const lastObservations = this.#position.observations;
    this.#position = undefined;
    return { rollout: store ? { steps, lastObservations } : undefined, episodes, envSteps };
  }

  /** So many vector steps; episodes go on from one rollout to the next. */
  async #steps(count: number, store: boolean, onProgress?: CollectProgress): Promise<Collected<O, A>> {
    const env = this.#envs[0]!;
    if (!this.#position) this.#position = fresh(await this.#reset(env, this.#seed));
    const steps: RolloutStep<O, A>[] = [];
    const episodes: Episode[] = [];
    const none = new Uint8Array(env.numEnvs);
    let envSteps = 0;
    for (let t = 0; t < count; t++) {
      const { step, ended } = await this.#step(env, none, store ? steps : undefined);
      envSteps += step;
      for (const { episode } of ended) episodes.push(episode);
      onProgress?.(t + 1, count);
    }
    return {
      rollout: store ? { steps, lastObservations: this.#position!.observations } : undefined,
      episodes,
      envSteps,
    };
  }

  /** One vector step from the present position, by whichever mode of autoreset the environment has. */
  async #step(
    env: VectorEnv<O, A>,
    idle: ArrayLike<number>,
    steps: RolloutStep<O, A>[] | undefined,
  ): Promise<{ step: number; ended: { index: number; episode: Episode }[] }> {
    const at = this.#position!;
    const { numEnvs } = env;
    const acted = this.#act(at.observations, at.infos, at.starts);
    const decision = isPromiseLike(acted) ? await acted : acted;
    const stepped = env.step(decision.actions);
    const result = checked(isPromiseLike(stepped) ? await stepped : stepped, numEnvs);
    const valid = new Uint8Array(numEnvs);
    const done = new Uint8Array(numEnvs);
    const starts = new Uint8Array(numEnvs);
    const finalObservations: (O | undefined)[] = new Array(numEnvs).fill(undefined);
    const ended: { index: number; episode: Episode }[] = [];
    let count = 0;
    for (let i = 0; i < numEnvs; i++) {
      if (at.resetting[i]) {
        // Next-step autoreset: this step ignored its action and returned the new episode's first observation.
        starts[i] = 1;
        continue;
      }
      done[i] = Number(result.terminated[i] || result.truncated[i]);
      if (done[i]) {
        const info = result.infos[i]!;
        finalObservations[i] = env.autoreset === 'same-step' ? (info.finalObservation as O) : result.observations[i];
        if (env.autoreset !== 'next-step') starts[i] = 1;
      }
      if (idle[i]) continue;
      valid[i] = 1;
      count++;
      at.returns[i]! += result.rewards[i]!;
      at.lengths[i]! += 1;
      if (done[i])
        ended.push({
          index: i,
          episode: { reward: at.returns[i]!, length: at.lengths[i]!, info: result.infos[i]! },
        });
    }
    steps?.push({
      observations: at.observations,
      actions: decision.actions,
      rewards: result.rewards,
      terminated: result.terminated,
      truncated: result.truncated,
      starts: at.starts,
      valid,
      infos: result.infos,
      finalObservations,
      extras: decision.extras ?? {},
    });
    let { observations, infos } = result;
    for (let i = 0; i < numEnvs; i++) {
      if (!done[i]) continue;
      at.returns[i] = 0;
      at.lengths[i] = 0;
    }
    if (env.autoreset === 'disabled' && done.includes(1)) {
      const again = await this.#reset(env, isLockstep(env) ? this.#seed : undefined, done);
      observations = observations.map((o, i) => (done[i] ? again.observations[i]! : o));
      infos = infos.map((info, i) => (done[i] ? again.infos[i]! : info));
    }
    at.observations = observations;
    at.infos = infos;
    at.starts = starts;
    at.resetting = env.autoreset === 'next-step' ? done : new Uint8Array(numEnvs);
    return { step: count, ended };
  }

  #act(observations: readonly O[], infos: readonly Info[], starts: Uint8Array): Awaitable<Decision<A>> {
    const decision = this.#agent.act(observations, { infos, starts });
    return isPromiseLike(decision)
      ? decision.then((d) => complete(d, observations.length))
      : complete(decision, observations.length);
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
    const at = this.#position;
    if (!at) return { batch: this.#batch };
    const env = this.#envs[0]!;
    if (!env.snapshot || !env.restore) return { batch: this.#batch, lost: true };
    return {
      batch: this.#batch,
      env: await env.snapshot(),
      starts: [...at.starts],
      resetting: [...at.resetting],
      returns: [...at.returns],
      lengths: [...at.lengths],
    };
  }

  /** Goes on from a {@link state}. @throws GymError E_STATE where the environment could not be saved within an episode. */
  async restore(state: Snapshot): Promise<void> {
    const {
      batch,
      env: snapshot,
      lost,
      ...at
    } = state as {
      batch: number;
      env?: Snapshot;
      lost?: boolean;
      starts: number[];
      resetting: number[];
      returns: number[];
      lengths: number[];
    };
    const env = this.#envs[0]!;
    if (lost || (snapshot !== undefined && !env.restore))
      throw new GymError(
        'E_STATE',
        `resume: the environment ${env.spec?.id ?? env.constructor.name} has no snapshot and restore, so a run that was cut within an episode cannot go on; let rollouts hold whole episodes (agent.collect: {episodes: n}) or start again.`,
      );
    this.#batch = batch;
    this.#position = undefined;
    if (snapshot === undefined) return;
    const { observations, infos } = await env.restore!(snapshot);
    this.#position = {
      observations,
      infos,
      starts: Uint8Array.from(at.starts),
      resetting: Uint8Array.from(at.resetting),
      returns: Float64Array.from(at.returns),
      lengths: Int32Array.from(at.lengths),
    };
  }
}

function fresh<O>({ observations, infos }: VectorResetResult<O>): Position<O> {
  const n = observations.length;
  return {
    observations,
    infos,
    starts: new Uint8Array(n).fill(1),
    resetting: new Uint8Array(n),
    returns: new Float64Array(n),
    lengths: new Int32Array(n),
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

function complete<A>(decision: Decision<A>, numEnvs: number): Decision<A> {
  if (decision.actions.length !== numEnvs)
    throw new GymError(
      'E_SHAPE',
      `collect: the agent gave ${decision.actions.length} actions for ${numEnvs} observations.`,
    );
  return decision;
}

function checked<O>(result: VectorStepResult<O>, numEnvs: number): VectorStepResult<O> {
  if (result.observations.length !== numEnvs || result.rewards.length !== numEnvs)
    throw new GymError(
      'E_SHAPE',
      `collect: ${numEnvs} environments gave ${result.observations.length} observations and ${result.rewards.length} rewards.`,
    );
  for (let i = 0; i < numEnvs; i++)
    if (!Number.isFinite(result.rewards[i]!))
      throw new GymError(
        'E_VALUE',
        `collect: environment ${i} gave the reward ${result.rewards[i]}; rewards must be finite numbers.`,
      );
  return result;
}
