import type { Awaitable } from '../core/types.js';
import type { Env } from './env.js';
import type { VectorEnv } from './vector-env.js';

/** What an environment's author tells the registry. */
export interface Registration {
  /** `[namespace/]Name[-vN]`. Whatever can change learning results makes a new version. */
  readonly id: string;
  /** One line for listings. */
  readonly description: string;
  /** A line for each option that `create` understands; others are errors. */
  readonly options?: Readonly<Record<string, string>> | undefined;
  /** A run solves the environment at this mean return. */
  readonly rewardThreshold?: number | undefined;
  /** `make` cuts episodes after so many steps. */
  readonly maxEpisodeSteps?: number | undefined;
  /** Makes one environment. It may be loaded by `import()` here. */
  create?(options: Readonly<Record<string, unknown>>): Awaitable<Env<unknown, unknown>>;
  /** Makes a native vector environment, which `makeVec` then prefers. */
  createVec?(numEnvs: number, options: Readonly<Record<string, unknown>>): Awaitable<VectorEnv<unknown, unknown>>;
}

/**
 * The types of environments known by id: `make('CartPole-v1')` is typed by them. Each family adds its own by declaration
 * merging, and so can you:
 * `declare module 'denoise-gym/envs' { interface KnownEnvs { 'Mine-v0': { env: MyEnv; options: MyOptions } } }`.
 */
// biome-ignore lint/suspicious/noEmptyInterface: the families merge their ids into it, which a type alias would not allow
export interface KnownEnvs {}

/** The same for native vector environments, by which `makeVec` is typed. */
// biome-ignore lint/suspicious/noEmptyInterface: as above
export interface KnownVectorEnvs {}
