import { ndarray } from '../../core/ndarray.js';
import { Box, register } from '../../envs/index.js';
import { Counter } from './counter.js';

register({
  id: 'ModuleCounter-v0',
  description: 'counts',
  options: { length: 'steps' },
  create: ({ length = 2 }) => new Counter(length as number),
});

/** Takes its thread with it at action 7. */
class Crashing extends Counter {
  override step(action: number) {
    if (action === 7) process.exit(3);
    return super.step(action);
  }
}
register({ id: 'CrashingCounter-v0', description: 'crashes at action 7', create: () => new Crashing(5) });

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
register({ id: 'LargeCounter-v0', description: 'observes much', create: () => new Large(5) });
