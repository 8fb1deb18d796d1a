import { isNdArray, type NdArray, sameShape, stack, unstack } from '../core/ndarray.js';
import type { Snapshot } from '../core/snapshot.js';
import type { Info } from '../core/types.js';
import type { MakeOptions } from './registry.js';
import type { Space } from './spaces/space.js';
import type { Autoreset, VectorResetOptions } from './vector-env.js';

/** What a worker thread is to make: environments by their id, which may name a module to import first. */
export interface WorkerTask {
  readonly id: string;
  readonly numEnvs: number;
  readonly options: Readonly<Record<string, unknown>>;
  readonly maxEpisodeSteps: MakeOptions['maxEpisodeSteps'];
  readonly autoreset: Autoreset;
  /** Where this thread takes the place of one that died: the last observations of the environments in that one. */
  readonly last?: readonly unknown[] | undefined;
}

/** What the main thread asks of a worker thread. */
export type Request =
  | { readonly kind: 'reset'; readonly options: VectorResetOptions }
  | { readonly kind: 'step'; readonly actions: readonly unknown[] }
  | { readonly kind: 'render' | 'snapshot' | 'close' }
  | { readonly kind: 'restore'; readonly snapshot: Snapshot };

/** What a worker thread says first, when its environments are made: their spaces as JSON, and what they can do. */
export interface Ready {
  readonly observationSpace: ReturnType<Space<unknown>['toJson']>;
  readonly actionSpace: ReturnType<Space<unknown>['toJson']>;
  readonly spec: object | undefined;
  readonly renders: boolean;
  readonly snapshots: boolean;
  /** Whether another thread can take the place of this one when it dies. */
  readonly replaceable: boolean;
}

/** What a worker thread answers. */
export type Reply =
  | { readonly kind: 'ready'; readonly ready: Ready }
  | { readonly kind: 'result'; readonly result: unknown }
  | { readonly kind: 'error'; readonly code: string; readonly message: string };

/**
 * Observations and infos as they are sent. Where all observations are arrays of one shape and type they are one array,
 * and where all infos are empty they are their number.
 */
export interface Bundle {
  readonly observations: NdArray | readonly unknown[];
  readonly infos: number | readonly Info[];
}

/** The result of many environments in few objects, since sending a message takes time for each object in it. */
export function bundled<R extends { observations: readonly unknown[]; infos: readonly Info[] }>(
  result: R,
): Omit<R, 'observations' | 'infos'> & Bundle {
  const { observations, infos } = result;
  const first = observations[0];
  const alike =
    isNdArray(first) &&
    observations.every(
      (o) => isNdArray(o) && o.data.constructor === first.data.constructor && sameShape(o.shape, first.shape),
    );
  const empty = infos.every((info) => Object.keys(info).length === 0);
  return {
    ...result,
    observations: alike ? stack(observations as NdArray[]) : observations,
    infos: empty ? infos.length : infos,
  };
}

/**
 * The result that {@link bundled} was given. Its arrays are views of one buffer, which `stack` recognises, so that an
 * agent that stacks them copies nothing.
 */
export function unbundled<R>(bundle: Bundle): R {
  const { observations, infos } = bundle;
  return {
    ...bundle,
    observations: isNdArray(observations) ? unstack(observations) : observations,
    infos: typeof infos === 'number' ? Array.from({ length: infos }, () => ({})) : infos,
  } as R;
}
