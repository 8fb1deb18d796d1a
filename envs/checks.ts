import { GymError } from '../core/errors.js';
import { shown } from '../core/shown.js';
import type { Snapshot } from '../core/snapshot.js';
import type { EnvSpec, ResetResult, StepResult } from './env.js';
import { indicesOf } from './spaces/base.js';
import type { VectorResetOptions, VectorStepResult } from './vector-env.js';

// The checks of what callers hand in and of what environments return, for single and vector environments alike. The
// compiler cannot make them: a caller may write JavaScript, read JSON, or cast. And where a wrong value is only met by
// the code that uses it, the error names neither the call nor the value.

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** The most environments that are stepped together. Millions of them would exhaust the memory before the first step. */
export const mostEnvs = 65_536;

/** @throws GymError E_VALUE unless the number is an integer from 1 to {@link mostEnvs}. */
export function checkNumEnvs(where: string, numEnvs: number): void {
  if (!(Number.isInteger(numEnvs) && numEnvs >= 1 && numEnvs <= mostEnvs))
    throw new GymError(
      'E_VALUE',
      `${where}: numEnvs must be an integer of 1 to ${mostEnvs}, actual value ${shown(numEnvs)}.`,
    );
}

/**
 * @throws GymError E_CONFIG unless the value has the spaces and methods that an environment, single or vector, must
 *   have.
 */
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
 * @param begun whether all environments have been reset before. If not, a mask that leaves some out is refused.
 * @throws GymError E_VALUE unless these are options that a vector environment's `reset` takes; E_STATE on such a mask
 *   too early.
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

interface Named {
  readonly spec?: EnvSpec | undefined;
}

/**
 * What an error calls an environment: its id where the registry made it, else what it says of itself, else its class.
 */
export function nameOf(env: Named): string {
  if (env.spec !== undefined) return env.spec.id;
  const text = String(env);
  return text === '[object Object]' ? env.constructor.name : text;
}

/**
 * Whether an environment's step returned what one must, as far as that is quick to see: loops call this at every step.
 * A step without a reward would become NaN, and episodes of the old form with `done` would never end. The error for the
 * rest is {@link noStep}.
 */
export function isStep(result: StepResult<unknown>): boolean {
  return (
    typeof result === 'object' &&
    result !== null &&
    typeof result.reward === 'number' &&
    typeof result.terminated === 'boolean' &&
    typeof result.truncated === 'boolean' &&
    typeof result.info === 'object' &&
    result.info !== null
  );
}

/**
 * The error for what {@link isStep} refuses. It names the environment, the step and the value.
 * @param count which step this is, from 1, where the caller counts.
 * @param of what it counts from.
 */
export function noStep(env: Named, result: unknown, count?: number, of = 'of the episode'): GymError {
  const at = count === undefined ? '' : ` (step ${count} ${of})`;
  const form = 'return { observation, reward, terminated, truncated, info }';
  const error = (what: string, todo = form) => new GymError('E_VALUE', `${nameOf(env)}.step${at}: ${what}; ${todo}.`);
  if (!isObject(result) || Array.isArray(result))
    return error(`the result must be an object, actual value ${shown(result)}`);
  if ('done' in result && typeof result.terminated !== 'boolean')
    return error(
      'the result has `done`, the old form',
      'return `terminated` (the task is over) and `truncated` (a limit cut it) instead',
    );
  for (const [name, type] of Object.entries({ reward: 'number', terminated: 'boolean', truncated: 'boolean' }))
    if (typeof result[name] !== type)
      return error(`\`${name}\` must be a ${type}, actual value ${shown(result[name])}`);
  return error(`\`info\` must be an object, {} for none, actual value ${shown(result.info)}`);
}

/** @throws GymError E_VALUE unless a reset or a restore returned what it must. */
export function checkFirst(env: Named, call: 'reset' | 'restore', result: ResetResult<unknown>): void {
  if (isObject(result) && 'observation' in result && isObject(result.info)) return;
  throw new GymError(
    'E_VALUE',
    `${nameOf(env)}.${call}: the result must be { observation, info }, actual value ${shown(result)}.`,
  );
}

