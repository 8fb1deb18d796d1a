/**
 * The kernels that a backend may have for the operations of this folder, each of which computes in one call what is
 * otherwise composed of many. Which backend has which is known to nobody but `fusedKernel`: an operation calls its
 * kernel where the active backend has registered one by `registerFusedKernel`, and is composed of TensorFlow.js's own
 * operations elsewhere. What each kernel computes is written in the file of its operation.
 *
 * All values are float32. "Rows" are all axes but the last: a tensor [batch, height, width, channels] has batch · height
 * · width rows of `channels` values. A result has the shape of the tensor that it belongs to (`y` that of `x` but for
 * the channels, a gradient that of what it is the gradient of). An operation never calls a kernel on an empty tensor,
 * and has checked all shapes before.
 */
import * as tf from '@tensorflow/tfjs';

type T = tf.Tensor;

/** The activations that a linear layer may end with; see `linear.ts`. */
export type Activation = 'none' | 'silu' | 'gelu' | 'quick_gelu';

/** What {@link FusedKernels.FusedGroupNorm} computes from. */
export interface GroupNormInputs {
  /** [batch, height, width, channels] */
  readonly x: T;
  /** [channels] */
  readonly gamma: T;
  /** [channels] */
  readonly beta: T;
  /** [batch, channels], what is added to each pixel before the norm. */
  readonly added?: T;
  /** [batch, channels]; `scale` and `shift` are given together or not at all. */
  readonly scale?: T;
  /** [batch, channels] */
  readonly shift?: T;
}

export interface GroupNormAttributes {
  readonly groups: number;
  readonly epsilon: number;
  /** Whether the SiLU of the result is taken. */
  readonly silu: boolean;
}

export interface AttentionInputs {
  /** [batch · n, channels] */
  readonly q: T;
  /** [batch · m, channels] */
  readonly k: T;
  /** [batch · m, channels] */
  readonly v: T;
  /** [n, m], what is added to the scores. */
  readonly mask?: T;
}

export interface AttentionAttributes {
  readonly batch: number;
  readonly heads: number;
}

export interface ConvolutionAttributes {
  readonly strides: 1 | 2;
  readonly pad: 'same' | 'valid';
}

/** The numbers of one step of AdamW; see `adamw.ts`. */
export interface AdamWAttributes {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** The number of this step, from 1. */
  readonly step: number;
  /** A factor on the gradient, at most 1. */
  readonly gradientScale: number;
}

/** Inputs, attributes and outputs of each kernel. A kernel that is listed with its gradient is registered with it. */
export interface FusedKernels {
  /** `mean` and `rstd` (the inverse of the standard deviation) of each group are [batch, groups]. */
  FusedGroupNorm: {
    inputs: GroupNormInputs;
    attrs: GroupNormAttributes;
    outputs: [y: T, mean: T, rstd: T];
  };
  /** The last three outputs are there where the inputs that they belong to are given, in this order. */
  FusedGroupNormGrad: {
    inputs: GroupNormInputs & { readonly dy: T; readonly mean: T; readonly rstd: T };
    attrs: GroupNormAttributes;
    outputs: [dx: T, dgamma: T, dbeta: T, ...dAddedScaleShift: T[]];
  };

  /** `mean` and the biased `variance` of each channel are [channels]. */
  TrainingBatchNorm: {
    inputs: { readonly x: T; readonly gamma: T; readonly beta: T };
    attrs: { readonly epsilon: number; readonly relu: boolean };
    outputs: [y: T, mean: T, variance: T];
  };
  TrainingBatchNormGrad: {
    inputs: {
      readonly dy: T;
      readonly x: T;
      readonly gamma: T;
      readonly beta: T;
      readonly mean: T;
      readonly variance: T;
    };
    attrs: { readonly epsilon: number; readonly relu: boolean };
    outputs: [dx: T, dgamma: T, dbeta: T];
  };

  /** `mean` and `rstd` of each row are [rows]. */
  FusedLayerNorm: {
    inputs: { readonly x: T; readonly gamma: T; readonly beta: T };
    attrs: { readonly epsilon: number };
    outputs: [y: T, mean: T, rstd: T];
  };
  FusedLayerNormGrad: {
    inputs: { readonly dy: T; readonly x: T; readonly gamma: T; readonly mean: T; readonly rstd: T };
    attrs: Record<string, never>;
    outputs: [dx: T, dgamma: T, dbeta: T];
  };

  /** `logSum` is the logarithm of the sum of exponentials of the scores, [batch · n, heads]. */
  FusedAttention: {
    inputs: AttentionInputs;
    attrs: AttentionAttributes;
    outputs: [y: T, logSum: T];
  };
  FusedAttentionGrad: {
    inputs: AttentionInputs & { readonly dy: T; readonly y: T; readonly logSum: T };
    attrs: AttentionAttributes;
    outputs: [dq: T, dk: T, dv: T];
  };

