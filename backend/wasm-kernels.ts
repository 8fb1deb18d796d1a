/**
 * Kernels that training needs and the WebAssembly backend lacks (`Conv2DBackpropFilter`, `UnsortedSegmentSum`) or
 * computes slowly (all others). They are composed of kernels that the backend computes fast, such as XNNPACK's
 * convolution and elementwise arithmetic, or call the functions of `simd/kernels.as`. The times in the comments were
 * measured on one core for 64 x 16 x 16 x 32 values.
 */
import * as tf from '@tensorflow/tfjs';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { type ConvAttributes, convInfo, type KernelCall, registerKernel } from './kernels.js';
import { simdOf } from './simd/index.js';

type Call<Inputs, Attributes> = KernelCall<Inputs, Attributes, BackendWasm>;

const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

let registered = false;

/** Registers the kernels of this file. Calls after the first one have no effect. */
export function registerWasmKernels(): void {
  if (registered) return;
  registered = true;
  registerKernel('wasm', 'Conv2D', convolution);
  registerKernel('wasm', 'FusedConv2D', convolution);
  registerKernel('wasm', 'Conv2DBackpropInput', convBackpropInput);
  registerKernel('wasm', 'Conv2DBackpropFilter', convBackpropFilter);
  registerKernel('wasm', 'BatchMatMul', batchMatMul);
  registerKernel('wasm', 'UnsortedSegmentSum', unsortedSegmentSum);
  registerKernel('wasm', 'Sum', sum);
  registerKernel('wasm', 'Tile', tile);
  registerKernel('wasm', 'Slice', slice);
  registerKernel('wasm', 'SplitV', splitV);
  registerKernel('wasm', 'ResizeNearestNeighborGrad', resizeNearestNeighborGrad);
}

function requireNHWC(kernel: string, attrs: ConvAttributes): void {
  if (attrs.dataFormat !== 'NHWC') throw new Error(`${kernel} on wasm: the data format must be NHWC.`);
}

/**
 * Gives explicit paddings for 'same' where a stride is larger than the filter: XNNPACK would compute a negative padding
 * there, and with it wrong values.
 */