/**
 * @throws GymError E_VALUE unless a vector environment's step returned what it must, as far as that is quick to see.
 */
export function checkVectorStep(env: Named, numEnvs: number, result: VectorStepResult<unknown>): void {
  const { observations, rewards, terminated, truncated, infos } = result ?? {};
  const fits = (list: ArrayLike<unknown>, type: abstract new (...args: never[]) => unknown) =>
    list instanceof type && list.length === numEnvs;
  if (
    fits(observations, Array) &&
    fits(rewards, Float64Array) &&
    fits(terminated, Uint8Array) &&
    fits(truncated, Uint8Array) &&
    fits(infos, Array)
  )
    return;
  throw new GymError(
    'E_VALUE',
    `${nameOf(env)}.step: the result must be { observations, rewards, terminated, truncated, infos }, lists of ${numEnvs}, with rewards a Float64Array, terminated and truncated Uint8Arrays, actual value ${shown(result)}.`,
  );
}

/** The error for actions that are not a list of one for each environment. */
export function wrongActions(where: string, numEnvs: number, actions: unknown): GymError {
  const what = Array.isArray(actions) ? `${actions.length} actions` : `${shown(actions)} is no list of actions`;
  return new GymError('E_VALUE', `${where}.step: ${what} for ${numEnvs} environments; hand in one each.`);
}

/** The error for a step of environments some of whose episodes have ended, where the caller must reset them. */
export function stillEnded(where: string, ended: Uint8Array): GymError {
  return new GymError(
    'E_STATE',
    `${where}.step: the episodes of environments ${indicesOf(ended).join(', ')} have ended and autoreset is disabled; call reset({ mask }) with a 1 for each.`,
  );
}

/**
 * The named parts of a snapshot.
 * @throws GymError E_STATE when one of them is missing.
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

/** The error for a snapshot that was taken of another environment than the one that is to be restored. */
export function otherSnapshot(where: string, of: unknown, mine: string): GymError {
  return new GymError(
    'E_STATE',
    `${where}.restore: the snapshot is of ${shown(of)}, this is ${shown(mine)}; restore it into an environment that was made and wrapped alike.`,
  );
}

/** A value of a snapshot as a count. @throws GymError E_STATE unless it is an integer of at least 0. */
export function snapshotCount(where: string, value: unknown): number {
  if (!Number.isInteger(value) || (value as number) < 0)
    throw new GymError(
      'E_STATE',
      `${where}.restore: the snapshot must have an integer of at least 0, actual value ${shown(value)}; it is damaged.`,
    );
  return value as number;
}

/** A value of a snapshot as a list. @throws GymError E_STATE when it is no list. */
export function snapshotList(where: string, value: unknown): Snapshot[] {
  if (!Array.isArray(value))
    throw new GymError(
      'E_STATE',
      `${where}.restore: the snapshot must have a list, actual value ${shown(value)}; it is damaged.`,
    );
  return value as Snapshot[];
}

/**
 * A value of a snapshot as a list of numbers.
 * @param length how many the environment has.
 * @throws GymError E_STATE unless it is a list of so many numbers.
 */
export function snapshotNumbers(where: string, value: unknown, length: number): number[] {
  const list = snapshotList(where, value);
  if (list.length !== length)
    throw new GymError(
      'E_STATE',
      `${where}.restore: the snapshot has ${list.length} numbers where this one has ${length}; restore it into one that was made alike.`,
    );
  if (!list.every((x) => typeof x === 'number'))
    throw new GymError(
      'E_STATE',
      `${where}.restore: the snapshot must have numbers, actual value ${shown(value)}; it is damaged.`,
    );
  return list as number[];
}

/**
 * A value of a snapshot as flags, one for each environment.
 * @throws GymError E_STATE unless it is a list of so many numbers, each 0 or 1.
 */
export function snapshotFlags(where: string, value: unknown, length: number): Uint8Array {
  const flags = snapshotNumbers(where, value, length);
  if (!flags.every((flag) => flag === 0 || flag === 1))
    throw new GymError(
      'E_STATE',
      `${where}.restore: flags must be 0 or 1, actual value ${shown(value)}; it is damaged.`,
    );
  return Uint8Array.from(flags);
}
