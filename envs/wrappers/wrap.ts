import { GymError } from '../../core/errors.js';
import { isPromiseLike } from '../../core/types.js';
import type { Env } from '../env.js';
import type { VectorEnv } from '../vector-env.js';
import { ModifiedEnv } from './modified-env.js';
import { ModifiedVectorEnv } from './modified-vector-env.js';
import type { Modification } from './modifier.js';

/**
 * Puts a modification around an environment, single or vector: `wrap(wrap(env, flattenObservation()), normalizeReward({
 * gamma: 0.9 }))`.
 *
 * In a vector environment each environment is modified for itself, whatever the mode of autoreset: what a modification
 * remembers of an episode is forgotten when that environment is reset, and under `same-step` the final observation and
 * info are modified as those of the last step. Statistics, such as those of a normalisation, are of all its
 * environments.
 *
 * Calls take effect in the order in which they are made: a `reset` that is called while a step is pending, as with a
 * slow reward of `Denoising`, waits for that step.
 *
 * @throws GymError E_VALUE on what is no environment or no modification; E_CONFIG and E_SPACE as the modification says.
 */
// The signature of a single environment comes first. TypeScript takes the types of a modification, such as
// clipReward(), from the first signature that it tries. From a class with members of its own it would get none for a
// VectorEnv, which it lacks members of; a VectorEnv, however, has all the members of an Env.
export function wrap<O, A, InnerO, InnerA>(
  env: Env<InnerO, InnerA>,
  modification: Modification<O, A, InnerO, InnerA>,
): Env<O, A>;
export function wrap<O, A, InnerO, InnerA>(
  env: VectorEnv<InnerO, InnerA>,
  modification: Modification<O, A, InnerO, InnerA>,
): VectorEnv<O, A>;
export function wrap<O, A, InnerO, InnerA>(
  env: Env<InnerO, InnerA> | VectorEnv<InnerO, InnerA>,
  modification: Modification<O, A, InnerO, InnerA>,
): Env<O, A> | VectorEnv<O, A> {
  if (typeof env?.reset !== 'function' || typeof env.step !== 'function')
    throw new GymError(
      'E_VALUE',
      `wrap: the first argument must be an environment, actual value ${String(env)}${
        isPromiseLike(env) ? '; await it, as in wrap(await make(id), ...)' : '; hand in what make or makeVec gives'
      }.`,
    );
  if (typeof modification?.around !== 'function')
    throw new GymError(
      'E_VALUE',
      `wrap: the second argument must be a modification, actual value ${
        typeof modification === 'function'
          ? `the function ${(modification as () => void).name}; call it, as in wrap(env, flattenObservation())`
          : `${String(modification)}; hand in one such as flattenObservation()`
      }.`,
    );
  return 'numEnvs' in env ? new ModifiedVectorEnv(env, modification) : new ModifiedEnv(env, modification);
}
