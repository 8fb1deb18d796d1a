import { isNdArray, type NdArray, sameShape, stack, unstack } from '../core/ndarray.js';
import type { Snapshot } from '../core/snapshot.js';
import type { Info } from '../core/types.js';
import type { MakeOptions } from './registry.js';
import type { Space } from './spaces/space.js';
import type { Autoreset, VectorResetOptions } from './vector-env.js';

/** What a worker is to make: an environment by its id, after importing the module that registers it. */
export interface WorkerTask {
  readonly id: string;
  readonly numEnvs: number;
  readonly options: Readonly<Record<string, unknown>>;
  readonly maxEpisodeSteps: MakeOptions['maxEpisodeSteps'];
  readonly autoreset: Autoreset;
  /** The last observations of a thread that died, where this one takes its place. */
  readonly last?: readonly unknown[] | undefined;
}

/** What a worker is asked. */
export type Request =
  | { readonly kind: 'reset'; readonly options: VectorResetOptions }
  | { readonly kind: 'step'; readonly actions: readonly unknown[] }
  | { readonly kind: 'render' | 'snapshot' | 'close' }
  | { readonly kind: 'restore'; readonly snapshot: Snapshot };

/** What it says first: the spaces as JSON, and what the environments can do. */
export interface Ready {
  readonly observationSpace: ReturnType<Space<unknown>['toJson']>;
  readonly actionSpace: ReturnType<Space<unknown>['toJson']>;
  readonly spec: object | undefined;
  readonly renders: boolean;
  readonly snapshots: boolean;
  /** Whether another thread can take the place of this one. */
  readonly replaceable: boolean;
}

/** What it answers. */
export type Reply =
  | { readonly kind: 'ready'; readonly ready: Ready }
  | { readonly kind: 'result'; readonly result: unknown }
  | { readonly kind: 'error'; readonly code: string; readonly message: string };

/** Bytes from which on an array is cheaper to copy once and move than to clone. */
const large = 4096;

/**
 * A message and the buffers that move with it. What is large, or a view of a part of a buffer, is copied first: a clone
 * would carry the whole buffer, and moving it would empty it for all who still hold a view.
 */
export function packed<T>(message: T): { message: T; transfer: ArrayBuffer[] } {
  const transfer: ArrayBuffer[] = [];
  const pack = (value: unknown): unknown => {
    if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
      const view = value as Float32Array<ArrayBuffer>;
      if (view.byteLength < large && view.byteLength === view.buffer.byteLength) return view;
      const own = view.slice();
      if (own.byteLength >= large) transfer.push(own.buffer);
      return own;
    }
    if (Array.isArray(value)) return value.map(pack);
    if (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype)
      return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, pack(part)]));
    return value;
  };
  return { message: pack(message) as T, transfer };
}

/** Observations and infos on their way: one array for arrays of one shape and type, a number for infos that are empty. */
export interface Bundle {
  readonly observations: NdArray | readonly unknown[];
  readonly infos: number | readonly Info[];
}

/** Makes one message of what many environments say: a clone costs by the object. */
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

/** What {@link bundled} was given; arrays are views of one buffer, so that `stack` need not copy them again. */
export function unbundled<R>(bundle: Bundle): R {
  const { observations, infos } = bundle;
  return {
    ...bundle,
    observations: isNdArray(observations) ? unstack(observations) : observations,
    infos: typeof infos === 'number' ? Array.from({ length: infos }, () => ({})) : infos,
  } as R;
}
