import * as tf from '@tensorflow/tfjs';
import { GymError, messageOf, unknownName } from '../core/errors.js';
import { loadCpu } from './cpu.js';
import { howToGetNative, loadNative } from './native.js';
import { loadWasm } from './wasm.js';

export { buildNative } from './native.js';
export { groupNorm, layerNorm, silu } from './ops.js';

export type BackendName = 'native' | 'wasm' | 'cpu';

/** What runs the tensors of this process, and why. */
export interface BackendInfo {
  name: BackendName;
  /** TensorFlow.js's own name for it. */
  tfjsName: string;
  /** Why this one, and why not those before it. */
  reason: string;
  /** Version of the library that computes: TensorFlow for native, else TensorFlow.js. */
  version?: string;
  /** Results are the same bit for bit only where this number is the same too. */
  threads?: number;
  /** Native only: whether convolutions run on oneDNN (false: on Eigen, at half the speed). */
  onednn?: boolean;
  /** Native only: where its addon lies. */
  addon?: string;
}

/** What `doctor` says of one backend. */
export type BackendReport =
  | ({ available: true } & Omit<BackendInfo, 'reason'>)
  | { available: false; name: BackendName; reason: string; remedy: string };

type Details = Pick<BackendInfo, 'version' | 'threads' | 'onednn' | 'addon'>;

/** The backends, fastest first. */
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

/** The names of the backends, fastest first. */
export const backendNames = Object.keys(backends) as readonly BackendName[];

let active: BackendInfo | undefined;
let pending: Promise<unknown> = Promise.resolve();

/** One after the other: TensorFlow.js has one active backend for the whole process. */
function exclusively<T>(work: () => Promise<T>): Promise<T> {
  const result = pending.then(work);
  pending = result.catch(() => undefined);
  return result;
}

/**
 * Makes a TensorFlow.js backend ready and active. Idempotent; calls at the same time wait for each other.
 *
 * Without a name: the one already chosen, else the one that the environment variable `DENOISE_GYM_BACKEND` names, else
 * the first of native, wasm, cpu that loads.
 * @throws GymError E_NAME for an unknown name, E_BACKEND where the named one cannot be loaded (with how to get it)
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
  // setBackend only warns where a backend's own start fails.
  if (tf.getBackend() !== backends[name].tfjsName) throw new Error('it does not start');
  return details;
}

/** One line for people: what runs, and why. */
export function describeBackend(info: BackendInfo): string {
  return `backend: ${info.name} (${describeDetails(info).join(', ')}): ${info.reason}`;
}

/** Version, threads and kernels of a backend, each a few words. */
function describeDetails({ name, version, threads, onednn }: Omit<BackendInfo, 'reason'>): string[] {
  const details = [`${name === 'native' ? 'TensorFlow' : 'TensorFlow.js'} ${version}`];
  if (onednn !== undefined) details.push(`convolutions on ${onednn ? 'oneDNN' : 'Eigen'}`);
  details.push(`${threads} thread${threads === 1 ? '' : 's'}`);
  return details;
}

/**
 * Every backend, fastest first: whether it is available, else why not and how to get it. Each is loaded to find out; the
 * active one stays active.
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

/** One line for people about one backend of a report. */
export function describeReport(report: BackendReport): string {
  if (!report.available) return `${report.name}: not available: ${report.reason}; ${report.remedy}`;
  const addon = report.addon ? `, ${report.addon}` : '';
  return `${report.name}: available (${describeDetails(report).join(', ')}${addon})`;
}
