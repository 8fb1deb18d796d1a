import { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { registerWasmKernels } from './wasm-kernels.js';

/**
 * Loads the WebAssembly backend and makes it active (one thread, as in every Node process).
 * @throws Error on a processor without the vector instructions that it and its kernels here use
 */
export async function loadWasm(): Promise<void> {
  const wasm = await import('@tensorflow/tfjs-backend-wasm');
  if (!(await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT')))
    throw new Error('this processor has no vector instructions (SIMD) for WebAssembly');
  // Found next to its JavaScript wherever this package lies (repository, dist/, node_modules).
  const main = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
  wasm.setWasmPaths(dirname(main) + sep);
  registerWasmKernels();
  await quietly(() => tf.setBackend('wasm'));
}

/**
 * The module's start-up code adds process-wide handlers that rethrow every unhandled rejection; whoever runs the process
 * decides about that, so they are taken out again.
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
