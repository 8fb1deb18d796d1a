import { GymError, messageOf } from '../../core/errors.js';
import type { Snapshot } from '../../core/snapshot.js';
import type { Awaitable, Info } from '../../core/types.js';
import {
  checkFirst,
  checkVectorReset,
  isStep,
  noStep,
  otherSnapshot,
  snapshotCount,
  snapshotFlags,
  snapshotList,
  snapshotNumbers,
  snapshotParts,
  wrongActions,
} from '../checks.js';
import type { Env, EnvSpec } from '../env.js';
import type { Space } from '../spaces/space.js';
import type { VectorEnv, VectorResetOptions, VectorResetResult, VectorStepResult } from '../vector-env.js';

/**
 * Environments in groups whose episodes begin alike, so that an agent can compare what it made of one start (GRPO): the
 * first member of a group is reset, and its snapshot restored to the others, random stream included. From there on only
 * the actions tell them apart.
 *
 * A member whose episode has ended idles until the group's last one has ended too: its steps have reward 0 and
 * `info.idle`, and are no transitions. The step after that begins the group's next episodes, as under `next-step`. Every
 * info has the number of its group as `group`, which no two groups since a seed have in common.
 */
export class Groups<O, A> implements VectorEnv<O, A> {
  readonly envs: readonly Env<O, A>[];
  readonly groupSize: number;
  readonly numEnvs: number;
  readonly observationSpace: Space<O>;
  readonly actionSpace: Space<A>;
  readonly autoreset = 'next-step';
  readonly spec?: EnvSpec;
  /** 1 for members whose episode has ended. */
  readonly #ended: Uint8Array;
  /** The number of the group that each environment is in. */
  readonly #numbers: number[];
  #observations: O[] = [];
  /** How many groups have begun since the last seed. */
  #begun = 0;

  /**
   * @param envs alike, each with `snapshot` and `restore`; consecutive ones form a group. They are closed with this.
   * @throws GymError E_CONFIG when they are not whole groups of at least 2, or cannot be restored.
   */
  constructor(envs: readonly Env<O, A>[], groupSize: number) {
    if (!(Number.isInteger(groupSize) && groupSize >= 2 && envs.length > 0 && envs.length % groupSize === 0))
      throw new GymError(
        'E_CONFIG',
        `Groups: ${envs.length} environments are no groups of ${groupSize}; make their number a multiple of the size, which is at least 2.`,
      );
    const [first] = envs as [Env<O, A>];
    const without = envs.findIndex((env) => env.snapshot === undefined || env.restore === undefined);
    if (without >= 0)
      throw new GymError(
        'E_CONFIG',
        `Groups: environment ${without} (${first.spec?.id ?? first.constructor.name}) has no snapshot and restore, so no other can begin as it does; give it these two methods.`,
      );
    this.envs = [...envs];
    this.groupSize = groupSize;
    this.numEnvs = envs.length;
    this.observationSpace = first.observationSpace;
    this.actionSpace = first.actionSpace;
    if (first.spec !== undefined) this.spec = first.spec;
    this.#ended = new Uint8Array(envs.length);
    this.#numbers = new Array<number>(envs.length).fill(0);
  }

