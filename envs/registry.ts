import { GymError, messageOf, nearest, unknownName } from '../core/errors.js';
import { shown } from '../core/shown.js';
import type { Awaitable } from '../core/types.js';
import { importUserModule } from '../core/user-module.js';
import { checkEnvironment, checkNumEnvs } from './checks.js';
import type { Env, EnvSpec } from './env.js';
import * as families from './families.js';
import type { KnownEnvs, KnownVectorEnvs, Registration } from './registration.js';
import { SyncVectorEnv } from './sync-vector-env.js';
import type { Autoreset, VectorEnv } from './vector-env.js';
import { OrderEnforcing } from './wrappers/order-enforcing.js';
import { TimeLimit } from './wrappers/time-limit.js';

/**
 * The type of what `make(id)` makes. An id of {@link KnownEnvs} has the types of its environment; for any other one
 * they are unknown, and you cast to what you know.
 */
export type EnvOf<K extends string> = K extends keyof KnownEnvs
  ? KnownEnvs[K]['env'] extends Env<infer O, infer A>
    ? Env<O, A>
    : never
  : Env<unknown, unknown>;

/** The type of what `makeVec(id, n)` makes. */
export type VectorEnvOf<K extends string> = K extends keyof KnownVectorEnvs
  ? KnownVectorEnvs[K]['env']
  : EnvOf<K> extends Env<infer O, infer A>
    ? VectorEnv<O, A>
    : never;

export interface MakeOptions {
  /** The number of steps after which episodes are cut, instead of the environment's own limit; null for no limit. */
  maxEpisodeSteps?: number | null | undefined;
  /** Wrappers to put around the environment, the first one innermost. The limit and the checks are inside of them. */
  wrappers?: readonly ((env: Env<unknown, unknown>) => Env<unknown, unknown>)[] | undefined;
}

export interface MakeVecOptions extends MakeOptions {
  /**
   * When environments whose episodes have ended are reset. Default 'next-step'; a native vector environment has its
   * own.
   */
  autoreset?: Autoreset | undefined;
}

interface Parsed {
  readonly namespace: string;
  readonly name: string;
  readonly version: number | undefined;
}

const registry = new Map<string, Registration>(
  Object.values(families)
    .flat()
    .map((registration) => [registration.id, registration]),
);

function parse(id: string): Parsed {
  const match = /^(?:([\w:-]+)\/)?([\w:.-]+?)(?:-v(\d+))?$/.exec(typeof id === 'string' ? id : '');
  if (match === null)
    throw new GymError(
      'E_NAME',
      `registry: malformed environment id ${shown(id)}; it must be [namespace/]Name[-vN], like CartPole-v1.`,
    );
  const [, namespace = '', name, version] = match;
  return { namespace, name: name!, version: version === undefined ? undefined : Number(version) };
}

function idOf({ namespace, name, version }: Parsed): string {
  return `${namespace === '' ? '' : `${namespace}/`}${name}${version === undefined ? '' : `-v${version}`}`;
}

function warn(message: string): void {
  process.emitWarning(message, 'GymWarning');
}

/** The versions of a name that are registered (undefined for one without), newest first. */
function versionsOf({ namespace, name }: Parsed): (number | undefined)[] {
  return [...registry.keys()]
    .map(parse)
    .filter((other) => other.namespace === namespace && other.name === name)
    .map((other) => other.version)
    .sort((a, b) => (b ?? -1) - (a ?? -1));
}

/**
 * Adds an environment to the registry. If there is one of this id, it is replaced, with a warning.
 * @throws GymError E_NAME on a malformed id, or when the name is there with a version and now comes without, or the
 *   other way round; E_CONFIG when the registration has neither `create` nor `createVec`.
 */
export function register(registration: Registration): void {
  const { id } = registration;
  const parsed = parse(id);
  if (registration.create === undefined && registration.createVec === undefined)
    throw new GymError('E_CONFIG', `register ${id}: neither \`create\` nor \`createVec\` is given; give one.`);
  for (const version of versionsOf(parsed))
    if ((version === undefined) !== (parsed.version === undefined))
      throw new GymError(
        'E_NAME',
        `register ${id}: ${idOf({ ...parsed, version })} is registered; a name has a version always or never.`,
      );
  if (registry.has(id)) warn(`register: overriding environment ${id}, which was registered before.`);
  registry.set(id, registration);
}

