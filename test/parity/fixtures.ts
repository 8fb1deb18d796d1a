import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { useBackend } from '../../backend/index.js';
import { readJson } from '../../core/files.js';

/** Where the numbers of the Python packages lie: test/fixtures, or another folder of the same names and layout. */
export const fixturesFolder = process.env.DENOISE_GYM_FIXTURES ?? 'test/fixtures';

export function fixturePath(...parts: string[]): string {
  return join(fixturesFolder, ...parts);
}

/** Reads a fixture; a missing file fails the test. */
export async function readFixture<T>(...parts: string[]): Promise<T> {
  return (await readJson(fixturePath(...parts))) as T;
}

/** Starts the backend that DENOISE_GYM_BACKEND names, says which, and returns its name. */
export async function startBackend(): Promise<string> {
  const { name } = await useBackend();
  console.log(`parity on backend ${name} with ${fixturesFolder}`);
  return name;
}

/** An array as the fixtures' JSON files hold it. */
export interface FixtureArray {
  shape: number[];
  data: number[];
}

/** PyTorch's NCHW to NHWC. */
export function toNhwc({ data, shape }: FixtureArray): tf.Tensor4D {
  return tf.tidy(() => tf.transpose(tf.tensor4d(data, shape as [number, number, number, number]), [0, 2, 3, 1]));
}

/** The values of an NHWC tensor in PyTorch's NCHW order; frees the tensor. */
export async function fromNhwc(tensor: tf.Tensor4D): Promise<Float32Array> {
  const turned = tf.transpose(tensor, [0, 3, 1, 2]);
  tensor.dispose();
  const data = (await turned.data()) as Float32Array;
  turned.dispose();
  return data;
}

/** The largest |actual − expected| / max(1, |expected|); NaN when a value is NaN. */
export function largestError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!) / Math.max(1, Math.abs(expected[i]!));
    if (!(error <= worst)) worst = error;
  }
  return worst;
}
