import * as tf from '@tensorflow/tfjs';

type Result = tf.TensorInfo | tf.TensorInfo[];

/** One call of a kernel: its arguments, and the way to the kernel that it replaces. */
export interface KernelCall<Inputs, Attributes, Backend = unknown> {
  inputs: Inputs;
  attrs: Attributes;
  backend: Backend;
  /**
   * Calls the backend's own kernel of this name, for cases in which the new one is no improvement.
   * @param other inputs and attributes to give it instead of those of this call
   */
  original: (other?: { inputs?: tf.NamedTensorMap; attrs?: Partial<Attributes> }) => Result;
}

/** The attributes of TensorFlow.js's convolution kernels. */
export interface ConvAttributes {
  strides: [number, number] | number;
  pad: 'same' | 'valid' | number | tf.backend_util.ExplicitPadding;
  dataFormat: 'NHWC' | 'NCHW';
  dilations?: [number, number] | number;
  dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

/** Registers a kernel for a backend. Where the backend has a kernel of this name, the new one takes its place. */
export function registerKernel<Inputs, Attributes, Backend = unknown>(
  backendName: string,
  kernelName: string,
  kernel: (call: KernelCall<Inputs, Attributes, Backend>) => Result,
): void {
  const own = tf.getKernel(kernelName, backendName);
  if (own) tf.unregisterKernel(kernelName, backendName);
  tf.registerKernel({
    ...own,
    kernelName,
    backendName,
    kernelFunc: ({ inputs, attrs, backend }) =>
      kernel({
        inputs: inputs as Inputs,
        attrs: attrs as Attributes,
        backend: backend as Backend,
        original: (other) => {
          if (!own) throw new Error(`${kernelName} on ${backendName}: the backend has no kernel of its own.`);
          return own.kernelFunc({
            inputs: other?.inputs ? { ...inputs, ...other.inputs } : inputs,
            attrs: other?.attrs ? { ...attrs, ...other.attrs } : attrs,
            backend,
          });
        },
      }),
  });
}

/** Computes sizes and paddings of a convolution from the shapes of its input and its filter. */
export function convInfo(
  inputShape: number[],
  filterShape: number[],
  attrs: ConvAttributes,
): tf.backend_util.Conv2DInfo {
  return tf.backend_util.computeConv2DInfo(
    inputShape as [number, number, number, number],
    filterShape as [number, number, number, number],
    attrs.strides,
    attrs.dilations ?? 1,
    attrs.pad,
    attrs.dimRoundingMode,
    false,
    tf.backend_util.convertConv2DDataFormat(attrs.dataFormat),
  );
}