/** Takes an environment out of the registry; false when it was not there. */
export function unregister(id: string): boolean {
  return registry.delete(id);
}

/** A registered environment as it is listed, in the form in which agents and rewards are listed too. */
export interface EnvironmentListing {
  /** The id that `make` takes. */
  readonly name: string;
  /** What the task is, in one line. */
  readonly summary: string;
  /** For each option of `make`, a line that says what it means. */
  readonly options: Readonly<Record<string, string>>;
  /** The environment counts as solved when the mean return of an agent's episodes reaches this value. */
  readonly rewardThreshold?: number | undefined;
  /** The number of steps after which `make` cuts an episode. */
  readonly maxEpisodeSteps?: number | undefined;
}

/** All registered environments, sorted by name. */
export function listEnvironments(): EnvironmentListing[] {
  return [...registry.values()]
    .map(({ id, description, options = {}, rewardThreshold, maxEpisodeSteps }) => ({
      name: id,
      summary: description,
      options,
      ...(rewardThreshold !== undefined && { rewardThreshold }),
      ...(maxEpisodeSteps !== undefined && { maxEpisodeSteps }),
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * What is registered under an id. An id without a version means the newest one. This gives a warning, and so does an id
 * whose version is not the newest.
 * @throws GymError E_NAME with the nearest name, the versions or the namespaces that there are.
 */
export function spec(id: string): Registration {
  const parsed = parse(id);
  const found = registry.get(id);
  const versions = versionsOf(parsed);
  const newest = versions[0];
  if (found !== undefined) {
    if (parsed.version !== undefined && newest !== undefined && newest > parsed.version)
      warn(`${id} is out of date; consider ${idOf({ ...parsed, version: newest })}.`);
    return found;
  }
  if (versions.length > 0) {
    const latest = idOf({ ...parsed, version: newest });
    if (parsed.version === undefined) {
      warn(`using the latest version ${latest} for ${id}; name the version, so that results stay comparable.`);
      return registry.get(latest)!;
    }
    const known = versions.map((version) => `\`${idOf({ ...parsed, version })}\``).join(', ');
    throw new GymError('E_NAME', `registry: there is no version ${parsed.version} of ${parsed.name}; use ${known}.`);
  }
  const all = [...registry.keys()].map(parse);
  const namespaces = new Set(all.map((other) => other.namespace).filter((namespace) => namespace !== ''));
  if (parsed.namespace !== '' && !namespaces.has(parsed.namespace)) {
    const guess = nearest(parsed.namespace, namespaces);
    throw new GymError(
      'E_NAME',
      `registry: unknown namespace \`${parsed.namespace}\`.${guess === undefined ? '' : ` Did you mean \`${guess}\`?`} Have you imported the module that registers it?`,
    );
  }
  throw unknownName(
    'registry',
    'environment',
    id,
    [...registry.keys()].filter((other) => parse(other).namespace === parsed.namespace).sort(),
  );
}

/** Imports `module` of `module:Name-v0` (a path or a package, see {@link importUserModule}) and returns the id. */
async function importFirst(id: string): Promise<string> {
  const colon = typeof id === 'string' ? id.lastIndexOf(':') : -1;
  if (colon <= 0) return id;
  await importUserModule(id.slice(0, colon), 'environment');
  return id.slice(colon + 1);
}

function checkOptions(registration: Registration, options: Readonly<Record<string, unknown>>): void {
  if (typeof options !== 'object' || options === null)
    throw new GymError(
      'E_CONFIG',
      `make ${registration.id}: the options must be an object, {} for none, actual value ${shown(options)}.`,
    );
  const known = registration.options ?? {};
  for (const name of Object.keys(options))
    if (!Object.hasOwn(known, name)) throw unknownName(registration.id, 'option', name, Object.keys(known));
}

function specOf(registration: Registration, options: object, maxEpisodeSteps: number | null | undefined): EnvSpec {
  const { id, description, rewardThreshold } = registration;
  return {
    id,
    description,
    ...(rewardThreshold === undefined ? {} : { rewardThreshold }),
    ...(maxEpisodeSteps == null ? {} : { maxEpisodeSteps }),
    options: { ...options },
  };
}

async function created<T extends { readonly spec?: EnvSpec | undefined }>(
  registration: Registration,
  envSpec: EnvSpec,
  create: () => Awaitable<T>,
): Promise<T> {
  let env: T;
  try {
    env = await create();
  } catch (error) {
    if (GymError.is(error)) throw error;
    throw new GymError(
      'E_CONFIG',
      `make ${registration.id}: creating it failed with options ${shown(envSpec.options)}: ${messageOf(error)}`,
      { cause: error },
    );
  }
  checkEnvironment(`make ${registration.id}: what \`create\` or \`createVec\` gives`, env);
  if (!Reflect.set(env, 'spec', envSpec))
    throw new GymError(
      'E_CONFIG',
      `make ${registration.id}: \`spec\` of ${shown(env)} cannot be set; it must be neither frozen nor a getter.`,
    );
  return env;
}

/**
 * Makes an environment. Around the environment itself are, from the inside to the outside, a {@link TimeLimit} if it
 * has a limit, {@link OrderEnforcing}, and the wrappers of `make.wrappers`.
 * @param id as {@link spec} takes it, or `module:id`, such as `./my-env.ts:Mine-v0`, to import the module first that
 *   registers it.
 * @throws GymError E_NAME on an unknown id or option; E_CONFIG where the environment is natively a vector one.
 */
export async function make<K extends string>(
  id: K,
  options?: K extends keyof KnownEnvs ? KnownEnvs[K]['options'] : Readonly<Record<string, unknown>>,
  make?: MakeOptions,
): Promise<EnvOf<K>>;
export async function make(
  id: string,
  options: Readonly<Record<string, unknown>> = {},
  { maxEpisodeSteps, wrappers = [] }: MakeOptions = {},
): Promise<Env<unknown, unknown>> {
  const registration = spec(await importFirst(id));
  checkOptions(registration, options);
  if (registration.create === undefined)
    throw new GymError(
      'E_CONFIG',
      `make ${registration.id}: it is natively a vector environment; use makeVec('${registration.id}', numEnvs, options).`,
    );
  const limit = maxEpisodeSteps === undefined ? registration.maxEpisodeSteps : maxEpisodeSteps;
  const envSpec = specOf(registration, options, limit);
  let env = await created(registration, envSpec, () => registration.create!(options));
  if (limit != null) env = new TimeLimit(env, limit);
  env = new OrderEnforcing(env);
  for (const wrap of wrappers) env = wrap(env);
  return env;
}

/**
 * Makes a vector environment: a native one if the registration has `createVec`, else a {@link SyncVectorEnv} around
 * `numEnvs` environments that are made as by {@link make}.
 * @throws GymError as {@link make}; E_CONFIG when a native one is asked for wrappers, a limit or another autoreset.
 */
export async function makeVec<K extends string>(
  id: K,
  numEnvs: number,
  options?: K extends keyof KnownVectorEnvs
    ? KnownVectorEnvs[K]['options']
    : K extends keyof KnownEnvs
      ? KnownEnvs[K]['options']
      : Readonly<Record<string, unknown>>,
  make?: MakeVecOptions,
): Promise<VectorEnvOf<K>>;
export async function makeVec(
  id: string,
  numEnvs: number,
  options: Readonly<Record<string, unknown>> = {},
  { autoreset, ...single }: MakeVecOptions = {},
): Promise<VectorEnv<unknown, unknown>> {
  checkNumEnvs(`makeVec ${id}`, numEnvs);
  const known = await importFirst(id);
  const registration = spec(known);
  if (registration.createVec === undefined) {
    const envs: Env<unknown, unknown>[] = [];
    try {
      for (let i = 0; i < numEnvs; i++) envs.push(await make(registration.id, options, single));
      return new SyncVectorEnv(envs, { autoreset });
    } catch (error) {
      // The caller never sees these environments, and so cannot close them.
      await Promise.allSettled(envs.map(async (env) => env.close?.()));
      throw error;
    }
  }
  checkOptions(registration, options);
  if ((single.wrappers?.length ?? 0) > 0 || single.maxEpisodeSteps != null)
    throw new GymError(
      'E_CONFIG',
      `makeVec ${registration.id}: it is natively a vector environment, which takes no wrappers for single ones; wrap the result.`,
    );
  const env = await created(registration, specOf(registration, options, undefined), () =>
    registration.createVec!(numEnvs, options),
  );
  if (autoreset !== undefined && env.autoreset !== autoreset) {
    await env.close?.();
    throw new GymError(
      'E_CONFIG',
      `makeVec ${registration.id}: its autoreset is '${env.autoreset}', '${autoreset}' cannot be had.`,
    );
  }
  return env;
}
