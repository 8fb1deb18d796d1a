import type { Variable } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { flatten } from '../../backend/index.js';

// Weights travel as one array: a hundred small ones take longer to read, send and write than their bytes do.

/** The values of all variables one after the other. */
export async function flatWeights(variables: Iterable<Variable>): Promise<Float32Array> {
  const flat = tf.tidy(() => flatten([...variables]));
  const values = (await flat.data()) as Float32Array;
  flat.dispose();
  return values;
}

/** Gives variables the values that {@link flatWeights} read of such ones; the array is not kept. */
export function assignFlatWeights(variables: Iterable<Variable>, values: Float32Array): void {
  const all = [...variables];
  tf.tidy(() => {
    const parts = tf.split(
      // A product copies the array at once, which tensor1d alone does not on each backend.
      tf.tensor1d(values).mul<tf.Tensor1D>(1),
      all.map(({ size }) => size),
    );
    for (const [i, variable] of all.entries()) variable.assign(parts[i]!.reshape(variable.shape));
  });
}
