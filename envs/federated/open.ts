import type { Env } from '../env.js';
import { DifferentialPrivacy } from './differential-privacy.js';
import { FederatedPrototypes } from './federated-prototypes.js';
import { type OpenFederatedOptions, parseAroundOptions } from './options.js';
import type { FederatedAction, FederatedObservation } from './spaces.js';
import { SumsOnly } from './sums-only.js';

/**
 * Makes the environment with what is asked for around it: privacy first, since it is the clients' own doing, then the mask.
 * @throws GymError as `FederatedPrototypes.create`.
 */
export async function openFederated({
  masked: givenMasked,
  privacy: givenPrivacy,
  ...options
}: OpenFederatedOptions): Promise<Env<FederatedObservation, FederatedAction>> {
  const { masked, privacy } = parseAroundOptions({ masked: givenMasked, privacy: givenPrivacy });
  const env = await FederatedPrototypes.create(options);
  const sent = privacy ? new DifferentialPrivacy(env, privacy) : env;
  return masked ? new SumsOnly(sent) : sent;
}
