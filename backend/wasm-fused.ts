/**
 * The kernels of `fused/` on the wasm backend: each allocates its results and calls a function of `simd/`, which computes
 * them in one or two passes over memory. A dozen of TensorFlow.js's own kernels would take a pass each.
 */
import type * as tf from '@tensorflow/tfjs';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { type Activation, type FusedKernelName, type FusedKernels, registerFusedKernel } from './fused/kernels.js';
import { convInfo } from './kernels.js';
import { addressOf, simdOf, withScratch } from './simd/index.js';
import {
  columnSums,
  convolutionFilterGradient,
  convolutionInputGradient,
  convolve,
  product,
  transposedProduct,
} from './wasm-products.js';

interface Call<N extends FusedKernelName> {
  readonly inputs: FusedKernels[N]['inputs'];
  readonly attrs: FusedKernels[N]['attrs'];
  readonly backend: BackendWasm;
}

/** A tensor for a result. Its values are not set. */
const make = (backend: BackendWasm, shape: readonly number[]): tf.TensorInfo =>
  backend.makeOutput([...shape], 'float32');
const makeAll = (backend: BackendWasm, like: readonly tf.TensorInfo[]) => like.map(({ shape }) => make(backend, shape));

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const rowsOf = ({ shape }: tf.TensorInfo): number => sizeOf(shape.slice(0, -1));
const channelsOf = ({ shape }: tf.TensorInfo): number => shape.at(-1)!;
const upTo4 = (n: number): number => Math.ceil(n / 4) * 4;

let registered = false;

/** Registers the kernels of this file. Calls after the first one have no effect. */
export function registerWasmFusedKernels(): void {
  if (registered) return;
  registered = true;
  registerFusedKernel('wasm', 'FusedGroupNorm', groupNorm);
  registerFusedKernel('wasm', 'FusedGroupNormGrad', groupNormGradient);
  registerFusedKernel('wasm', 'TrainingBatchNorm', batchNorm);
  registerFusedKernel('wasm', 'TrainingBatchNormGrad', batchNormGradient);
  registerFusedKernel('wasm', 'FusedLayerNorm', layerNorm);
  registerFusedKernel('wasm', 'FusedLayerNormGrad', layerNormGradient);
  registerFusedKernel('wasm', 'FusedAttention', attention);
  registerFusedKernel('wasm', 'FusedAttentionGrad', attentionGradient);
  registerFusedKernel('wasm', 'FusedLinear', linear);
  registerFusedKernel('wasm', 'FusedLinearGrad', linearGradient);
  registerFusedKernel('wasm', 'GatedGelu', gatedGelu);
  registerFusedKernel('wasm', 'GatedGeluGrad', gatedGeluGradient);
  registerFusedKernel('wasm', 'FusedConvolution', convolution);
  registerFusedKernel('wasm', 'FusedConvolutionGrad', convolutionGradient);
  registerFusedKernel('wasm', 'UpsampleNearest2x', upsample);
  registerFusedKernel('wasm', 'UpsampleNearest2xGrad', upsampleGradient);
  registerFusedKernel('wasm', 'FusedStepMean', stepMean);
  registerFusedKernel('wasm', 'FusedStepMeanGrad', stepMeanGradient);
  registerFusedKernel('wasm', 'FusedScaledDistance', scaledDistance);
  registerFusedKernel('wasm', 'FusedScaledDistanceGrad', scaledDistanceGradient);
  registerFusedKernel('wasm', 'Flatten', flatten);
  registerFusedKernel('wasm', 'FusedAdamW', adamW);
}

function groupNorm({ inputs, attrs, backend }: Call<'FusedGroupNorm'>): tf.TensorInfo[] {
  const { x, gamma, beta, added, scale, shift } = inputs;
  const [batch, height, width, channels] = x.shape as [number, number, number, number];
  const { groups, epsilon, silu } = attrs;
  const results = [make(backend, x.shape), make(backend, [batch, groups]), make(backend, [batch, groups])];
  const addresses = [x, gamma, beta, added, scale, shift, ...results].map((t) => addressOf(backend, t));
  withScratch(backend, 4 * upTo4(channels), (scratch) => {
    simdOf(backend).groupNorm(...addresses, scratch, batch, height * width, channels, groups, epsilon, silu);
  });
  return results;
}

