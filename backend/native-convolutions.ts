import * as tf from '@tensorflow/tfjs';
import { registerFusedKernel } from './fused/kernels.js';
import { type ConvAttributes, convInfo, type KernelCall, registerKernel } from './kernels.js';
import type { Attribute, NativeBackend, RunOperation } from './native-operations.js';

type Info = Pick<
  tf.backend_util.Conv2DInfo,
  'inShape' | 'filterShape' | 'strideHeight' | 'strideWidth' | 'dilationHeight' | 'dilationWidth' | 'padInfo'
>;

/** oneDNN's convolutions: each takes shapes and strides from `info`. */
interface OneDnn {
  forward(info: Info, x: tf.TensorInfo, filter: tf.TensorInfo, bias?: tf.TensorInfo): tf.Tensor;
  backpropInput(info: Info, dy: tf.TensorInfo, filter: tf.TensorInfo): tf.Tensor;
  backpropFilter(info: Info, x: tf.TensorInfo, dy: tf.TensorInfo): tf.Tensor;
}

/**
 * TensorFlow has oneDNN's convolutions under names of their own, `_MklNative...`, and finds them where the attribute
 * `_kernel` is "MklNameChangeOp".
 */
function oneDnn(backend: NativeBackend): OneDnn {
  const { binding } = backend;
  const attributes = (info: Info): Attribute[] => [
    { name: 'T', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT },
    { name: 'strides', type: binding.TF_ATTR_INT, value: [1, info.strideHeight, info.strideWidth, 1] },
    { name: 'padding', type: binding.TF_ATTR_STRING, value: info.padInfo.type },
    { name: 'data_format', type: binding.TF_ATTR_STRING, value: 'NHWC' },
    { name: 'dilations', type: binding.TF_ATTR_INT, value: [1, info.dilationHeight, info.dilationWidth, 1] },
    { name: '_kernel', type: binding.TF_ATTR_STRING, value: 'MklNameChangeOp' },
  ];
  const changing: Attribute = { name: 'is_filter_const', type: binding.TF_ATTR_BOOL, value: false };
  /** Gives a shape as a tensor to `compute`, and frees it. */
  const withShape = <T>(shape: number[], compute: (shape: tf.Tensor) => T): T => {
    const tensor = tf.tensor1d(shape, 'int32');
    try {
      return compute(tensor);
    } finally {
      tensor.dispose();
    }
  };
  return {
    forward: (info, x, filter, bias) =>
      backend.executeSingleOutput(
        bias ? '_MklNativeConv2DWithBias' : '_MklNativeConv2D',
        [...attributes(info), changing],
        bias ? [x, filter, bias] : [x, filter],
      ),
    backpropInput: (info, dy, filter) =>
      withShape(info.inShape, (shape) =>
        backend.executeSingleOutput('_MklNativeConv2DBackpropInput', attributes(info), [shape, filter, dy]),
      ),
    backpropFilter: (info, x, dy) =>
      withShape(info.filterShape, (shape) =>
        backend.executeSingleOutput('_MklNativeConv2DBackpropFilter', attributes(info), [x, shape, dy]),
      ),
  };
}

/**
 * Registers oneDNN's convolution kernels in place of Eigen's: they and their gradients are about twice as fast.
 * @returns false where this TensorFlow does not have them, and Eigen's kernels stay
 */
