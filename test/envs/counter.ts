import { type NdArray, ndarray } from '../../core/ndarray.js';
import type { Snapshot } from '../../core/snapshot.js';
import { Box, Discrete, type Env, type ResetOptions, type ResetResult, type StepResult } from '../../envs/index.js';

/** Counts its steps and ends after `length` of them: observation = steps taken, reward = the observation. */
export class Counter implements Env<NdArray<Float32Array>, number> {
  readonly observationSpace = new Box(0, 1000, [1]);
  readonly actionSpace = new Discrete(10);
  readonly length: number;
  readonly truncates: boolean;
  t = 0;
  episode = -1;
  seeds: (number | undefined)[] = [];
  actions: number[] = [];
  closed = 0;
  resetOptions: unknown;

  constructor(length: number, { truncates = false } = {}) {
    this.length = length;
    this.truncates = truncates;
  }

  #observe(): NdArray<Float32Array> {
    return ndarray(Float32Array.of(this.t), [1]);
  }

  reset({ seed, options }: ResetOptions = {}): ResetResult<NdArray<Float32Array>> {
    this.seeds.push(seed);
    this.resetOptions = options;
    this.t = 0;
    this.episode++;
    return { observation: this.#observe(), info: { episode: this.episode } };
  }

  step(action: number): StepResult<NdArray<Float32Array>> {
    if (action === 99) throw new Error('that is too much');
    this.actions.push(action);
    this.t++;
    const over = this.t >= this.length;
    return {
      observation: this.#observe(),
      reward: this.t,
      terminated: over && !this.truncates,
      truncated: over && this.truncates,
      info: { t: this.t },
    };
  }

  render(): string {
    return `t = ${this.t}`;
  }

  snapshot(): Snapshot {
    return { t: this.t, episode: this.episode };
  }

  restore(snapshot: Snapshot): ResetResult<NdArray<Float32Array>> {
    const { t, episode } = snapshot as { t: number; episode: number };
    this.t = t;
    this.episode = episode;
    return { observation: this.#observe(), info: {} };
  }

  close(): void {
    this.closed++;
  }
}

/** The same, with promises. */
export class SlowCounter implements Env<NdArray<Float32Array>, number> {
  readonly observationSpace = new Box(0, 1000, [1]);
  readonly actionSpace = new Discrete(10);
  readonly inner: Counter;

  constructor(length: number) {
    this.inner = new Counter(length);
  }

  async reset(options?: ResetOptions): Promise<ResetResult<NdArray<Float32Array>>> {
    await Promise.resolve();
    return this.inner.reset(options);
  }

  async step(action: number): Promise<StepResult<NdArray<Float32Array>>> {
    await Promise.resolve();
    return this.inner.step(action);
  }
}
