import type { Awaitable } from '../core/types.js';
import type { Env } from './env.js';
import type { VectorEnv } from './vector-env.js';

/** What an environment's author tells the registry. */
export interface Registration {
  /** `[namespace/]Name[-vN]`. A change of the environment that can change what is learned needs a new version. */
  readonly id: string;
  /** What the task is, in one line, for listings. */
  readonly description: string;
  /** For each option that `create` understands, a line that says what it means. `make` refuses all other options. */
  readonly options?: Readonly<Record<string, string>> | undefined;
  /** The environment counts as solved when the mean return of an agent's episodes reaches this value. */
  readonly rewardThreshold?: number | undefined;
  /** The number of steps after which `make` cuts an episode (`truncated`). Without it episodes have no limit. */
  readonly maxEpisodeSteps?: number | undefined;
  /** Makes one environment. Its code can be loaded here, by `import()`, so that it is loaded only when it is needed. */
  create?(options: Readonly<Record<string, unknown>>): Awaitable<Env<unknown, unknown>>;
  /** Makes a vector environment, where there is one of its own kind. `makeVec` then takes this one. */
  createVec?(numEnvs: number, options: Readonly<Record<string, unknown>>): Awaitable<VectorEnv<unknown, unknown>>;
}

/**
 * The types of environments known by id: `make('CartPole-v1')` is typed by them. Each family adds its own by
 * declaration merging, and so can you: `declare module 'denoise-gym/envs' { interface KnownEnvs { 'Mine-v0': { env:
 * MyEnv; options: MyOptions } } }`.
 */
// biome-ignore lint/suspicious/noEmptyInterface: families merge their ids into it, which a type alias does not allow
export interface KnownEnvs {}

/** The same for native vector environments, by which `makeVec` is typed. */
// biome-ignore lint/suspicious/noEmptyInterface: as above
export interface KnownVectorEnvs {}
