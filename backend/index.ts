import * as tf from '@tensorflow/tfjs';
import { GymError, messageOf, unknownName } from '../core/errors.js';
import { loadCpu } from './cpu.js';
import { howToGetNative, loadNative } from './native.js';
import { loadWasm } from './wasm.js';

export * from './fused/index.js';
export { buildNative } from './native.js';
export { type KernelCost, KernelProfiler } from './profiler.js';
export { SimdMemory } from './simd/index.js';

export type BackendName = 'native' | 'wasm' | 'cpu';

/** The TensorFlow.js backend that computes in this process, and why it was chosen. */
export interface BackendInfo {
  name: BackendName;
  /** TensorFlow.js's own name for it. */
  tfjsName: string;
  /** Why this backend was chosen, and why each faster one was not. */
  reason: string;
  /** Version of the library that computes: of TensorFlow for `native`, of TensorFlow.js for the others. */
  version?: string;
  /** Number of threads that compute. Only runs with the same number give the same results bit for bit. */
  threads?: number;
  /** For `native` only: true where convolutions run on oneDNN, false where they run on Eigen at half the speed. */
  onednn?: boolean;
  /** For `native` only: the path of its addon. */
  addon?: string;
}

/** Whether a backend is available on this machine; where it is not, why, and how to get it. */
export type BackendReport =
  | ({ available: true } & Omit<BackendInfo, 'reason'>)
  | { available: false; name: BackendName; reason: string; remedy: string };

type Details = Pick<BackendInfo, 'version' | 'threads' | 'onednn' | 'addon'>;

/** How each backend is loaded, in order of speed from the fastest. */
const backends: Record<BackendName, { tfjsName: string; load: () => Promise<Details>; remedy: () => string }> = {
  native: { tfjsName: 'tensorflow', load: loadNative, remedy: howToGetNative },
  wasm: {
    tfjsName: 'wasm',
    load: async () => {
      await loadWasm();
      return { version: tf.version.tfjs, threads: 1 };
    },
    remedy: () => 'install the dependencies again with `npm ci`',
  },
  cpu: {
    tfjsName: 'cpu',
    load: async () => {
      await loadCpu();
      return { version: tf.version.tfjs, threads: 1 };
    },
    remedy: () => 'install the dependencies again with `npm ci`',
  },
};

/** The names of the backends in order of speed, from the fastest. */
export const backendNames = Object.keys(backends) as readonly BackendName[];

let active: BackendInfo | undefined;
let pending: Promise<unknown> = Promise.resolve();

/** Runs pieces of work one after the other, since TensorFlow.js has one active backend for the whole process. */
function exclusively<T>(work: () => Promise<T>): Promise<T> {
  const result = pending.then(work);
  pending = result.catch(() => undefined);
  return result;
}

/**
 * Makes a TensorFlow.js backend ready and active. It may be called often, and calls at the same time wait for each
 * other.
 *
 * Without a name it takes the backend that was chosen before; if there is none, the one that the environment variable
 * `DENOISE_GYM_BACKEND` names; and if that is not set, the first of native, wasm and cpu that loads.
 * @throws GymError E_NAME for an unknown name; E_BACKEND, which says how to get it, where the named backend cannot be
 *   loaded
 */
export function useBackend(name?: BackendName): Promise<BackendInfo> {
  return exclusively(() => choose(name));
}

async function choose(name?: BackendName): Promise<BackendInfo> {
  if (active && (name === undefined || name === active.name)) {
    await tf.setBackend(active.tfjsName);
    return active;
  }
  const wanted = name ?? process.env.DENOISE_GYM_BACKEND;
  if (wanted) {
    const where = name === undefined ? 'DENOISE_GYM_BACKEND' : 'backend';
    if (!Object.hasOwn(backends, wanted)) throw unknownName(where, 'backend', wanted, backendNames);
    active = await load(wanted as BackendName, name === undefined ? 'named by DENOISE_GYM_BACKEND' : 'asked for');
    return active;
  }
  const failed: string[] = [];
  for (const candidate of backendNames) {
    try {
      active = await load(candidate, failed.join('; ') || 'the fastest is there');
      return active;
    } catch (error) {
      failed.push(
        messageOf(error)
          .replace(/^backend (\w+):/, 'not $1:')
          .replace(/\.$/, ''),
      );
    }
  }
  throw new GymError('E_BACKEND', `backend: none could be loaded: ${failed.join('; ')}.`);
}

async function load(name: BackendName, reason: string): Promise<BackendInfo> {
  const { tfjsName, remedy } = backends[name];
  try {
    return { name, tfjsName, reason, ...(await start(name)) };
  } catch (error) {
    throw new GymError('E_BACKEND', `backend ${name}: ${messageOf(error)}; ${remedy()}.`, { cause: error });
  }
}

async function start(name: BackendName): Promise<Details> {
  const details = await backends[name].load();
  // Where a backend fails to start, TensorFlow.js's setBackend only prints a warning and keeps the former one.
  if (tf.getBackend() !== backends[name].tfjsName) throw new Error('it does not start');
  return details;
}

/** Describes the chosen backend in one line for people: its name, its details, and why it was chosen. */
export function describeBackend(info: BackendInfo): string {
  return `backend: ${info.name} (${describeDetails(info).join(', ')}): ${info.reason}`;
}

/** Describes version, kernels and threads of a backend in a few words each. */
function describeDetails({ name, version, threads, onednn }: Omit<BackendInfo, 'reason'>): string[] {
  const details = [`${name === 'native' ? 'TensorFlow' : 'TensorFlow.js'} ${version}`];
  if (onednn !== undefined) details.push(`convolutions on ${onednn ? 'oneDNN' : 'Eigen'}`);
  details.push(`${threads} thread${threads === 1 ? '' : 's'}`);
  return details;
}

/**
 * Reports on every backend, from the fastest: whether it is available and, where it is not, why and how to get it. Each
 * backend is loaded to find out; the active one is active again afterwards.
 */
export function backendReport(): Promise<BackendReport[]> {
  return exclusively(async () => {
    const before = active?.tfjsName;
    const reports: BackendReport[] = [];
    for (const name of backendNames) {
      const { tfjsName, remedy } = backends[name];
      try {
        reports.push({ available: true, name, tfjsName, ...(await start(name)) });
      } catch (error) {
        reports.push({ available: false, name, reason: messageOf(error), remedy: remedy() });
      }
    }
    if (before) await tf.setBackend(before);
    return reports;
  });
}

/** Describes one entry of {@link backendReport} in one line for people. */
export function describeReport(report: BackendReport): string {
  if (!report.available) return `${report.name}: not available: ${report.reason}; ${report.remedy}`;
  const addon = report.addon ? `, ${report.addon}` : '';
  return `${report.name}: available (${describeDetails(report).join(', ')}${addon})`;
}