function groupNormGradient({ inputs, attrs, backend }: Call<'FusedGroupNormGrad'>): tf.TensorInfo[] {
  const { dy, x, gamma, beta, added, scale, shift, mean, rstd } = inputs;
  const [batch, height, width, channels] = x.shape as [number, number, number, number];
  const { groups, silu } = attrs;
  const [dx, dgamma, dbeta] = makeAll(backend, [x, gamma, beta]);
  const [dadded, dscale, dshift] = [added, scale, shift].map((t) => t && make(backend, t.shape));
  const all = [dy, x, gamma, beta, added, scale, shift, mean, rstd, dx, dgamma, dbeta, dadded, dscale, dshift];
  const addresses = all.map((t) => addressOf(backend, t));
  withScratch(backend, 8 * upTo4(channels), (scratch) => {
    simdOf(backend).groupNormGradient(...addresses, scratch, batch, height * width, channels, groups, silu);
  });
  return [dx, dgamma, dbeta, dadded, dscale, dshift].filter((t) => t !== undefined);
}

function batchNorm({ inputs: { x, gamma, beta }, attrs, backend }: Call<'TrainingBatchNorm'>): tf.TensorInfo[] {
  const results = makeAll(backend, [x, gamma, gamma]);
  const addresses = [x, gamma, beta, ...results].map((t) => addressOf(backend, t));
  withScratch(backend, 3 * upTo4(channelsOf(x)), (scratch) => {
    simdOf(backend).batchNorm(...addresses, scratch, rowsOf(x), channelsOf(x), attrs.epsilon, attrs.relu);
  });
  return results;
}

function batchNormGradient({ inputs, attrs, backend }: Call<'TrainingBatchNormGrad'>): tf.TensorInfo[] {
  const { dy, x, gamma, beta, mean, variance } = inputs;
  const results = makeAll(backend, [x, gamma, gamma]);
  const addresses = [dy, x, gamma, beta, mean, variance, ...results].map((t) => addressOf(backend, t));
  withScratch(backend, 7 * upTo4(channelsOf(x)), (scratch) => {
    simdOf(backend).batchNormGradient(...addresses, scratch, rowsOf(x), channelsOf(x), attrs.epsilon, attrs.relu);
  });
  return results;
}

function layerNorm({ inputs, attrs, backend }: Call<'FusedLayerNorm'>): tf.TensorInfo[] {
  const { x, gamma, beta } = inputs;
  const rows = rowsOf(x);
  const results = [make(backend, x.shape), make(backend, [rows]), make(backend, [rows])];
  const addresses = [x, gamma, beta, ...results].map((t) => addressOf(backend, t));
  simdOf(backend).layerNorm(...addresses, rows, channelsOf(x), attrs.epsilon);
  return results;
}

function layerNormGradient({ inputs, backend }: Call<'FusedLayerNormGrad'>): tf.TensorInfo[] {
  const { dy, x, gamma, mean, rstd } = inputs;
  const results = makeAll(backend, [x, gamma, gamma]);
  const addresses = [dy, x, gamma, mean, rstd, ...results].map((t) => addressOf(backend, t));
  simdOf(backend).layerNormGradient(...addresses, rowsOf(x), channelsOf(x));
  return results;
}

function attention({ inputs, attrs, backend }: Call<'FusedAttention'>): tf.TensorInfo[] {
  const { q, k, v, mask } = inputs;
  const { batch, heads } = attrs;
  const [n, m, channels] = [rowsOf(q) / batch, rowsOf(k) / batch, channelsOf(q)];
  const results = [make(backend, q.shape), make(backend, [batch * n, heads])];
  const addresses = [q, k, v, mask, ...results].map((t) => addressOf(backend, t));
  const simd = simdOf(backend);
  withScratch(backend, simd.attentionScratch(n, m, channels / heads), (scratch) => {
    simd.attention(...addresses, scratch, batch, n, m, channels, heads);
  });
  return results;
}

function attentionGradient({ inputs, attrs, backend }: Call<'FusedAttentionGrad'>): tf.TensorInfo[] {
  const { dy, q, k, v, mask, y, logSum } = inputs;
  const { batch, heads } = attrs;
  const [n, m, channels] = [rowsOf(q) / batch, rowsOf(k) / batch, channelsOf(q)];
  const results = makeAll(backend, [q, k, v]);
  const addresses = [dy, q, k, v, mask, y, logSum, ...results].map((t) => addressOf(backend, t));
  const simd = simdOf(backend);
  withScratch(backend, simd.attentionGradientScratch(n, m, channels / heads), (scratch) => {
    simd.attentionGradient(...addresses, scratch, batch, n, m, channels, heads);
  });
  return results;
}

