import * as tf from '@tensorflow/tfjs';
import { GymError, messageOf, unknownName } from '../core/errors.js';
import { loadCpu } from './cpu.js';
import { loadNative } from './native.js';
import { loadWasm } from './wasm.js';

export { groupNorm, layerNorm, silu } from './ops.js';

export type BackendName = 'native' | 'wasm' | 'cpu';

/** What runs the tensors of this process, and why. */
export interface BackendInfo {
  name: BackendName;
  /** TensorFlow.js's own name for it. */
  tfjsName: string;
  /** Why this one, and why not those before it. */
  reason: string;
  threads?: number;
  /** Native only: whether convolutions run on oneDNN. */
  onednn?: boolean;
}

const tfjsNames: Record<BackendName, string> = { native: 'tensorflow', wasm: 'wasm', cpu: 'cpu' };
const order = Object.keys(tfjsNames) as BackendName[];

const loaders: Record<BackendName, () => Promise<Partial<BackendInfo> | undefined>> = {
  native: async () => {
    await loadNative();
    return {};
  },
  wasm: async () => {
    await loadWasm();
    return { threads: 1 };
  },
  cpu: async () => {
    await loadCpu();
    return { threads: 1 };
  },
};

let active: BackendInfo | undefined;
let pending: Promise<unknown> = Promise.resolve();

/**
 * Makes a TensorFlow.js backend ready and active. Idempotent; calls at the same time wait for each other.
 *
 * Without a name: the one already chosen, else the one that `DENOISE_GYM_BACKEND` names, else the first of native, wasm,
 * cpu that loads.
 * @throws GymError E_NAME for an unknown name, E_BACKEND where the named one cannot be loaded
 */
export function useBackend(name?: BackendName): Promise<BackendInfo> {
  const result = pending.then(() => choose(name));
  pending = result.catch(() => undefined);
  return result;
}

async function choose(name?: BackendName): Promise<BackendInfo> {
  if (active && (name === undefined || name === active.name)) {
    await tf.setBackend(active.tfjsName);
    return active;
  }
  const variable = process.env.DENOISE_GYM_BACKEND || undefined;
  const wanted = name ?? variable;
  if (wanted !== undefined) {
    const where = name === undefined ? 'DENOISE_GYM_BACKEND' : 'backend';
    if (!order.includes(wanted as BackendName)) throw unknownName(where, 'backend', wanted, order);
    const reason = name === undefined ? 'named by DENOISE_GYM_BACKEND' : 'asked for';
    active = await load(wanted as BackendName, reason);
    return active;
  }
  const failed: string[] = [];
  for (const candidate of order) {
    try {
      active = await load(candidate, failed.length === 0 ? 'the fastest one is there' : failed.join('; '));
      return active;
    } catch (error) {
      failed.push(`no ${messageOf(error)}`);
    }
  }
  throw new GymError('E_BACKEND', `backend: none could be loaded: ${failed.join('; ')}.`);
}

async function load(name: BackendName, reason: string): Promise<BackendInfo> {
  try {
    const extra = await loaders[name]();
    if (tf.getBackend() !== tfjsNames[name]) throw new Error('it did not start');
    return { name, tfjsName: tfjsNames[name], reason, ...extra };
  } catch (error) {
    const todo = name === 'native' ? 'build it with `npm run native`' : 'run `npm ci`';
    const what = messageOf(error).split('\n')[0];
    throw new GymError('E_BACKEND', `backend ${name}: ${what}; ${todo}.`, { cause: error });
  }
}
