import type * as tf from '@tensorflow/tfjs';

/** The parts of tfjs-node's backend that are used here. */
export interface NativeBackend extends tf.KernelBackend {
  readonly binding: Record<
    'TF_ATTR_TYPE' | 'TF_ATTR_INT' | 'TF_ATTR_FLOAT' | 'TF_ATTR_STRING' | 'TF_ATTR_BOOL' | 'TF_FLOAT',
    number
  > & {
    readonly TF_Version: string;
    isUsingGpuDevice(): boolean;
  };
  executeSingleOutput(name: string, attributes: Attribute[], inputs: tf.TensorInfo[]): tf.Tensor;
  executeMultipleOutputs(name: string, attributes: Attribute[], inputs: tf.TensorInfo[], count: number): tf.Tensor[];
}

/** An attribute of a TensorFlow operation; `type` is one of the binding's TF_ATTR constants. */
export interface Attribute {
  readonly name: string;
  readonly type: number;
  readonly value: unknown;
}

/**
 * Runs an operation of `native/operations.cc`, which documents the order of inputs, ints and floats.
 * @param inputs those that are given; an undefined one is left out
 */
export type RunOperation = (
  name: string,
  inputs: readonly (tf.TensorInfo | undefined)[],
  outputCount: number,
  ints?: readonly number[],
  floats?: readonly number[],
) => tf.Tensor[];

/** What runs the operations of `native/operations.cc`, which must be loaded. */
export function operations(backend: NativeBackend): RunOperation {
  const { TF_ATTR_INT, TF_ATTR_FLOAT } = backend.binding;
  return (name, inputs, outputCount, ints = [], floats = []) => {
    const given = inputs.filter((t) => t !== undefined);
    const attributes = [
      { name: 'inputCount', type: TF_ATTR_INT, value: given.length },
      { name: 'outputCount', type: TF_ATTR_INT, value: outputCount },
      { name: 'ints', type: TF_ATTR_INT, value: ints },
      { name: 'floats', type: TF_ATTR_FLOAT, value: floats },
    ];
    return backend.executeMultipleOutputs(name, attributes, given, outputCount);
  };
}
