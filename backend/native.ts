import { createRequire } from 'node:module';
import * as tf from '@tensorflow/tfjs';

/** Loads `@tensorflow/tfjs-node-gpu` and makes it the backend; throws what its import threw where its addon is missing. */
export async function loadNative(): Promise<void> {
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  // tfjs-node calls helpers that Node 23 took out of `util`.
  const util = createRequire(import.meta.url)('node:util') as Record<string, unknown>;
  util.isNullOrUndefined ??= (x: unknown) => x === null || x === undefined;
  util.isArray ??= Array.isArray;
  await import('@tensorflow/tfjs-node-gpu');
  await tf.setBackend('tensorflow');
}
