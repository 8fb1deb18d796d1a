import { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { registerWasmFusedKernels } from './wasm-fused.js';
import { registerWasmKernels } from './wasm-kernels.js';

/**
 * Loads the WebAssembly backend and makes it active. It computes on one thread, as it does in every Node process.
 * @throws Error on a processor without the vector instructions that the backend and `wasm-kernels.ts` use
 */
export async function loadWasm(): Promise<void> {
  const wasm = await import('@tensorflow/tfjs-backend-wasm');
  if (!(await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT')))
    throw new Error('this processor has no vector instructions (SIMD) for WebAssembly');
  // The .wasm files lie beside the backend's JavaScript, wherever this package itself lies (repository, dist/,
  // node_modules).
  const main = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
  wasm.setWasmPaths(dirname(main) + sep);
  registerWasmKernels();
  registerWasmFusedKernels();
  await quietly(() => tf.setBackend('wasm'));
}

/**
 * Starts the backend and removes the process-wide handlers that its start-up code adds: they rethrow every unhandled
 * rejection, which is a decision of whoever runs the process.
 */
async function quietly<T>(start: () => Promise<T>): Promise<T> {
  const events = ['uncaughtException', 'unhandledRejection'] as const;
  const before = events.map((event) => new Set<unknown>(process.rawListeners(event)));
  try {
    return await start();
  } finally {
    events.forEach((event, i) => {
      for (const listener of process.rawListeners(event))
        if (!before[i]?.has(listener)) process.removeListener(event, listener as () => void);
    });
  }
}