/** The numbers of the activations in `simd/elementwise.as`. */
const activationNumbers: Record<Exclude<Activation, 'none'>, number> = { silu: 1, gelu: 2, quick_gelu: 3 };

function linear({ inputs, attrs, backend }: Call<'FusedLinear'>): tf.TensorInfo[] {
  const { x, weight, bias, residual } = inputs;
  const [k, n] = weight.shape.slice(-2) as [number, number];
  const shape = [...x.shape.slice(0, -1), n];
  const sizes = { m: rowsOf(x), k, n };
  const y = make(backend, shape);
  if (attrs.activation === 'none') {
    product(backend, x, weight, y, sizes, false, { bias, residual });
    return [y];
  }
  const argument = make(backend, shape);
  product(backend, x, weight, argument, sizes, false, { bias });
  const addresses = [argument, residual, y].map((t) => addressOf(backend, t));
  simdOf(backend).activate(...addresses, sizeOf(shape), activationNumbers[attrs.activation]);
  return [y, argument];
}

function linearGradient({ inputs, attrs, backend }: Call<'FusedLinearGrad'>): tf.TensorInfo[] {
  const { dy, x, weight, argument } = inputs;
  const [k, n] = weight.shape.slice(-2) as [number, number];
  const m = rowsOf(x);
  const { activation, bias } = attrs;
  let dargument: tf.TensorInfo = dy;
  if (activation !== 'none') {
    dargument = make(backend, dy.shape);
    const addresses = [dy, argument, dargument].map((t) => addressOf(backend, t));
    simdOf(backend).activateGradient(...addresses, m * n, activationNumbers[activation]);
  }
  const [dx, dweight] = makeAll(backend, [x, weight]) as [tf.TensorInfo, tf.TensorInfo];
  product(backend, dargument, weight, dx, { m, k: n, n: k }, true);
  transposedProduct(backend, x, dargument, dweight, { m: k, k: m, n });
  const results = [dx, dweight];
  if (bias) {
    const dbias = make(backend, [n]);
    columnSums(backend, dargument, dbias, m, n);
    results.push(dbias);
  }
  if (dargument !== dy) backend.disposeData(dargument.dataId);
  return results;
}

function gatedGelu({ inputs: { x }, backend }: Call<'GatedGelu'>): tf.TensorInfo[] {
  const inner = channelsOf(x) / 2;
  const y = make(backend, [...x.shape.slice(0, -1), inner]);
  simdOf(backend).gatedGelu(addressOf(backend, x), addressOf(backend, y), rowsOf(x), inner);
  return [y];
}

function gatedGeluGradient({ inputs: { dy, x }, backend }: Call<'GatedGeluGrad'>): tf.TensorInfo[] {
  const dx = make(backend, x.shape);
  const addresses = [dy, x, dx].map((t) => addressOf(backend, t));
  simdOf(backend).gatedGeluGradient(...addresses, rowsOf(x), channelsOf(x) / 2);
  return [dx];
}

const convolutionInfo = (x: tf.TensorInfo, filter: tf.TensorInfo, attrs: Call<'FusedConvolution'>['attrs']) =>
  convInfo(x.shape, filter.shape, { ...attrs, dataFormat: 'NHWC' });

function convolution({ inputs, attrs, backend }: Call<'FusedConvolution'>): tf.TensorInfo[] {
  const { x, filter, bias, residual } = inputs;
  const info = convolutionInfo(x, filter, attrs);
  const y = make(backend, info.outShape);
  convolve(backend, x, filter, y, info, { bias, residual });
  return [y];
}

function convolutionGradient({ inputs, attrs, backend }: Call<'FusedConvolutionGrad'>): tf.TensorInfo[] {
  const { dy, x, filter } = inputs;
  const info = convolutionInfo(x, filter, attrs);
  const [dx, dfilter] = makeAll(backend, [x, filter]) as [tf.TensorInfo, tf.TensorInfo];
  const dbias = make(backend, [info.outChannels]);
  convolutionInputGradient(backend, dy, filter, dx, info);
  convolutionFilterGradient(backend, x, dy, dfilter, info);
  columnSums(backend, dy, dbias, rowsOf(dy), info.outChannels);
  return [dx, dfilter, dbias];
}