  /**
   * `x` is [..., in]. The last two axes of `weight` are [in, out]; any before them are 1. `bias` is [out], `residual` of
   * the shape of `y`. With an activation the second output is its argument, x · weight + bias; else there is none.
   */
  FusedLinear: {
    inputs: { readonly x: T; readonly weight: T; readonly bias?: T; readonly residual?: T };
    attrs: { readonly activation: Activation };
    outputs: [y: T, argument?: T];
  };
  /** `argument` is given where there is an activation, and the last output is there where `bias` is true. */
  FusedLinearGrad: {
    inputs: { readonly dy: T; readonly x: T; readonly weight: T; readonly argument?: T };
    attrs: { readonly activation: Activation; readonly bias: boolean };
    outputs: [dx: T, dweight: T, dbias?: T];
  };

  /** `x` is [..., 2 · inner], `y` [..., inner]. */
  GatedGelu: { inputs: { readonly x: T }; attrs: Record<string, never>; outputs: [y: T] };
  GatedGeluGrad: { inputs: { readonly dy: T; readonly x: T }; attrs: Record<string, never>; outputs: [dx: T] };

  /** `x` [batch, height, width, in], `filter` [height, width, in, out], `bias` [out], `residual` of the shape of `y`. */
  FusedConvolution: {
    inputs: { readonly x: T; readonly filter: T; readonly bias: T; readonly residual?: T };
    attrs: ConvolutionAttributes;
    outputs: [y: T];
  };
  FusedConvolutionGrad: {
    inputs: { readonly dy: T; readonly x: T; readonly filter: T };
    attrs: ConvolutionAttributes;
    outputs: [dx: T, dfilter: T, dbias: T];
  };

  /** `x` [batch, height, width, channels], `y` [batch, 2 · height, 2 · width, channels]. */
  UpsampleNearest2x: { inputs: { readonly x: T }; attrs: Record<string, never>; outputs: [y: T] };
  UpsampleNearest2xGrad: { inputs: { readonly dy: T }; attrs: Record<string, never>; outputs: [dx: T] };

  /**
   * `x`, `out` and `y` [batch, ...]; `numbers` [batch, 7] has k, a, b, weight, k', a', b' of each row, for k · (a x + b out) +
   * weight · clip(k' · (a' x + b' out)).
   */
  FusedStepMean: {
    inputs: { readonly x: T; readonly out: T; readonly numbers: T };
    attrs: { readonly range: number };
    outputs: [y: T];
  };
  FusedStepMeanGrad: {
    inputs: { readonly dy: T; readonly x: T; readonly out: T; readonly numbers: T };
    attrs: { readonly range: number };
    outputs: [dx: T, dout: T];
  };
  /** `value` and `mean` [batch, ...]; `numbers` [batch, 2] has scale and offset of each row; `y` [batch]. */
  FusedScaledDistance: {
    inputs: { readonly value: T; readonly mean: T; readonly numbers: T };
    attrs: Record<string, never>;
    outputs: [y: T];
  };
  FusedScaledDistanceGrad: {
    inputs: { readonly dy: T; readonly value: T; readonly mean: T; readonly numbers: T };
    attrs: Record<string, never>;
    outputs: [dmean: T];
  };

  /** The values of all tensors one after the other, [sum of sizes]. */
  Flatten: { inputs: { readonly tensors: readonly T[] }; attrs: Record<string, never>; outputs: [flat: T] };

  /** `gradient`, `m` and `v` are [sum of the sizes of `weights`]. The inputs stay as they are. */
  FusedAdamW: {
    inputs: { readonly gradient: T; readonly m: T; readonly v: T; readonly weights: readonly T[] };
    attrs: AdamWAttributes;
    outputs: [m: T, v: T, ...weights: T[]];
  };
}

export type FusedKernelName = keyof FusedKernels;

/**
 * The kernel of the active backend, if it has one. It may be called while a gradient is recorded, and is then not
 * recorded itself.
 */
export function fusedKernel<N extends FusedKernelName>(
  name: N,
): ((inputs: FusedKernels[N]['inputs'], attrs: FusedKernels[N]['attrs']) => FusedKernels[N]['outputs']) | undefined {
  if (!tf.getKernel(name, tf.getBackend())) return undefined;
  return (inputs, attrs) =>
    tf
      .engine()
      .runKernel(
        name,
        inputs as unknown as tf.NamedTensorMap,
        attrs as unknown as tf.NamedAttrMap,
      ) as unknown as tf.Tensor[] & FusedKernels[N]['outputs'];
}

/**
 * Registers one of these kernels for a backend. The kernel gives its outputs in their order, always as a list.
 * @param backendName TensorFlow.js's own name of the backend
 */
export function registerFusedKernel<N extends FusedKernelName, Backend = unknown>(
  backendName: string,
  name: N,
  kernel: (call: {
    inputs: FusedKernels[N]['inputs'];
    attrs: FusedKernels[N]['attrs'];
    backend: Backend;
  }) => tf.TensorInfo[],
): void {
  tf.registerKernel({
    kernelName: name,
    backendName,
    kernelFunc: ({ inputs, attrs, backend }) =>
      kernel({
        inputs: inputs as unknown as FusedKernels[N]['inputs'],
        attrs: attrs as unknown as FusedKernels[N]['attrs'],
        backend: backend as Backend,
      }),
  });
}
