import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ActOptions, Agent, Decision, Rollout } from '../../agents/agent.js';
import { writeFileAtomic } from '../../core/files.js';
import { Random, type RandomState } from '../../core/random.js';
import type { Snapshot } from '../../core/snapshot.js';
import type { Metrics } from '../../core/types.js';
import type { Env } from '../../envs/env.js';
import type { Space } from '../../envs/spaces/space.js';
import type { Autoreset, VectorEnv, VectorResetOptions } from '../../envs/vector-env.js';

/** The loop never looks into a space. */
const anything = { kind: 'Anything' } as unknown as Space<number>;

export interface LockstepOptions {
  numEnvs?: number;
  horizon?: number;
  /** Milliseconds that the reward of a batch takes. */
  delay?: (batch: number) => number;
  /** Told what happens, in order. */
  log?: (event: string) => void;
  fail?: (batch: number) => boolean;
}

/** Observations are numbers fixed by (seed, batch, i); the reward is −(last action − first observation)². */
export class Lockstep implements VectorEnv<number, number> {
  readonly observationSpace = anything;
  readonly actionSpace = anything;
  readonly autoreset = 'disabled';
  readonly numEnvs: number;
  readonly horizon: number;
  readonly #options: LockstepOptions;
  #batch = -1;
  #step = 0;
  #first: number[] = [];

  constructor(options: LockstepOptions = {}) {
    this.#options = options;
    this.numEnvs = options.numEnvs ?? 3;
    this.horizon = options.horizon ?? 4;
  }

  reset(options?: VectorResetOptions) {
    this.#batch = options!.options!.batch as number;
    this.#step = 0;
    const random = new Random(options!.seed as number);
    this.#first = Array.from({ length: this.numEnvs }, (_, i) => random.child(this.#batch * this.numEnvs + i).normal());
    this.#options.log?.(`reset ${this.#batch}`);
    return { observations: [...this.#first], infos: this.#first.map(() => ({})) };
  }

  async step(actions: readonly number[]) {
    const batch = this.#batch;
    const last = ++this.#step === this.horizon;
    const rewards = new Float64Array(this.numEnvs);
    const first = this.#first;
    if (last) {
      await new Promise((resolve) => setTimeout(resolve, this.#options.delay?.(batch) ?? 0));
      if (this.#options.fail?.(batch)) throw new Error(`reward of batch ${batch} failed`);
      for (let i = 0; i < this.numEnvs; i++) rewards[i] = -((actions[i]! - first[i]!) ** 2);
      this.#options.log?.(`scored ${batch}`);
    }
    return {
      observations: [...actions],
      rewards,
      terminated: new Uint8Array(this.numEnvs).fill(Number(last)),
      truncated: new Uint8Array(this.numEnvs),
      infos: actions.map((_, i) => (last ? { rewardTerms: { twice: rewards[i]! * 2 } } : {})),
    };
  }
}

/** A walk that ends when it leaves (−2, 2), after different numbers of steps; reward 1 a step. Observes its place. */
export class Walk implements Env<number, number> {
  readonly observationSpace = anything;
  readonly actionSpace = anything;
  random = new Random(0);
  protected place = 0;

  reset(options?: { seed?: number }) {
    if (options?.seed !== undefined) this.random = new Random(options.seed);
    this.place = this.random.uniform(-1, 1);
    return { observation: this.place, info: {} };
  }

  step(action: number) {
    this.place += action + this.random.normal();
    const terminated = Math.abs(this.place) >= 2;
    return { observation: this.place, reward: 1, terminated, truncated: false, info: {} };
  }
}

/** The same with a way to save it. */
export class SavedWalk extends Walk {
  snapshot(): Snapshot {
    return { random: this.random.state() as unknown as Snapshot, place: this.place };
  }

  restore(snapshot: Snapshot) {
    const { random, place } = snapshot as unknown as { random: RandomState; place: number };
    this.random = Random.restore(random);
    this.place = place;
    return { observation: place, info: {} };
  }
}

/** Two walks as Gymnasium's vector environments do it, in any mode of autoreset. */
export class Walks implements VectorEnv<number, number> {
  readonly observationSpace = anything;
  readonly actionSpace = anything;
  readonly numEnvs = 2;
  readonly autoreset: Autoreset;
  readonly #walks = [new Walk(), new Walk()];
  #over = [false, false];

  constructor(autoreset: Autoreset) {
    this.autoreset = autoreset;
  }

  reset(options?: VectorResetOptions) {
    const observations = this.#walks.map((walk, i) => {
      if (options?.mask && !options.mask[i]) return Number.NaN;
      this.#over[i] = false;
      return walk.reset(options?.seed === undefined ? {} : { seed: (options.seed as number) + i }).observation;
    });
    return { observations, infos: [{}, {}] };
  }

  step(actions: readonly number[]) {
    const results = this.#walks.map((walk, i) => {
      if (this.#over[i]) {
        if (this.autoreset !== 'next-step') throw new Error(`walk ${i} was stepped after its end`);
        this.#over[i] = false;
        return { ...walk.reset(), reward: 0, terminated: false, info: {} };
      }
      const result = walk.step(actions[i]!);
      if (result.terminated && this.autoreset === 'same-step')
        return { ...result, observation: walk.reset().observation, info: { finalObservation: result.observation } };
      this.#over[i] = result.terminated;
      return result;
    });
    return {
      observations: results.map((r) => r.observation),
      rewards: Float64Array.from(results, (r) => r.reward),
      terminated: Uint8Array.from(results, (r) => Number(r.terminated)),
      truncated: new Uint8Array(2),
      infos: results.map((r) => r.info),
    };
  }
}

/** Adds noise and a learned shift; learns from what it gets, so that every number of a run depends on all before it. */
export class ToyAgent implements Agent<number, number> {
  readonly collect: Agent<number, number>['collect'];
  shift = 0;
  rollouts: Rollout<number, number>[] = [];
  #random: Random;
  /** Of the random stream, as the last `learn` left it. */
  #learned: RandomState;

  constructor(collect: Agent<number, number>['collect'], seed = 0) {
    this.collect = collect;
    this.#random = new Random(seed);
    this.#learned = this.#random.state();
  }

  act(observations: readonly number[], { random = this.#random }: ActOptions = {}): Decision<number> {
    const noise = observations.map(() => random.normal());
    return {
      actions: observations.map((o, i) => 0.5 * o + 0.1 * noise[i]! + this.shift),
      extras: { noise: Float32Array.from(noise) },
    };
  }

  learn(rollout?: Rollout<number, number>): Metrics {
    if (!rollout) return {};
    this.rollouts.push(rollout);
    let sum = 0;
    for (const step of rollout.steps)
      for (let i = 0; i < step.rewards.length; i++)
        if (step.valid[i]) sum += step.rewards[i]! * (step.extras.noise as Float32Array)[i]! + step.actions[i]!;
    this.shift += 0.01 * Math.tanh(sum + this.#random.normal());
    this.#learned = this.#random.state();
    return { 'train/shift': this.shift };
  }

  async save(folder: string) {
    await writeFileAtomic(join(folder, 'toy.json'), JSON.stringify({ shift: this.shift, random: this.#learned }));
  }

  async restore(folder: string) {
    const { shift, random } = JSON.parse(await readFile(join(folder, 'toy.json'), 'utf8')) as {
      shift: number;
      random: RandomState;
    };
    this.shift = shift;
    this.#random = Random.restore(random);
    this.#learned = random;
  }

  dispose() {}
}