export function useOneDnn(backend: NativeBackend): boolean {
  const { forward, backpropInput, backpropFilter } = oneDnn(backend);
  try {
    tf.tidy(() => {
      const one = tf.ones([1, 1, 1, 1]);
      const info = convInfo(one.shape, one.shape, { strides: 1, pad: 'same', dataFormat: 'NHWC' });
      forward(info, one, one);
      forward(info, one, one, tf.ones([1]));
      backpropInput(info, one, one);
      backpropFilter(info, one, one);
    });
  } catch {
    return false;
  }

  const fits = (info: tf.backend_util.Conv2DInfo, attrs: ConvAttributes, ...tensors: tf.TensorInfo[]) =>
    attrs.dataFormat === 'NHWC' &&
    (info.padInfo.type === 'SAME' || info.padInfo.type === 'VALID') &&
    info.dilationHeight === 1 &&
    info.dilationWidth === 1 &&
    tensors.every((tensor) => tensor.dtype === 'float32' && !tensor.shape.includes(0));

  type Forward = KernelCall<{ x: tf.Tensor4D; filter: tf.Tensor4D }, ConvAttributes>;
  registerKernel('tensorflow', 'Conv2D', ({ inputs: { x, filter }, attrs, original }: Forward) => {
    const info = convInfo(x.shape, filter.shape, attrs);
    return fits(info, attrs, x, filter) ? forward(info, x, filter) : original();
  });

  type Fused = KernelCall<
    { x: tf.Tensor4D; filter: tf.Tensor4D; bias?: tf.Tensor },
    ConvAttributes & { activation: string }
  >;
  registerKernel('tensorflow', 'FusedConv2D', ({ inputs: { x, filter, bias }, attrs, original }: Fused) => {
    const info = convInfo(x.shape, filter.shape, attrs);
    return fits(info, attrs, x, filter) && attrs.activation === 'linear' && (bias?.rank ?? 1) === 1
      ? forward(info, x, filter, bias)
      : original();
  });

  type Input = KernelCall<{ dy: tf.Tensor4D; filter: tf.Tensor4D }, ConvAttributes & { inputShape: number[] }>;
  registerKernel('tensorflow', 'Conv2DBackpropInput', ({ inputs: { dy, filter }, attrs, original }: Input) => {
    const info = convInfo(attrs.inputShape, filter.shape, attrs);
    return fits(info, attrs, dy, filter) ? backpropInput(info, dy, filter) : original();
  });

  type Filter = KernelCall<{ x: tf.Tensor4D; dy: tf.Tensor4D }, ConvAttributes & { filterShape: number[] }>;
  registerKernel('tensorflow', 'Conv2DBackpropFilter', ({ inputs: { x, dy }, attrs, original }: Filter) => {
    const info = convInfo(x.shape, attrs.filterShape, attrs);
    return fits(info, attrs, x, dy) ? backpropFilter(info, x, dy) : original();
  });
  return true;
}

/**
 * The number of values of a filter up to which a convolution of `native/convolution.h` is used: on one thread it is as
 * fast as oneDNN's on two, and it has a small part of the overhead. Larger filters do not fit in a core's cache.
 */
const largestOwnFilter = 2 ** 18;

/**
 * Registers convolutions with bias and residual.
 * @param run runs an operation of `native/operations.cc`
 */
export function registerConvolutions(run: RunOperation): void {
  const ints = (info: tf.backend_util.Conv2DInfo) => [
    ...[info.outHeight, info.outWidth, info.strideHeight, info.padInfo.top, info.padInfo.left],
  ];
  registerFusedKernel('tensorflow', 'FusedConvolution', ({ inputs: { x, filter, bias, residual }, attrs }) => {
    const attributes = { ...attrs, dataFormat: 'NHWC' as const, dilations: 1 };
    if (filter.size <= largestOwnFilter)
      return run('GymConvolution', [x, filter, bias, residual], 1, ints(convInfo(x.shape, filter.shape, attributes)));
    return [
      tf.tidy(() => {
        const all = { ...attributes, activation: 'linear' };
        const y = tf.engine().runKernel(tf.FusedConv2D, { x, filter, bias }, all) as tf.Tensor;
        return residual ? tf.add(y, residual) : y;
      }),
    ];
  });
  registerFusedKernel('tensorflow', 'FusedConvolutionGrad', ({ inputs: { dy, x, filter }, attrs }) => {
    const attributes = { ...attrs, dataFormat: 'NHWC' as const, dilations: 1 };
    if (filter.size <= largestOwnFilter)
      return run('GymConvolutionGrad', [dy, x, filter], 3, ints(convInfo(x.shape, filter.shape, attributes)));
    const engine = tf.engine();
    const [inputShape, filterShape] = [x.shape, filter.shape];
    return [
      engine.runKernel(tf.Conv2DBackpropInput, { dy, filter }, { ...attributes, inputShape }) as tf.Tensor,
      engine.runKernel(tf.Conv2DBackpropFilter, { x, dy }, { ...attributes, filterShape }) as tf.Tensor,
      tf.sum(dy, [0, 1, 2]),
    ];
  });
}
