import type { Decision, RolloutStep } from '../../agents/agent.js';
import { orAborted } from '../../core/breathe.js';
import { GymError } from '../../core/errors.js';
import type { Snapshot } from '../../core/snapshot.js';
import { type Awaitable, type Info, isPromiseLike } from '../../core/types.js';
import { snapshotFlags, snapshotNumbers, snapshotParts } from '../../envs/checks.js';
import type { VectorEnv, VectorResetResult } from '../../envs/vector-env.js';
import { checkedStep } from './checks.js';
import { type Episode, ownReturn } from './episode.js';

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

/** What a step of a vector environment brought. */
export interface Stepped {
  /** Transitions. */
  readonly valid: number;
  readonly ended: readonly { readonly index: number; readonly episode: Episode }[];
}

export interface StepOptions<O, A> {
  /** 1 for environments whose transitions do not count. */
  readonly idle?: ArrayLike<number> | undefined;
  /** Takes the step in, where rollouts are stored. */
  readonly steps?: RolloutStep<O, A>[] | undefined;
  readonly signal?: AbortSignal | undefined;
  act(observations: readonly O[], infos: readonly Info[], starts: Uint8Array): Awaitable<Decision<A>>;
  /** Resets environments whose episodes have ended, where nobody else does. */
  reset(mask: Uint8Array): Awaitable<VectorResetResult<O>>;
}

/**
 * One vector environment and where its episodes stand, stepped by whichever mode of autoreset it has. It may stand within
 * episodes, and is then saved with the environment's own snapshot.
 */
export class Stepper<O, A> {
  readonly env: VectorEnv<O, A>;
  #at: Position<O> | undefined;

  constructor(env: VectorEnv<O, A>) {
    this.env = env;
  }

  /** Whether it stands within episodes. */
  get begun(): boolean {
    return this.#at !== undefined;
  }

  get observations(): readonly O[] {
    return this.#at!.observations;
  }

  /** Steps of the episode that each environment is in. */
  get lengths(): Int32Array {
    return this.#at!.lengths;
  }

