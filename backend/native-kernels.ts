/**
 * The kernels of `fused/kernels.ts` on the native backend: the operations of `native/operations.cc`.
 */
import * as tf from '@tensorflow/tfjs';
import { type Activation, type FusedKernelName, registerFusedKernel } from './fused/kernels.js';
import { registerConvolutions } from './native-convolutions.js';
import { type NativeBackend, operations } from './native-operations.js';

/** The activations by their numbers in `native/linear.h`. */
const activationNumbers: Record<Activation, number> = { none: 0, silu: 1, gelu: 2, quick_gelu: 3 };

/** Registers the operations of `native/operations.cc`, which must be loaded, as kernels. */
export function registerNativeKernels(backend: NativeBackend): void {
  const run = operations(backend);
  registerConvolutions(run);
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
  register('TrainingBatchNorm', ({ inputs: { x, gamma, beta }, attrs }) =>
    run('GymBatchNorm', [x, gamma, beta], 3, [flag(attrs.relu)], [attrs.epsilon]),
  );
  register('TrainingBatchNormGrad', ({ inputs: { dy, x, gamma, beta, mean, variance }, attrs }) =>
    run('GymBatchNormGrad', [dy, x, gamma, beta, mean, variance], 3, [flag(attrs.relu)], [attrs.epsilon]),
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
  register('FusedStepMean', ({ inputs: { x, out, numbers }, attrs: { range } }) =>
    run('GymStepMean', [x, out, numbers], 1, [], [range]),
  );
  register('FusedStepMeanGrad', ({ inputs: { dy, x, out, numbers }, attrs: { range } }) =>
    run('GymStepMeanGrad', [dy, x, out, numbers], 2, [], [range]),
  );
  register('FusedScaledDistance', ({ inputs: { value, mean, numbers } }) =>
    run('GymScaledDistance', [value, mean, numbers], 1),
  );
  register('FusedScaledDistanceGrad', ({ inputs: { dy, value, mean, numbers } }) =>
    run('GymScaledDistanceGrad', [dy, value, mean, numbers], 1),
  );
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
