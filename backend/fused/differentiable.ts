import * as tf from '@tensorflow/tfjs';
import { GymError } from '../../core/errors.js';

/** What the computation of a value gives. */
export interface Forward {
  readonly value: tf.Tensor;
  /** What the gradient needs: inputs, results, and what lies between. */
  readonly kept?: readonly tf.Tensor[];
}

/**
 * Computes an operation that has a gradient of its own.
 * @param inputs what gradients are taken in
 * @param forward computes the value
 * @param backward takes the gradient of the value, and what `forward` kept, to the gradients in all inputs, in their
 *   order. It must take no tensor from elsewhere, since that may have been freed by then.
 */
export function differentiable<T extends tf.Tensor>(
  inputs: readonly tf.Tensor[],
  forward: () => Forward,
  backward: (dy: tf.Tensor, kept: readonly tf.Tensor[]) => readonly tf.Tensor[],
): T {
  const op = tf.customGrad((...args) => {
    const save = args.at(-1) as unknown as tf.GradSaveFunc;
    const { value, kept = [] } = forward();
    save([...kept]);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]) => {
      const gradients = [...backward(dy, saved)];
      // TensorFlow.js would free them when all gradients are computed. This is early enough to halve the memory of a
      // training step, since the gradients take the place of what they were computed from.
      tf.dispose(saved);
      return gradients;
    };
    return { value, gradFunc };
  });
  return op(...inputs) as T;
}

/** An empty value of that shape, all of whose gradients are zero: what an operation gives for an empty batch. */
export function empty<T extends tf.Tensor>(shape: readonly number[], inputs: readonly tf.Tensor[]): T {
  const shapes = inputs.map((t) => t.shape);
  return differentiable(
    inputs,
    () => ({ value: tf.zeros([...shape]) }),
    () => shapes.map((inputShape) => tf.zeros(inputShape)),
  );
}

/** @throws GymError E_SHAPE where a tensor is given that has another shape than it must have */
export function checkShape(where: string, name: string, t: tf.Tensor | undefined, shape: readonly number[]): void {
  if (t && (t.rank !== shape.length || t.shape.some((size, axis) => size !== shape[axis])))
    throw new GymError('E_SHAPE', `${where}: ${name} has shape [${t.shape}]; it must be [${shape}].`);
}

/** The number of values on all axes but the last: 12 for [2, 6, 32]. */
export const rowsOf = (t: tf.Tensor): number => t.shape.slice(0, -1).reduce((a, b) => a * b, 1);

/** The number of values on the last axis. */
export const channelsOf = (t: tf.Tensor): number => t.shape.at(-1) ?? 0;

/** Sums rows [rows, channels] to [channels], as a matrix product: a reduction is much slower, above all on wasm. */
export function sumRows(x: tf.Tensor2D): tf.Tensor1D {
  return tf.matMul(tf.ones([1, x.shape[0]]), x).reshape([x.shape[1]]);
}
