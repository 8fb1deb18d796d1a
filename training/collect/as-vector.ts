import type { Snapshot } from '../../core/snapshot.js';
import { type Awaitable, isPromiseLike } from '../../core/types.js';
import type { Env } from '../../envs/env.js';
import type { VectorEnv } from '../../envs/vector-env.js';

/** A single environment as a vector of one, which is reset by the caller. A vector environment is returned as it is. */
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
export function isLockstep(env: { horizon?: number | undefined; autoreset: string }): boolean {
  return env.horizon !== undefined && env.autoreset === 'disabled';
}
