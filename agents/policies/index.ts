import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import type { Random } from '../../core/random.js';
import { Box } from '../../envs/spaces/box.js';
import { Discrete } from '../../envs/spaces/discrete.js';
import type { Space } from '../../envs/spaces/space.js';
import type { Policy } from '../policy.js';
import { CategoricalMlp } from './categorical-mlp.js';
import { GaussianMlp } from './gaussian-mlp.js';
import type { MlpOptions } from './mlp.js';

/**
 * A small network that suits the spaces of an environment: a softmax over the actions of a `Discrete`, a Gaussian over
 * those of a `Box` of floats.
 * @throws GymError E_SPACE when none suits them, with those that do.
 */
export function networkPolicy<O, A>(
  { observationSpace, actionSpace }: { observationSpace: Space<O>; actionSpace: Space<A> },
  options: MlpOptions,
  random: Random,
): Policy<O, A> {
  // Which class the space is of says what its actions are; the compiler cannot follow that.
  if (actionSpace instanceof Discrete) {
    const space = actionSpace as Space<number>;
    return new CategoricalMlp(observationSpace, space, options, random) as unknown as Policy<O, A>;
  }
  if (actionSpace instanceof Box && actionSpace.dtype.startsWith('float')) {
    const space = actionSpace as unknown as Space<NdArray<Float32Array>>;
    return new GaussianMlp(observationSpace, space, options, random) as unknown as Policy<O, A>;
  }
  throw new GymError(
    'E_SPACE',
    `policy: no network suits the action space ${actionSpace}; a Discrete or a Box of floats has one. Change the actions by a wrapper, or write an agent of your own.`,
  );
}
