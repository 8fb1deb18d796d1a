import type { NdArray } from '../core/ndarray.js';
import type { Snapshot } from '../core/snapshot.js';
import type { Awaitable, Info } from '../core/types.js';
import type { EnvSpec } from './env.js';
import type { Space } from './spaces/space.js';

/**
 * When a finished environment is reset (Gymnasium's meanings).
 * - `next-step`: the step after the end ignores its action and returns the reset's observation with reward 0.
 * - `same-step`: the step of the end returns the reset's observation; the last one is in `infos[i].finalObservation`.
 * - `disabled`: never; the caller resets.
 */
export type Autoreset = 'next-step' | 'same-step' | 'disabled';

export interface VectorResetOptions {
  /** A number seeds environment i with seed + i; a list gives each its own. */
  seed?: number | readonly (number | undefined)[] | undefined;
  options?: Record<string, unknown> | undefined;
  /** 1 for the environments to reset; all without it. */
  mask?: Uint8Array | undefined;
}

export interface VectorResetResult<O> {
  observations: O[];
  infos: Info[];
}

export interface VectorStepResult<O> {
  observations: O[];
  rewards: Float64Array;
  terminated: Uint8Array;
  truncated: Uint8Array;
  infos: Info[];
}

/**
 * Several environments stepped together. Lists, not batched spaces: an agent stacks what its network needs.
 */
export interface VectorEnv<O, A> {
  readonly numEnvs: number;
  /** Space of one environment. */
  readonly observationSpace: Space<O>;
  readonly actionSpace: Space<A>;
  readonly autoreset: Autoreset;
  /** Where all episodes end after the same number of steps: that number. */
  readonly horizon?: number | undefined;
  readonly spec?: EnvSpec | undefined;
  reset(options?: VectorResetOptions): Awaitable<VectorResetResult<O>>;
  step(actions: readonly A[]): Awaitable<VectorStepResult<O>>;
  render?(): Awaitable<(NdArray | string)[]>;
  snapshot?(): Awaitable<Snapshot>;
  restore?(snapshot: Snapshot): Awaitable<VectorResetResult<O>>;
  close?(): Awaitable<void>;
}