function upsample({ inputs: { x }, backend }: Call<'UpsampleNearest2x'>): tf.TensorInfo[] {
  const [batch, height, width, channels] = x.shape as [number, number, number, number];
  const y = make(backend, [batch, 2 * height, 2 * width, channels]);
  simdOf(backend).upsample(addressOf(backend, x), addressOf(backend, y), batch * height, width, channels);
  return [y];
}

function upsampleGradient({ inputs: { dy }, backend }: Call<'UpsampleNearest2xGrad'>): tf.TensorInfo[] {
  const [batch, height, width, channels] = dy.shape as [number, number, number, number];
  const dx = make(backend, [batch, height / 2, width / 2, channels]);
  const addresses = [dy, dx].map((t) => addressOf(backend, t));
  simdOf(backend).upsampleGradient(...addresses, (batch * height) / 2, width / 2, channels);
  return [dx];
}

function stepMean({ inputs: { x, out, numbers }, attrs, backend }: Call<'FusedStepMean'>): tf.TensorInfo[] {
  const y = make(backend, x.shape);
  const [batch, size] = [x.shape[0]!, sizeOf(x.shape.slice(1))];
  const addresses = [x, out, numbers, y].map((t) => addressOf(backend, t));
  simdOf(backend).stepMean(...addresses, batch, size, attrs.range);
  return [y];
}

function stepMeanGradient({ inputs, attrs, backend }: Call<'FusedStepMeanGrad'>): tf.TensorInfo[] {
  const { dy, x, out, numbers } = inputs;
  const results = makeAll(backend, [x, out]);
  const [batch, size] = [x.shape[0]!, sizeOf(x.shape.slice(1))];
  const addresses = [dy, x, out, numbers, ...results].map((t) => addressOf(backend, t));
  simdOf(backend).stepMeanGradient(...addresses, batch, size, attrs.range);
  return results;
}

function scaledDistance({ inputs, backend }: Call<'FusedScaledDistance'>): tf.TensorInfo[] {
  const { value, mean, numbers } = inputs;
  const [batch, size] = [mean.shape[0]!, sizeOf(mean.shape.slice(1))];
  const y = make(backend, [batch]);
  const addresses = [value, mean, numbers, y].map((t) => addressOf(backend, t));
  simdOf(backend).scaledDistance(...addresses, batch, size);
  return [y];
}

function scaledDistanceGradient({ inputs, backend }: Call<'FusedScaledDistanceGrad'>): tf.TensorInfo[] {
  const { dy, value, mean, numbers } = inputs;
  const [batch, size] = [mean.shape[0]!, sizeOf(mean.shape.slice(1))];
  const dmean = make(backend, mean.shape);
  const addresses = [dy, value, mean, numbers, dmean].map((t) => addressOf(backend, t));
  simdOf(backend).scaledDistanceGradient(...addresses, batch, size);
  return [dmean];
}

function flatten({ inputs: { tensors }, backend }: Call<'Flatten'>): tf.TensorInfo[] {
  const flat = make(backend, [tensors.reduce((total, { size }) => total + size, 0)]);
  let to = addressOf(backend, flat);
  for (const t of tensors) {
    simdOf(backend).copyRows(addressOf(backend, t), 0, to, 0, 1, t.size);
    to += 4 * t.size;
  }
  return [flat];
}

function adamW({ inputs, attrs, backend }: Call<'FusedAdamW'>): tf.TensorInfo[] {
  const { gradient, m, v, weights } = inputs;
  const { learningRate, beta1, beta2, epsilon, weightDecay, step, gradientScale } = attrs;
  const numbers = [
    beta1,
    beta2,
    1 - beta1,
    1 - beta2,
    gradientScale,
    1 - learningRate * weightDecay,
    learningRate / (1 - beta1 ** step),
    Math.sqrt(1 - beta2 ** step),
    epsilon,
  ];
  const [nextM, nextV, ...next] = makeAll(backend, [m, v, ...weights]) as [tf.TensorInfo, tf.TensorInfo];
  let offset = 0;
  for (const [i, weight] of weights.entries()) {
    const at = (t: tf.TensorInfo) => addressOf(backend, t) + 4 * offset;
    const [from, to] = [addressOf(backend, weight), addressOf(backend, next[i])];
    simdOf(backend).adamW(at(gradient), at(m), at(v), from, at(nextM), at(nextV), to, weight.size, ...numbers);
    offset += weight.size;
  }
  return [nextM, nextV, ...next];
}
