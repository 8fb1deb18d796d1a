import type { Awaitable } from '../core/types.js';
import type { Env } from '../envs/env.js';
import type { VectorEnv } from '../envs/vector-env.js';
import { autoresetCheck, horizonCheck, maskCheck, pendingResetCheck } from './env-checks/autoreset.js';
import { determinismCheck, isolationCheck, vectorSeedsCheck } from './env-checks/determinism.js';
import { closeCheck, interfaceCheck, spacesCheck } from './env-checks/interface.js';
import { actionsCheck, beforeResetCheck } from './env-checks/misuse.js';
import { freshObjectsCheck, inputsCheck } from './env-checks/mutation.js';
import { renderCheck } from './env-checks/render.js';
import { flagsCheck, infoCheck, observationCheck, resetCheck, rewardCheck, stepCheck } from './env-checks/results.js';
import { singleCheck } from './env-checks/singles.js';
import { snapshotCheck } from './env-checks/snapshot.js';
import { type EnvCheckOptions, envChecksOf, type Subject, subjectOf } from './env-checks/trial.js';
import { VectorDriver } from './env-checks/vector-driver.js';
import { assertNoFindings, type Check, type Finding, runChecks, selectChecks } from './findings.js';

/** What the checks of a vector environment are about. */
export interface VectorEnvSubject<O, A> extends Subject<VectorEnv<O, A>, A> {
  readonly single?: () => Awaitable<Env<O, A>>;
}

/** A vector environment, or a function that makes one: then every check has a new one, and two can be compared. */
export type VectorEnvSource<O, A> = VectorEnvSubject<O, A>['source'];

/** Options of {@link checkVectorEnv}. */
export interface VectorEnvCheckOptions<O, A> extends EnvCheckOptions<A> {
  /** Makes the environment that this is many of: each must then behave as a single one does. */
  readonly single?: () => Awaitable<Env<O, A>>;
}

export function vectorEnvSubject<O, A>(
  source: VectorEnvSource<O, A>,
  options: VectorEnvCheckOptions<O, A>,
): VectorEnvSubject<O, A> {
  const { single } = options;
  return { ...subjectOf(source, options), ...(single === undefined ? {} : { single }) };
}

/** The checks of a vector environment, in order; those after the first ones rely on them. */
export const vectorEnvChecks: readonly Check<VectorEnvSubject<unknown, unknown>>[] = envChecksOf(VectorDriver, [
  interfaceCheck,
  spacesCheck,
  resetCheck,
  stepCheck,
  observationCheck,
  rewardCheck,
  flagsCheck,
  infoCheck,
  actionsCheck,
  determinismCheck,
  isolationCheck,
  vectorSeedsCheck,
  maskCheck,
  autoresetCheck,
  pendingResetCheck,
  horizonCheck,
  singleCheck,
  beforeResetCheck,
  freshObjectsCheck,
  inputsCheck,
  snapshotCheck,
  renderCheck,
  closeCheck,
]);

/**
 * Checks a vector environment: forms and types, seeds, masks, the three modes of autoreset, horizon, snapshots, and
 * (with `single`) that each environment in it does what a single one does.
 *
 * @param source a vector environment, or (better) a function that makes one; best of 2 or more environments. An
 *   environment itself is closed at the end; skip `'close'` to go on with it.
 * @throws GymError E_NAME on an unknown name to skip.
 */
export function checkVectorEnv<O, A>(
  source: VectorEnvSource<O, A>,
  options: VectorEnvCheckOptions<O, A> = {},
): Promise<Finding[]> {
  const subject = vectorEnvSubject(source, options) as unknown as VectorEnvSubject<unknown, unknown>;
  return runChecks(selectChecks(vectorEnvChecks, options), subject);
}

/**
 * {@link checkVectorEnv} for tests without a suite.
 * @throws GymError E_CHECK with everything that was found, when there is an error among it.
 */
export async function assertVectorEnv<O, A>(
  source: VectorEnvSource<O, A>,
  options: VectorEnvCheckOptions<O, A> = {},
): Promise<void> {
  assertNoFindings('checkVectorEnv', await checkVectorEnv(source, options));
}
