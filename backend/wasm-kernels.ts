/**
 * Kernels that training needs and the WebAssembly backend lacks (`Conv2DBackpropFilter`, `UnsortedSegmentSum`) or
 * computes slowly (all others). They are composed of kernels that the backend computes fast, such as XNNPACK's
 * convolution and elementwise arithmetic, or call the functions of `simd/kernels.as`. The times in the comments were
 * measured on one core for 64 x 16 x 16 x 32 values.
 */
import * as tf from '@tensorflow/tfjs';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { type ConvAttributes, convInfo, type KernelCall, registerKernel } from './kernels.js';
import { addressOf, simdOf } from './simd/index.js';
import {
  columnSums,
  convolutionFilterGradient,
  convolutionInputGradient,
  convolve,
  isPlain,
  product,
  transposedProduct,
} from './wasm-products.js';

type Call<Inputs, Attributes> = KernelCall<Inputs, Attributes, BackendWasm>;

const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

let registered = false;

/** Registers the kernels of this file. Calls after the first one have no effect. */
export function registerWasmKernels(): void {
  if (registered) return;
  registered = true;
  registerKernel('wasm', 'Conv2D', convolution);
  registerKernel('wasm', 'FusedConv2D', fusedConvolution);
  registerKernel('wasm', 'Conv2DBackpropInput', convBackpropInput);
  registerKernel('wasm', 'Conv2DBackpropFilter', convBackpropFilter);
  registerKernel('wasm', 'BatchMatMul', batchMatMul);
  registerKernel('wasm', 'UnsortedSegmentSum', unsortedSegmentSum);
  registerKernel('wasm', 'Sum', sum);
  registerKernel('wasm', 'Tile', tile);
  registerKernel('wasm', 'Slice', slice);
  registerKernel('wasm', 'SplitV', splitV);
  registerKernel('wasm', 'Concat', concat);
  registerKernel('wasm', 'Identity', identity);
  registerKernel('wasm', 'ResizeNearestNeighborGrad', resizeNearestNeighborGrad);
}

function requirePlain(kernel: string, info: tf.backend_util.Conv2DInfo): void {
  if (!isPlain(info)) throw new Error(`${kernel} on wasm: the data format must be NHWC, and dilations must be 1.`);
}

/** Computes a convolution. Paddings other than those that the wasm functions know go to the backend's own kernel. */
function convolution({
  inputs,
  attrs,
  backend,
  original,
}: Call<{ x: tf.Tensor4D; filter: tf.Tensor4D }, ConvAttributes>): tf.TensorInfo | tf.TensorInfo[] {
  const { x, filter } = inputs;
  const info = convInfo(x.shape, filter.shape, attrs);
  if (!isPlain(info)) return original();
  const y = backend.makeOutput(info.outShape, 'float32');
  convolve(backend, x, filter, y, info);
  return y;
}

/**
 * Gives explicit paddings for 'same' where a stride is larger than the filter: XNNPACK would compute a negative padding
 * there, and with it wrong values.
 */
function fusedConvolution({
  inputs,
  attrs,
  original,
}: Call<{ x: tf.Tensor4D; filter: tf.Tensor4D }, ConvAttributes>): tf.TensorInfo | tf.TensorInfo[] {
  const { x, filter } = inputs;
  if (attrs.pad !== 'same' || attrs.dataFormat !== 'NHWC') return original();
  const info = convInfo(x.shape, filter.shape, attrs);
  if (info.strideHeight <= info.filterHeight && info.strideWidth <= info.filterWidth) return original();
  const { top, bottom, left, right } = info.padInfo;
  const pad: ConvAttributes['pad'] = [
    [0, 0],
    [top, bottom],
    [left, right],
    [0, 0],
  ];
  return original({ attrs: { pad } });
}

function convBackpropInput({
  inputs,
  attrs,
  backend,
}: Call<{ dy: tf.Tensor4D; filter: tf.Tensor4D }, ConvAttributes & { inputShape: number[] }>): tf.TensorInfo {
  const { dy, filter } = inputs;
  const info = convInfo(attrs.inputShape, filter.shape, attrs);
  requirePlain('Conv2DBackpropInput', info);
  const dx = backend.makeOutput(attrs.inputShape, 'float32');
  convolutionInputGradient(backend, dy, filter, dx, info);
  return dx;
}

/** Computes the gradient of a convolution in its filter, for which the backend has no kernel. */
function convBackpropFilter({
  inputs,
  attrs,
  backend,
}: Call<{ x: tf.Tensor4D; dy: tf.Tensor4D }, ConvAttributes & { filterShape: number[] }>): tf.TensorInfo {
  const { x, dy } = inputs;
  const info = convInfo(x.shape, attrs.filterShape, attrs);
  requirePlain('Conv2DBackpropFilter', info);
  const dfilter = backend.makeOutput(info.filterShape, 'float32');
  convolutionFilterGradient(backend, x, dy, dfilter, info);
  return dfilter;
}

