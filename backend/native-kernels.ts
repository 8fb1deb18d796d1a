/**
 * The kernels of `fused/kernels.ts` on the native backend: the operations of `native/operations.cc`, and oneDNN's convolutions.
 */
import * as tf from '@tensorflow/tfjs';
import { type Activation, type FusedKernelName, registerFusedKernel } from './fused/kernels.js';

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

/** The activations by their numbers in `native/linear.h`. */
const activationNumbers: Record<Activation, number> = { none: 0, silu: 1, gelu: 2, quick_gelu: 3 };

/** Registers the operations of `native/operations.cc`, which must be loaded, as kernels. */
export function registerNativeKernels(backend: NativeBackend): void {
  const { TF_ATTR_INT, TF_ATTR_FLOAT } = backend.binding;
  /** Runs an operation of `operations.cc`, which documents the order of inputs, ints and floats. */
  const run = (
    name: string,
    inputs: readonly (tf.TensorInfo | undefined)[],
    outputCount: number,
    ints: readonly number[] = [],
    floats: readonly number[] = [],
  ): tf.TensorInfo[] => {
    const given = inputs.filter((t) => t !== undefined);
    const attributes = [
      { name: 'inputCount', type: TF_ATTR_INT, value: given.length },
      { name: 'outputCount', type: TF_ATTR_INT, value: outputCount },
      { name: 'ints', type: TF_ATTR_INT, value: ints },
      { name: 'floats', type: TF_ATTR_FLOAT, value: floats },
    ];
    return backend.executeMultipleOutputs(name, attributes, given, outputCount);
  };
  const register = <N extends FusedKernelName>(name: N, kernel: Parameters<typeof registerFusedKernel<N>>[2]) =>
    registerFusedKernel('tensorflow', name, kernel);
  const flag = (value: unknown) => (value ? 1 : 0);

  register('FusedGroupNorm', ({ inputs: { x, gamma, beta, added, scale, shift }, attrs }) =>
    run(
      'GymGroupNorm',
      [x, gamma, beta, added, scale, shift],
      3,
      [attrs.groups, flag(attrs.silu), flag(added), flag(scale)],
      [attrs.epsilon],
    ),
  );
  register('FusedGroupNormGrad', ({ inputs: { dy, x, gamma, beta, mean, rstd, added, scale, shift }, attrs }) =>
    run('GymGroupNormGrad', [x, gamma, beta, added, scale, shift, dy, mean, rstd], 3 + flag(added) + 2 * flag(scale), [
      attrs.groups,
      flag(attrs.silu),
      flag(added),
      flag(scale),
    ]),
  );
  register('FusedLayerNorm', ({ inputs: { x, gamma, beta }, attrs }) =>
    run('GymLayerNorm', [x, gamma, beta], 3, [], [attrs.epsilon]),
  );
  register('FusedLayerNormGrad', ({ inputs: { dy, x, gamma, mean, rstd } }) =>
    run('GymLayerNormGrad', [dy, x, gamma, mean, rstd], 3),
  );
  register('FusedAttention', ({ inputs: { q, k, v, mask }, attrs: { batch, heads } }) =>
    run('GymAttention', [q, k, v, mask], 2, [batch, heads]),
  );
  register('FusedAttentionGrad', ({ inputs: { dy, q, k, v, y, logSum, mask }, attrs: { batch, heads } }) =>
    run('GymAttentionGrad', [dy, q, k, v, y, logSum, mask], 3, [batch, heads]),
  );
  register('FusedLinear', ({ inputs: { x, weight, bias, residual }, attrs: { activation } }) =>
    run('GymLinear', [x, weight, bias, residual], activation === 'none' ? 1 : 2, [
      activationNumbers[activation],
      flag(bias),
      flag(residual),
    ]),
  );
  register('FusedLinearGrad', ({ inputs: { dy, x, weight, argument }, attrs: { activation, bias } }) =>
    run('GymLinearGrad', [dy, x, weight, argument], 2 + flag(bias), [activationNumbers[activation], flag(bias)]),
  );
  register('GatedGelu', ({ inputs: { x } }) => run('GymGatedGelu', [x], 1));
  register('GatedGeluGrad', ({ inputs: { dy, x } }) => run('GymGatedGeluGrad', [dy, x], 1));
  register('UpsampleNearest2x', ({ inputs: { x } }) => run('GymUpsample', [x], 1));
  register('UpsampleNearest2xGrad', ({ inputs: { dy } }) => run('GymUpsampleGrad', [dy], 1));
  register('Flatten', ({ inputs: { tensors } }) => run('GymFlatten', tensors, 1));
  register('FusedAdamW', ({ inputs: { gradient, m, v, weights }, attrs }) => {
    const { learningRate, beta1, beta2, epsilon, weightDecay, step, gradientScale } = attrs;
    // The numbers change with each step. As attributes they would make TensorFlow keep one more kernel each time.
    const numbers = tf.tensor1d([
      ...[beta1, 1 - beta1, beta2, 1 - beta2, 1 / Math.sqrt(1 - beta2 ** step), epsilon],
      ...[learningRate / (1 - beta1 ** step), 1 - learningRate * weightDecay, gradientScale],
    ]);
    const next = run('GymAdamW', [numbers, gradient, m, v, ...weights], 2 + weights.length);
    numbers.dispose();
    return next;
  });
}
