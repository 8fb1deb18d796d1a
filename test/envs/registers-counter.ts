import { existsSync, rmSync } from 'node:fs';
import { ndarray } from '../../core/ndarray.js';
import { Box, Dict, Discrete, register, SyncVectorEnv } from '../../envs/index.js';
import { Counter, SlowCounter } from './counter.js';

register({
  id: 'ModuleCounter-v0',
  description: 'counts',
  options: { length: 'steps' },
  create: ({ length = 2 }) => new Counter(length as number),
});

/** Takes its thread with it at action 7; soon after action 8; and at a reset that finds, and takes away, the file `at`. */
class Crashing extends Counter {
  readonly #at: string;

  constructor(length: number, at: string) {
    super(length);
    this.#at = at;
  }

  override reset(options?: Parameters<Counter['reset']>[0]) {
    if (options?.options?.crash === true) process.exit(3);
    if (existsSync(this.#at)) {
      rmSync(this.#at);
      process.exit(4);
    }
    return super.reset(options);
  }

  override step(action: number) {
    if (action === 7) process.exit(3);
    if (action === 8) setTimeout(() => process.exit(5), 5);
    return super.step(action);
  }
}
register({
  id: 'CrashingCounter-v0',
  description: 'crashes at action 7',
  options: { length: 'steps', at: 'a file' },
  create: ({ length = 5, at = '' }) => new Crashing(length as number, at as string),
});

/** Takes ten seconds for a step, so that a test can cut it. */
class VerySlowCounter extends SlowCounter {
  override async step(action: number) {
    await new Promise((resolve) => setTimeout(resolve, 10_000));
    return super.step(action);
  }
}
register({ id: 'SlowCounter-v0', description: 'takes long', create: () => new VerySlowCounter(5) });

register({
  id: 'NativeCounter-v0',
  description: 'is natively a vector environment',
  createVec: (numEnvs) => ({
    ...new SyncVectorEnv([new Counter(3)]),
    numEnvs,
    autoreset: 'next-step',
    reset: () => ({ observations: [], infos: [] }),
    step: () => ({
      observations: [],
      rewards: new Float64Array(),
      terminated: new Uint8Array(),
      truncated: new Uint8Array(),
      infos: [],
    }),
  }),
});

/** Observes a part of a larger buffer, large enough to be moved between threads, and itself twice. */
class Large extends Counter {
  override readonly observationSpace = new Box(0, 1000, [2000]) as never;
  readonly #buffer = new Float32Array(10_000);

  #observation() {
    const data = this.#buffer.fill(this.t).subarray(4000, 6000);
    return ndarray(data, [2000]);
  }

  override reset(options?: Parameters<Counter['reset']>[0]) {
    super.reset(options);
    return { observation: this.#observation(), info: {} };
  }

  override step(action: number) {
    const result = super.step(action);
    const observation = this.#observation();
    return { ...result, observation, info: { again: observation } };
  }
}
/** Observes its step under keys whose order in an object is not that of the space. */
class Numbered extends Counter {
  override readonly observationSpace = new Dict({ 2: new Discrete(9), 10: new Box(0, 9, [1]) }) as never;

  override reset(options?: Parameters<Counter['reset']>[0]) {
    return { ...super.reset(options), observation: { 2: this.t, 10: ndarray(Float32Array.of(-1), [1]) } as never };
  }
}
register({ id: 'NumberedCounter-v0', description: 'observes a dict', create: () => new Numbered(5) });

register({ id: 'LargeCounter-v0', description: 'observes much', create: () => new Large(5) });