/** Multiplies matrices, or batches of matrices. */
function batchMatMul({
  inputs,
  attrs,
  backend,
  original,
}: Call<{ a: tf.Tensor; b: tf.Tensor }, { transposeA: boolean; transposeB: boolean }>):
  | tf.TensorInfo
  | tf.TensorInfo[] {
  const { a, b } = inputs;
  const { transposeA, transposeB } = attrs;
  const batchA = size(a.shape.slice(0, -2));
  const batchB = size(b.shape.slice(0, -2));
  // The backend's own kernel computes batches that broadcast against each other in some of their axes only.
  if (batchA !== batchB && batchA !== 1 && batchB !== 1) return original();
  const [m, k] = (transposeA ? [a.shape.at(-1), a.shape.at(-2)] : a.shape.slice(-2)) as [number, number];
  const n = b.shape.at(transposeB ? -2 : -1)!;
  const outer = tf.broadcast_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const c = backend.makeOutput([...outer, m, n], 'float32');
  if (size(c.shape) === 0) return c;
  const batch = Math.max(batchA, batchB);
  const sizes = { m, k, n, batch, nextA: batchA === 1 ? 0 : m * k, nextB: batchB === 1 ? 0 : k * n };
  if (!transposeA) product(backend, a, b, c, sizes, transposeB);
  else {
    const right = transposeB ? tf.transpose(b, [...b.shape.keys()].slice(0, -2).concat(b.rank - 1, b.rank - 2)) : b;
    transposedProduct(backend, a, right, c, sizes);
    if (right !== b) right.dispose();
  }
  return c;
}

/**
 * Sums the rows of each segment, and drops rows whose segment is out of range. The gradient of `tf.gather` needs it.
 */
function unsortedSegmentSum({
  inputs,
  attrs,
  backend,
}: Call<{ x: tf.Tensor; segmentIds: tf.Tensor1D }, { numSegments: number }>): tf.TensorInfo {
  const { x, segmentIds } = inputs;
  const { numSegments } = attrs;
  const rowShape = x.shape.slice(segmentIds.rank);
  const inner = size(rowShape);
  const out = backend.makeOutput([numSegments, ...rowShape], x.dtype);
  const from = backend.typedArrayFromHeap(x);
  const ids = backend.typedArrayFromHeap(segmentIds);
  const to = backend.typedArrayFromHeap(out).fill(0);
  for (let row = 0; row < ids.length; row++) {
    const id = ids[row]!;
    if (id < 0 || id >= numSegments) continue;
    for (let i = 0; i < inner; i++) to[id * inner + i]! += from[row * inner + i]!;
  }
  return out;
}

/**
 * Computes a sum over leading axes, such as the gradient of a bias. It takes 0.1 ms, where the backend's own kernel
 * takes 1.1 ms.
 */
function sum({
  inputs,
  attrs,
  backend,
  original,
}: Call<{ x: tf.Tensor }, { axis: number | number[]; keepDims: boolean }>): tf.TensorInfo | tf.TensorInfo[] {
  const { x } = inputs;
  const axes = tf.util.parseAxisParam(attrs.axis, x.shape).sort((p, q) => p - q);
  const leading = axes.length > 0 && axes.length < x.rank && axes.every((axis, i) => axis === i);
  if (!leading || x.dtype !== 'float32' || x.size === 0) return original();
  const kept = x.shape.slice(axes.length);
  const columns = size(kept);
  const sums = backend.makeOutput(attrs.keepDims ? [...axes.map(() => 1), ...kept] : kept, 'float32');
  columnSums(backend, x, sums, x.size / columns, columns);
  return sums;
}

/**
 * Repeats a tensor by a broadcast product with ones. It takes 0.3 ms, where the backend's own kernel, which copies
 * entry by entry, takes 33 ms.
 */
function tile({
  inputs,
  attrs,
  original,
}: Call<{ x: tf.Tensor }, { reps: number[] }>): tf.TensorInfo | tf.TensorInfo[] {
  const { x } = inputs;
  if (x.dtype !== 'float32' || x.size === 0 || attrs.reps.every((count) => count === 1)) return original();
  return tf.tidy(() => {
    const shape = [...x.shape];
    let y: tf.Tensor = x;
    for (const [axis, count] of attrs.reps.entries()) {
      if (count === 1) continue;
      const outer = size(shape.slice(0, axis));
      y = y.reshape([outer, 1, y.size / outer]).mul(tf.ones([1, count, 1]));
      shape[axis]! *= count;
    }
    return y.reshape(shape);
  });
}