function convolution({
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

/**
 * Computes the gradient of a convolution in its input as a convolution of `dy` with the filter, flipped and with its
 * input and output channels exchanged. For a stride s there are s - 1 zeros between the pixels of `dy`. It takes 12 ms,
 * where the backend's own kernel takes 120 ms.
 */
function convBackpropInput({
  inputs,
  attrs,
}: Call<{ dy: tf.Tensor4D; filter: tf.Tensor4D }, ConvAttributes & { inputShape: number[] }>): tf.TensorInfo {
  const { dy, filter } = inputs;
  requireNHWC('Conv2DBackpropInput', attrs);
  const info = convInfo(attrs.inputShape, filter.shape, attrs);
  return tf.tidy(() => {
    const spaced = dilate(dilate(dy, 1, info.strideHeight), 2, info.strideWidth);
    const pads = (axis: 1 | 2, kernel: number, before: number): [number, number] => {
      const first = kernel - 1 - before;
      return [first, attrs.inputShape[axis]! - spaced.shape[axis]! - first + kernel - 1];
    };
    const flipped = filter.reverse([0, 1]).transpose<tf.Tensor4D>([0, 1, 3, 2]);
    return tf.conv2d(spaced, flipped, 1, [
      [0, 0],
      pads(1, info.filterHeight, info.padInfo.top),
      pads(2, info.filterWidth, info.padInfo.left),
      [0, 0],
    ]);
  });
}

/** Puts `stride` - 1 zeros between the entries of an axis. */
function dilate(x: tf.Tensor4D, axis: 1 | 2, stride: number): tf.Tensor4D {
  if (stride === 1) return x;
  const { shape } = x;
  const inner = size(shape.slice(axis + 1));
  const grown = [...shape] as tf.Tensor4D['shape'];
  grown[axis] *= stride;
  const ends = [...grown] as tf.Tensor4D['shape'];
  ends[axis] -= stride - 1;
  const zeros: [[number, number], [number, number], [number, number]] = [
    [0, 0],
    [0, stride - 1],
    [0, 0],
  ];
  return tf
    .pad(x.reshape([-1, 1, inner]), zeros)
    .reshape<tf.Tensor4D>(grown)
    .slice([0, 0, 0, 0], ends);
}

/** Computes the gradient of a convolution in its filter, for which the backend has no kernel. */
function convBackpropFilter({
  inputs,
  attrs,
  backend,
}: Call<{ x: tf.Tensor4D; dy: tf.Tensor4D }, ConvAttributes & { filterShape: number[] }>): tf.TensorInfo {
  const { x, dy } = inputs;
  requireNHWC('Conv2DBackpropFilter', attrs);
  const info = convInfo(x.shape, attrs.filterShape, attrs);
  const out = backend.makeOutput(info.filterShape, 'float32');
  if (size(out.shape) > 0)
    simdOf(backend).convFilterGradient(
      addressOf(backend, x),
      addressOf(backend, dy),
      addressOf(backend, out),
      info.batchSize,
      info.inHeight,
      info.inWidth,
      info.inChannels,
      info.outHeight,
      info.outWidth,
      info.outChannels,
      info.filterHeight,
      info.filterWidth,
      info.strideHeight,
      info.strideWidth,
      info.padInfo.top,
      info.padInfo.left,
    );
  return out;
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
  // The columns of the right matrix must lie side by side. To transpose it costs little: 0.2 ms for 256 matrices of 64
  // x 8.
  const right = transposeB ? tf.transpose(b, [...b.shape.keys()].slice(0, -2).concat(b.rank - 1, b.rank - 2)) : b;
  const [k, n] = right.shape.slice(-2) as [number, number];
  const m = a.shape.at(transposeA ? -1 : -2)!;
  const outer = tf.broadcast_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const out = backend.makeOutput([...outer, m, n], 'float32');
  if (size(out.shape) > 0)
    simdOf(backend).batchMatMul(
      addressOf(backend, a),
      addressOf(backend, right),
      addressOf(backend, out),
      Math.max(batchA, batchB),
      m,
      k,
      n,
      transposeA,
      batchA === 1 ? 0 : 4 * m * k,
      batchB === 1 ? 0 : 4 * k * n,
    );
  if (right !== b) right.dispose();
  return out;
}

/** The address in the backend's memory, in bytes, at which the values of a tensor begin. */
const addressOf = (backend: BackendWasm, t: tf.TensorInfo): number => backend.typedArrayFromHeap(t).byteOffset;

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
 * Computes a sum over leading axes, such as the gradient of a bias, as a matrix product with ones. It takes 0.1 ms,
 * where the backend's own kernel takes 1.1 ms.
 */
function sum({
  inputs,
  attrs,
  original,
}: Call<{ x: tf.Tensor }, { axis: number | number[]; keepDims: boolean }>): tf.TensorInfo | tf.TensorInfo[] {
  const { x } = inputs;
  const axes = tf.util.parseAxisParam(attrs.axis, x.shape).sort((p, q) => p - q);
  const leading = axes.length > 0 && axes.length < x.rank && axes.every((axis, i) => axis === i);
  if (!leading || x.dtype !== 'float32' || x.size === 0) return original();
  const kept = x.shape.slice(axes.length);
  const rows = x.size / size(kept);
  const shape = attrs.keepDims ? [...axes.map(() => 1), ...kept] : kept;
  return tf.tidy(() => tf.matMul(tf.ones([1, rows]), x.reshape<tf.Tensor2D>([rows, -1])).reshape(shape));
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

/** Up to this many entries a plain loop copies faster than `TypedArray.set`, each call of which costs 30 ns. */
const shortRun = 40;

/** Copies `count` entries of one axis, from `begin` on, into a new tensor. */
function cut(backend: BackendWasm, x: tf.TensorInfo, axis: number, begin: number, count: number): tf.TensorInfo {
  const shape = [...x.shape];
  shape[axis] = count;
  const out = backend.makeOutput(shape, x.dtype);
  const inner = size(x.shape.slice(axis + 1));
  const [from, to] = [backend.typedArrayFromHeap(x), backend.typedArrayFromHeap(out)];
  const [run, step] = [count * inner, x.shape[axis]! * inner];
  for (let source = begin * inner, target = 0; target < to.length; source += step, target += run) {
    if (run <= shortRun) for (let i = 0; i < run; i++) to[target + i] = from[source + i]!;
    else to.set(from.subarray(source, source + run), target);
  }
  return out;
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
