import { GymError } from '../core/errors.js';
import { shown } from '../core/shown.js';
import type { Snapshot } from '../core/snapshot.js';
import { indicesOf } from './spaces/base.js';
import type { VectorResetOptions } from './vector-env.js';

// What callers hand in is checked here, for single and vector environments alike: types end where JavaScript, JSON and
// casts begin, and an error of the engine names neither the call nor the value.

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** @throws GymError E_CONFIG unless the value has the spaces and methods that an environment, single or vector, must have. */
export function checkEnvironment(where: string, env: unknown): void {
  const has = isObject(env) ? env : {};
  const missing = [
    ...['observationSpace', 'actionSpace'].filter((name) => !isObject(has[name])),
    ...['reset', 'step'].filter((name) => typeof has[name] !== 'function'),
  ];
  if (missing.length > 0)
    throw new GymError(
      'E_CONFIG',
      `${where}: needs an environment; ${shown(env)} has no ${missing.join(', ')}. Hand in an object of a class that implements them.`,
    );
}

/** @throws GymError E_VALUE unless these are options that an environment's `reset` takes. */
export function checkReset(where: string, reset: unknown = {}): void {
  const { seed, options } = needOptions(where, reset);
  if (seed !== undefined) needSeed(where, seed);
  if (options !== undefined) needOptions(where, options);
}

/**
 * @param begun whether all environments have been reset before, without which a mask makes no sense.
 * @throws GymError E_VALUE unless these are options that a vector environment's `reset` takes; E_STATE on a mask too early.
 */
export function checkVectorReset(
  where: string,
  numEnvs: number,
  reset: unknown,
  begun: boolean,
): asserts reset is VectorResetOptions {
  const { seed, options, mask } = needOptions(where, reset);
  if (Array.isArray(seed)) {
    if (seed.length !== numEnvs)
      throw new GymError('E_VALUE', `${where}.reset: ${seed.length} seeds for ${numEnvs} environments; give one each.`);
    for (const own of seed) if (own !== undefined) needSeed(where, own);
  } else if (seed !== undefined) needSeed(where, seed);
  if (options !== undefined) needOptions(where, options);
  if (mask === undefined) return;
  if (!(mask instanceof Uint8Array && mask.length === numEnvs && mask.includes(1)))
    throw new GymError(
      'E_VALUE',
      `${where}.reset: mask must be a Uint8Array of ${numEnvs} with at least one 1, actual value ${shown(mask)}.`,
    );
  if (!begun && mask.includes(0))
    throw new GymError('E_STATE', `${where}.reset: the first reset must be of all; leave out the mask.`);
}

function needOptions(where: string, options: unknown): Record<string, unknown> {
  if (!isObject(options))
    throw new GymError(
      'E_VALUE',
      `${where}.reset: options must be an object, like { seed: 1 }, actual value ${shown(options)}.`,
    );
  return options;
}

function needSeed(where: string, seed: unknown): void {
  if (typeof seed !== 'number')
    throw new GymError(
      'E_VALUE',
      `${where}.reset: a seed must be an integer of at least 0, actual value ${shown(seed)}; leave it out to go on with the stream.`,
    );
}

/** The error for actions that are not a list of one for each environment. */
export function wrongActions(where: string, numEnvs: number, actions: unknown): GymError {
  const what = Array.isArray(actions) ? `${actions.length} actions` : `${shown(actions)} is no list of actions`;
  return new GymError('E_VALUE', `${where}.step: ${what} for ${numEnvs} environments; hand in one each.`);
}

/** The error for a step of environments whose episodes have ended, where nobody resets them but the caller. */
export function stillEnded(where: string, ended: Uint8Array): GymError {
  return new GymError(
    'E_STATE',
    `${where}.step: the episodes of environments ${indicesOf(ended).join(', ')} have ended and autoreset is disabled; call reset({ mask }) with a 1 for each.`,
  );
}

/**
 * The parts of a snapshot.
 * @throws GymError E_STATE when it has not all of them.
 */
export function snapshotParts<K extends string>(
  where: string,
  snapshot: unknown,
  names: readonly K[],
): Record<K, Snapshot> {
  const parts = isObject(snapshot) ? snapshot : {};
  const missing = names.filter((name) => parts[name] === undefined);
  if (missing.length > 0)
    throw new GymError(
      'E_STATE',
      `${where}.restore: not a snapshot of its own: ${shown(snapshot)} has no ${missing.join(', ')}. Hand in what snapshot() of an environment like this one gave.`,
    );
  return parts as Record<K, Snapshot>;
}
