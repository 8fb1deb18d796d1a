import type { RunConfig } from '../config/run-config.js';
import { adaptation } from './adaptation.js';
import { denoising } from './denoising.js';
import type { ComposeOptions, Composition, Family } from './family.js';
import { federated } from './federated.js';
import { gym } from './gym.js';

/** The families of environments that can be trained, a line each. The first that owns an id trains it. */
export const families: readonly Family[] = [denoising, adaptation, federated, gym];

/** The family of an environment's id, with or without the module that registers it (`./my-env.ts:Mine-v0`). */
export function familyOf(env: string): Family {
  return families.find((family) => family.owns(env))!;
}

/**
 * Makes the parts that a configuration names. The backend must be ready.
 * @throws GymError E_FILE, E_NAME, E_CONFIG for what is missing, unknown or does not fit.
 */
export function compose(config: RunConfig, options: ComposeOptions = {}): Promise<Composition> {
  return familyOf(config.env).compose(config, options);
}