  /** Stands at the start of new episodes. */
  begin({ observations, infos }: VectorResetResult<O>): void {
    const n = observations.length;
    this.#at = {
      observations,
      infos,
      starts: new Uint8Array(n).fill(1),
      resetting: new Uint8Array(n),
      returns: new Float64Array(n),
      lengths: new Int32Array(n),
    };
  }

  /** Leaves the episodes that it is in. */
  leave(): void {
    this.#at = undefined;
  }

  /** The episode that environment i is in, taken as it is. */
  cut(i: number): Episode {
    const at = this.#at!;
    return { reward: at.returns[i]!, length: at.lengths[i]!, info: at.infos[i]!, cut: true };
  }

  /** Leaves the episodes of the marked environments, and begins others in them. */
  async restart(mask: Uint8Array, reset: StepOptions<O, A>['reset']): Promise<void> {
    const at = this.#at!;
    const { observations, infos } = await reset(mask);
    const marked = <T>(then: T, now: T, i: number) => (mask[i] ? then : now);
    at.observations = at.observations.map((now, i) => marked(observations[i]!, now, i));
    at.infos = at.infos.map((now, i) => marked(infos[i]!, now, i));
    at.starts = at.starts.map((now, i) => marked(1, now, i));
    at.resetting = at.resetting.map((now, i) => marked(0, now, i));
    at.returns = at.returns.map((now, i) => marked(0, now, i));
    at.lengths = at.lengths.map((now, i) => marked(0, now, i));
  }

  /** One vector step from the present position. */
  async step(options: StepOptions<O, A>): Promise<Stepped> {
    const at = this.#at!;
    const { env } = this;
    const { idle, steps, signal } = options;
    const { numEnvs } = env;
    const acted = options.act(at.observations, at.infos, at.starts);
    const decision = isPromiseLike(acted) ? await orAborted(acted, signal) : acted;
    const stepped = env.step(decision.actions);
    const result = checkedStep(isPromiseLike(stepped) ? await orAborted(stepped, signal) : stepped, numEnvs);
    const valid = new Uint8Array(numEnvs);
    const done = new Uint8Array(numEnvs);
    const starts = new Uint8Array(numEnvs);
    const waiting = new Uint8Array(numEnvs);
    const finalObservations: (O | undefined)[] = new Array(numEnvs).fill(undefined);
    const ended: { index: number; episode: Episode }[] = [];
    let count = 0;
    for (let i = 0; i < numEnvs; i++) {
      if (at.resetting[i]) {
        // Next-step autoreset: this step ignored its action and returned the new episode's first observation. A member
        // of a group waits for the others first.
        if (result.infos[i]?.idle === true) waiting[i] = 1;
        else starts[i] = 1;
        continue;
      }
      done[i] = Number(result.terminated[i] || result.truncated[i]);
      if (done[i]) {
        const info = result.infos[i]!;
        finalObservations[i] = env.autoreset === 'same-step' ? (info.finalObservation as O) : result.observations[i];
        if (env.autoreset !== 'next-step') starts[i] = 1;
      }
      if (idle?.[i]) continue;
      valid[i] = 1;
      count++;
      at.returns[i]! += result.rewards[i]!;
      at.lengths[i]! += 1;
      if (done[i]) {
        const info = result.infos[i]!;
        const last = env.autoreset === 'same-step' ? ((info.finalInfo ?? {}) as Info) : info;
        const reward = (last[ownReturn] as number | undefined) ?? at.returns[i]!;
        ended.push({ index: i, episode: { reward, length: at.lengths[i]!, info } });
      }
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
    for (let i = 0; i < numEnvs; i++) {
      if (!done[i]) continue;
      at.returns[i] = 0;
      at.lengths[i] = 0;
    }
    at.observations = result.observations;
    at.infos = result.infos;
    at.starts = starts;
    at.resetting = env.autoreset === 'next-step' ? done.map((one, i) => one | waiting[i]!) : new Uint8Array(numEnvs);
    if (env.autoreset === 'disabled' && done.includes(1)) await this.restart(done, options.reset);
    return { valid: count, ended };
  }

  /** What {@link restore} needs; undefined between episodes, where it needs nothing. */
  async state(): Promise<Snapshot | undefined> {
    const at = this.#at;
    if (at === undefined) return undefined;
    if (!this.env.snapshot || !this.env.restore) return { lost: true };
    return {
      env: await this.env.snapshot(),
      starts: [...at.starts],
      resetting: [...at.resetting],
      returns: [...at.returns],
      lengths: [...at.lengths],
    };
  }

  /** @throws GymError E_STATE where the environment could not be saved within its episodes. */
  async restore(state: Snapshot | undefined): Promise<void> {
    this.#at = undefined;
    if (state === undefined) return;
    const { env, lost } = state as { env?: Snapshot; lost?: boolean };
    if (lost || env === undefined || !this.env.restore) throw cannotResume('resume', this.env);
    const at = snapshotParts('Collector', state, ['starts', 'resetting', 'returns', 'lengths']);
    const { numEnvs } = this.env;
    const position = {
      starts: snapshotFlags('Collector', at.starts, numEnvs),
      resetting: snapshotFlags('Collector', at.resetting, numEnvs),
      returns: Float64Array.from(snapshotNumbers('Collector', at.returns, numEnvs)),
      lengths: Int32Array.from(snapshotNumbers('Collector', at.lengths, numEnvs)),
    };
    const { observations, infos } = await this.env.restore(env);
    this.#at = { observations, infos, ...position };
  }
}

/** The error for a run that is cut within episodes of an environment that has no snapshot and restore. */
export function cannotResume(where: string, env: { spec?: { id: string } | undefined }): GymError {
  return new GymError(
    'E_STATE',
    `${where}: ${env.spec?.id ?? env.constructor.name} has no snapshot and restore, so a run that is cut within an episode cannot go on; let rollouts hold whole episodes (agent.collect: {episodes: n}), or give the environment these two methods and start again.`,
  );
}
