import type { Random } from '../../core/random.js';
import type { Space } from '../../envs/spaces/space.js';
import { type NetworkOptions, NetworkPolicy } from './network-policy.js';

/**
 * A small network that suits the spaces of an environment: actions of a `Discrete`, `MultiDiscrete`, `MultiBinary`, a `Box`
 * of floats, or a `Dict` or `Tuple` of these; observations that flatten, and pictures.
 * @throws GymError E_SPACE when none suits them, with the spaces that have one.
 */
export function networkPolicy<O, A>(
  spaces: { observationSpace: Space<O>; actionSpace: Space<A> },
  options: NetworkOptions,
  random: Random,
): NetworkPolicy<O, A> {
  return new NetworkPolicy(spaces, options, random);
}
