import type { Env } from '../envs/env.js';
import { determinismCheck, isolationCheck, seedsCheck } from './env-checks/determinism.js';
import { closeCheck, interfaceCheck, spacesCheck } from './env-checks/interface.js';
import { afterEndCheck, badActionCheck, beforeResetCheck } from './env-checks/misuse.js';
import { freshObjectsCheck, inputsCheck } from './env-checks/mutation.js';
import { renderCheck } from './env-checks/render.js';
import { flagsCheck, infoCheck, observationCheck, resetCheck, rewardCheck, stepCheck } from './env-checks/results.js';
import { SingleDriver } from './env-checks/single-driver.js';
import { snapshotCheck } from './env-checks/snapshot.js';
import { type EnvCheckOptions, envChecksOf, type Subject, subjectOf } from './env-checks/trial.js';
import { assertNoFindings, type Check, type Finding, runChecks, selectChecks } from './findings.js';

export type { EnvCheckOptions };

/** What the checks of an environment are about. */
export type EnvSubject<O, A> = Subject<Env<O, A>, A>;

/** An environment, or a function that makes one: then every check has a new one, and two can be compared. */
export type EnvSource<O, A> = EnvSubject<O, A>['source'];

/** The checks of a single environment, in order; those after the first ones rely on them. */
export const envChecks: readonly Check<EnvSubject<unknown, unknown>>[] = envChecksOf(SingleDriver, [
  interfaceCheck,
  spacesCheck,
  resetCheck,
  stepCheck,
  observationCheck,
  rewardCheck,
  flagsCheck,
  infoCheck,
  determinismCheck,
  isolationCheck,
  seedsCheck,
  badActionCheck,
  beforeResetCheck,
  afterEndCheck,
  freshObjectsCheck,
  inputsCheck,
  snapshotCheck,
  renderCheck,
  closeCheck,
]);

/**
 * Checks a single environment against the contract: Gymnasium's `check_env` and `PassiveEnvChecker`, and besides that
 * two environments of one seed against each other, snapshots, actions outside the space, and calls out of order.
 *
 * @param source an environment, or (better) a function that makes one. An environment itself is closed at the end; skip
 *   `'close'` to go on with it.
 * @returns what was found: an empty list where nothing is wrong.
 * @throws GymError E_NAME on an unknown name to skip.
 */
export function checkEnv<O, A>(source: EnvSource<O, A>, options: EnvCheckOptions<A> = {}): Promise<Finding[]> {
  const subject = subjectOf(source, options) as unknown as EnvSubject<unknown, unknown>;
  return runChecks(selectChecks(envChecks, options), subject);
}

/**
 * {@link checkEnv} for tests without a suite.
 * @throws GymError E_CHECK with everything that was found, when there is an error among it.
 */
export async function assertEnv<O, A>(source: EnvSource<O, A>, options: EnvCheckOptions<A> = {}): Promise<void> {
  assertNoFindings('checkEnv', await checkEnv(source, options));
}
