import * as tf from '@tensorflow/tfjs';
import type { FeatureNetwork } from '../../networks/feature-network.js';

/** Everything that is averaged of a network: its parameters, and tracked statistics where it has any. */
function variablesOf(network: FeatureNetwork): tf.Variable[] {
  return [...network.parameters.values(), ...network.buffers.values()];
}

/** The number of weights of a network. */
export function weightCount(network: FeatureNetwork): number {
  return variablesOf(network).reduce((sum, { size }) => sum + size, 0);
}

/** All weights of a network as one vector [P]. */
export async function readWeights(network: FeatureNetwork): Promise<Float32Array> {
  const flat = tf.tidy(() => tf.concat(variablesOf(network).map((variable) => tf.reshape(variable, [-1]))));
  const data = (await flat.data()) as Float32Array;
  flat.dispose();
  return data;
}

/** Gives a network the weights of one vector [P]. */
export function writeWeights(network: FeatureNetwork, weights: Float32Array): void {
  let first = 0;
  for (const variable of variablesOf(network)) {
    const value = tf.tensor(weights.slice(first, first + variable.size), variable.shape);
    variable.assign(value);
    value.dispose();
    first += variable.size;
  }
}

/** A vector [P] as one tensor for each parameter; the caller frees them. */
export function parameterTensors(network: FeatureNetwork, weights: Float32Array): tf.Tensor[] {
  let first = 0;
  return [...network.parameters.values()].map(({ size, shape }) => {
    first += size;
    return tf.tensor(weights.slice(first - size, first), shape);
  });
}