/** Copies `count` entries of one axis, from `begin` on, into a new tensor. */
function cut(backend: BackendWasm, x: tf.TensorInfo, axis: number, begin: number, count: number): tf.TensorInfo {
  const shape = [...x.shape];
  shape[axis] = count;
  const out = backend.makeOutput(shape, x.dtype);
  const inner = size(x.shape.slice(axis + 1));
  const outer = size(x.shape.slice(0, axis));
  const [run, step] = [count * inner, x.shape[axis]! * inner];
  if (x.dtype !== 'bool') {
    const from = addressOf(backend, x) + 4 * begin * inner;
    simdOf(backend).copyRows(from, 4 * step, addressOf(backend, out), 4 * run, outer, run);
    return out;
  }
  const [from, to] = [backend.typedArrayFromHeap(x), backend.typedArrayFromHeap(out)];
  for (let row = 0; row < outer; row++) {
    const source = row * step + begin * inner;
    to.set(from.subarray(source, source + run), row * run);
  }
  return out;
}

/** Joins tensors along an axis. It takes 0.2 ms, where the backend's own kernel takes 1 ms. */
function concat({
  inputs,
  attrs,
  backend,
  original,
}: Call<tf.Tensor[], { axis: number }>): tf.TensorInfo | tf.TensorInfo[] {
  const parts = Object.values(inputs).filter((t) => t.size > 0);
  const [first] = parts;
  if (!first || parts.some((t) => t.dtype !== 'float32')) return original();
  const axis = tf.util.parseAxisParam(attrs.axis, first.shape)[0]!;
  tf.backend_util.assertParamsConsistent(
    parts.map((t) => t.shape),
    axis,
  );
  const shape = tf.backend_util.computeOutShape(
    parts.map((t) => t.shape),
    axis,
  );
  const out = backend.makeOutput(shape, 'float32');
  const outer = size(shape.slice(0, axis));
  const row = size(shape.slice(axis));
  let to = addressOf(backend, out);
  for (const part of parts) {
    const run = part.size / outer;
    simdOf(backend).copyRows(addressOf(backend, part), 4 * run, to, 4 * row, outer, run);
    to += 4 * run;
  }
  return out;
}

/** Gives another tensor the same values. Tensors do not change, so that these need no copy. */
function identity({ inputs, backend }: Call<{ x: tf.Tensor }, object>): tf.TensorInfo {
  const { dataId, shape, dtype } = inputs.x;
  backend.incRef(dataId);
  return { dataId, shape, dtype };
}

function slice({
  inputs,
  attrs,
  backend,
  original,
}: Call<{ x: tf.Tensor }, { begin: number | number[]; size: number | number[] }>): tf.TensorInfo | tf.TensorInfo[] {
  const { x } = inputs;
  const [begin, sizes] = tf.slice_util.parseSliceParams(x, attrs.begin, attrs.size) as [number[], number[]];
  const cutAxes = sizes.flatMap((count, axis) => (count === x.shape[axis] ? [] : [axis]));
  const [axis] = cutAxes;
  if (axis === undefined || cutAxes.length > 1 || x.dtype === 'string') return original();
  tf.slice_util.assertParamsValid(x, begin, sizes);
  return cut(backend, x, axis, begin[axis]!, sizes[axis]!);
}

function splitV({
  inputs,
  attrs,
  backend,
}: Call<{ x: tf.Tensor }, { numOrSizeSplits: number | number[]; axis: number }>): tf.TensorInfo[] {
  const { x } = inputs;
  const axis = tf.util.parseAxisParam(attrs.axis, x.shape)[0]!;
  let begin = 0;
  return tf.backend_util.prepareSplitSize(x, attrs.numOrSizeSplits, axis).map((count) => {
    const part = cut(backend, x, axis, begin, count);
    begin += count;
    return part;
  });
}

/**
 * Computes the gradient of an enlargement by whole factors, which is the sum of each block of pixels, as an average
 * pooling times the size of a block. It takes 1.4 ms, where the backend's own kernel takes 16 ms.
 */
function resizeNearestNeighborGrad({
  inputs,
  attrs,
  original,
}: Call<{ images: tf.Tensor4D; dy: tf.Tensor4D }, { alignCorners: boolean }>): tf.TensorInfo | tf.TensorInfo[] {
  const { images, dy } = inputs;
  const factors = [1, 2].map((axis) => dy.shape[axis]! / images.shape[axis]!) as [number, number];
  if (attrs.alignCorners || !factors.every(Number.isInteger)) return original();
  return tf.tidy(() => tf.avgPool(dy, factors, factors, 'valid').mul(factors[0] * factors[1]));
}
