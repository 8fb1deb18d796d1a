import { GymError } from '../../../core/errors.js';
import { Box } from '../../../envs/spaces/box.js';
import { Dict } from '../../../envs/spaces/dict.js';
import { Discrete } from '../../../envs/spaces/discrete.js';
import { MultiBinary } from '../../../envs/spaces/multi-binary.js';
import { MultiDiscrete } from '../../../envs/spaces/multi-discrete.js';
import type { Space } from '../../../envs/spaces/space.js';
import { Tuple } from '../../../envs/spaces/tuple.js';
import { Bernoulli } from './bernoulli.js';
import { Categorical } from './categorical.js';
import { Composite } from './composite.js';
import type { ActionDistribution } from './distribution.js';
import { type Bounds, Gaussian } from './gaussian.js';
import { MultiCategorical } from './multi-categorical.js';

/**
 * The distribution that suits the actions of a space.
 * @param bounds how Gaussian draws keep to the bounds of a Box.
 * @param path where the space stands in the whole action space, for names of parameters and messages.
 * @throws GymError E_SPACE when none does, with the spaces that have one.
 */
export function distributionOf<A>(space: Space<A>, bounds: Bounds, path = ''): ActionDistribution<A> {
  const part = (key: string, inner: Space<unknown>) => distributionOf(inner, bounds, `${path}${key}.`);
  // Which class a space is of says what its actions are; the compiler cannot follow that.
  const of = (distribution: unknown) => distribution as ActionDistribution<A>;
  if (space instanceof Discrete) return of(new Categorical(space));
  if (space instanceof MultiDiscrete) return of(new MultiCategorical(space));
  if (space instanceof MultiBinary) return of(new Bernoulli(space));
  if (space instanceof Box && space.dtype.startsWith('float'))
    return of(new Gaussian(space as unknown as Box, bounds, `${path}logStd`));
  if (space instanceof Tuple) {
    const parts = (space.spaces as readonly Space<unknown>[]).map((inner, i) => part(String(i), inner));
    return of(
      new Composite<readonly unknown[]>(
        parts,
        (action) => action,
        (actions) => actions,
      ),
    );
  }
  if (space instanceof Dict) {
    const keys = space.keys as readonly string[];
    const spaces = space.spaces as Readonly<Record<string, Space<unknown>>>;
    return of(
      new Composite<Record<string, unknown>>(
        keys.map((key) => part(key, spaces[key]!)),
        (action) => keys.map((key) => action[key]),
        (actions) => Object.fromEntries(keys.map((key, i) => [key, actions[i]])),
      ),
    );
  }
  throw new GymError(
    'E_SPACE',
    `policy: no network suits the action space ${space}${path === '' ? '' : ` (at ${path.slice(0, -1)})`}; Discrete, MultiDiscrete, MultiBinary, a Box of floats, and Dict and Tuple of these have one. Change the actions by a wrapper, or write an agent of your own.`,
  );
}