  /**
   * Begins new episodes in all groups, or in those of a mask. Of the seeds those of each group's first member count.
   * @throws GymError E_VALUE on a mask that splits a group.
   */
  async reset(reset: VectorResetOptions = {}): Promise<VectorResetResult<O>> {
    checkVectorReset('Groups', this.numEnvs, reset, this.#observations.length > 0);
    const { seed, options, mask } = reset;
    if (mask?.some((one, i) => one !== mask[this.#first(i)]))
      throw new GymError(
        'E_VALUE',
        `Groups.reset: a group is reset as a whole, so the mask must be the same for each ${this.groupSize} environments, actual value [${mask.join(', ')}].`,
      );
    if (seed !== undefined && mask === undefined) this.#begun = 0;
    const infos = new Array<Info>(this.numEnvs).fill({});
    const observations = this.#observations.slice();
    for (let first = 0; first < this.numEnvs; first += this.groupSize) {
      if (mask?.[first] === 0) continue;
      const own = typeof seed === 'number' ? seed + first : seed?.[first];
      await this.#begin(first, { seed: own, options }, observations, infos);
    }
    this.#observations = observations;
    return { observations: [...observations], infos };
  }

  /** @throws GymError E_STATE before the first reset, E_VALUE on another number of actions; whatever an environment throws. */
  async step(actions: readonly A[]): Promise<VectorStepResult<O>> {
    const n = this.numEnvs;
    if (this.#observations.length === 0)
      throw new GymError('E_STATE', 'Groups.step: no episode has begun; call reset() first.');
    if (actions?.length !== n) throw wrongActions('Groups', n, actions);
    const observations = this.#observations.slice();
    const out = {
      observations,
      rewards: new Float64Array(n),
      terminated: new Uint8Array(n),
      truncated: new Uint8Array(n),
      infos: new Array<Info>(n),
    };
    for (let first = 0; first < n; first += this.groupSize) {
      const members = Array.from({ length: this.groupSize }, (_, k) => first + k);
      if (members.every((i) => this.#ended[i] === 1)) await this.#begin(first, {}, observations, out.infos);
      else for (const i of members) await this.#stepOne(i, actions[i]!, out);
    }
    this.#observations = observations.slice();
    return out;
  }

  async snapshot(): Promise<Snapshot> {
    const envs: Snapshot[] = [];
    for (const env of this.envs) envs.push(await env.snapshot!());
    return {
      groupSize: this.groupSize,
      envs,
      ended: [...this.#ended],
      numbers: [...this.#numbers],
      begun: this.#begun,
    };
  }

  /** @throws GymError E_STATE on a snapshot of other groups. */
  async restore(snapshot: Snapshot): Promise<VectorResetResult<O>> {
    const parts = snapshotParts('Groups', snapshot, ['groupSize', 'envs', 'ended', 'numbers', 'begun']);
    const states = snapshotList('Groups', parts.envs);
    if (parts.groupSize !== this.groupSize || states.length !== this.numEnvs)
      throw otherSnapshot(
        'Groups',
        `${states.length} environments in groups of ${String(parts.groupSize)}`,
        `${this.numEnvs} environments in groups of ${this.groupSize}`,
      );
    const ended = snapshotFlags('Groups', parts.ended, this.numEnvs);
    const numbers = snapshotNumbers('Groups', parts.numbers, this.numEnvs);
    const begun = snapshotCount('Groups', parts.begun);
    this.#observations = [];
    const observations: O[] = [];
    const infos: Info[] = [];
    for (const [i, env] of this.envs.entries()) {
      const result = await this.#named(i, () => env.restore!(states[i]!));
      checkFirst(env, 'restore', result);
      observations.push(result.observation);
      infos.push({ ...result.info, group: numbers[i] });
    }
    this.#ended.set(ended);
    this.#numbers.splice(0, this.numEnvs, ...numbers);
    this.#begun = begun;
    this.#observations = observations;
    return { observations: [...observations], infos };
  }

  async close(): Promise<void> {
    for (const env of this.envs) await env.close?.();
  }

  toString(): string {
    return `Groups(${this.numEnvs} in groups of ${this.groupSize}, ${String(this.envs[0])})`;
  }

  /** The first member of the group that environment i is in. */
  #first(i: number): number {
    return i - (i % this.groupSize);
  }

  /** Resets the first member of a group and makes the others stand where it stands. */
  async #begin(
    first: number,
    options: { seed?: number | undefined; options?: Record<string, unknown> | undefined },
    observations: O[],
    infos: Info[],
  ): Promise<void> {
    const leader = this.envs[first]!;
    const number = this.#begun++;
    const begun = await this.#named(first, () => leader.reset(options));
    checkFirst(leader, 'reset', begun);
    const snapshot = await this.#named(first, () => leader.snapshot!());
    for (let i = first; i < first + this.groupSize; i++) {
      const env = this.envs[i]!;
      const result = i === first ? begun : await this.#named(i, () => env.restore!(snapshot));
      checkFirst(env, 'restore', result);
      observations[i] = result.observation;
      infos[i] = { ...result.info, group: number };
      this.#ended[i] = 0;
      this.#numbers[i] = number;
    }
  }

  async #stepOne(i: number, action: A, out: VectorStepResult<O>): Promise<void> {
    const group = this.#numbers[i];
    if (this.#ended[i] === 1) {
      out.infos[i] = { group, idle: true };
      return;
    }
    const env = this.envs[i]!;
    const result = await this.#named(i, () => env.step(action));
    if (!isStep(result)) throw noStep(env, result);
    out.observations[i] = result.observation;
    out.rewards[i] = result.reward;
    out.terminated[i] = Number(result.terminated);
    out.truncated[i] = Number(result.truncated);
    out.infos[i] = { ...result.info, group };
    this.#ended[i] = Number(result.terminated || result.truncated);
  }

  /** A call whose error says which environment it came from. */
  async #named<R>(i: number, call: () => Awaitable<R>): Promise<R> {
    try {
      return await call();
    } catch (error) {
      const code = GymError.is(error) ? error.code : 'E_STATE';
      throw new GymError(code, `Groups: environment ${i}: ${messageOf(error)}`, { cause: error });
    }
  }
}
