/** Matrix products and convolutions on the wasm backend, and the gradients of convolutions, by the functions of `simd/`. */
import type * as tf from '@tensorflow/tfjs';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { addressOf, simdOf, withScratch } from './simd/index.js';

type ConvInfo = tf.backend_util.Conv2DInfo;

/** What is added to a product: one value for each column, and a tensor of the product's own shape. */
export interface Added {
  readonly bias?: tf.TensorInfo;
  readonly residual?: tf.TensorInfo;
}

/** The sizes of products of matrices [m, k] and [k, n]. None is 0. */
export interface ProductSizes {
  readonly m: number;
  readonly k: number;
  readonly n: number;
  /** The number of products, by default 1. */
  readonly batch?: number;
  /** How many values lie from one left matrix to the next; 0, the default, where all products have the same one. */
  readonly nextA?: number;
  /** The same of the right matrices. */
  readonly nextB?: number;
}

const upTo8 = (n: number): number => Math.ceil(n / 8) * 8;

/**
 * Computes c [batch, m, n] = a b.
 * @param transposeB whether the right matrix is stored as [n, k]
 */
export function product(
  backend: BackendWasm,
  a: tf.TensorInfo,
  b: tf.TensorInfo,
  c: tf.TensorInfo,
  { m, k, n, batch = 1, nextA = 0, nextB = 0 }: ProductSizes,
  transposeB = false,
  { bias, residual }: Added = {},
): void {
  const simd = simdOf(backend);
  withScratch(backend, k * upTo8(n), (panels) => {
    const [left, right, result] = [addressOf(backend, a), addressOf(backend, b), addressOf(backend, c)];
    for (let s = 0; s < batch; s++) {
      const matrix = right + 4 * s * nextB;
      if (s === 0 || nextB > 0) {
        if (transposeB) simd.packTransposed(matrix, 4 * k, panels, 1, k, n);
        else simd.pack(matrix, 4 * n, 0, panels, 1, k, n);
      }
      const [from, to] = [left + 4 * s * nextA, result + 4 * s * m * n];
      simd.multiply(from, 4 * k, panels, addressOf(backend, bias), addressOf(backend, residual), to, 4 * n, m, k, n);
    }
  });
}

/** Computes c [batch, m, n] = aᵀ b, where the left matrix is stored as [k, m]. */
export function transposedProduct(
  backend: BackendWasm,
  a: tf.TensorInfo,
  b: tf.TensorInfo,
  c: tf.TensorInfo,
  { m, k, n, batch = 1, nextA = 0, nextB = 0 }: ProductSizes,
): void {
  const simd = simdOf(backend);
  withScratch(backend, simd.transposedScratch(m, n), (scratch) => {
    const [left, right, result] = [addressOf(backend, a), addressOf(backend, b), addressOf(backend, c)];
    for (let s = 0; s < batch; s++)
      simd.multiplyTransposed(left + 4 * s * nextA, right + 4 * s * nextB, result + 4 * s * m * n, scratch, k, m, n);
  });
}

/** Whether the functions below compute this convolution. They leave no gaps between the pixels under a filter. */
export function isPlain(info: ConvInfo): boolean {
  return info.dataFormat === 'channelsLast' && info.dilationHeight === 1 && info.dilationWidth === 1;
}

/** Whether a convolution is a matrix product on each pixel. */
function isPointwise(info: ConvInfo): boolean {
  return (
    info.filterHeight === 1 &&
    info.filterWidth === 1 &&
    info.strideHeight === 1 &&
    info.strideWidth === 1 &&
    info.outHeight === info.inHeight &&
    info.outWidth === info.inWidth
  );
}

const sizeOf = (t: tf.TensorInfo): number => t.shape.reduce((a, b) => a * b, 1);

/** Computes a convolution. */
export function convolve(
  backend: BackendWasm,
  x: tf.TensorInfo,
  filter: tf.TensorInfo,
  y: tf.TensorInfo,
  info: ConvInfo,
  { bias, residual }: Added = {},
): void {
  if (sizeOf(y) === 0) return;
  const { inChannels, outChannels, filterHeight, filterWidth, outHeight, outWidth, strideHeight, strideWidth } = info;
  if (isPointwise(info)) {
    const m = info.batchSize * outHeight * outWidth;
    product(backend, x, filter, y, { m, k: inChannels, n: outChannels }, false, { bias, residual });
    return;
  }
  const simd = simdOf(backend);
  const taps = filterHeight * filterWidth;
  const panelSize = taps * inChannels * upTo8(outChannels);
  const margins = ((outHeight - 1) * strideHeight + filterHeight) * ((outWidth - 1) * strideWidth + filterWidth);
  withScratch(backend, panelSize + margins * inChannels + outHeight * outWidth + 4, (panels) => {
    simd.pack(
      addressOf(backend, filter),
      4 * outChannels,
      4 * outChannels * inChannels,
      panels,
      taps,
      inChannels,
      outChannels,
    );
    simd.convolve(
      addressOf(backend, x),
      panels,
      addressOf(backend, bias),
      addressOf(backend, residual),
      addressOf(backend, y),
      panels + 4 * panelSize,
      info.batchSize,
      info.inHeight,
      info.inWidth,
      inChannels,
      outHeight,
      outWidth,
      outChannels,
      filterHeight,
      filterWidth,
      strideHeight,
      strideWidth,
      1,
      1,
      info.padInfo.top,
      info.padInfo.left,
    );
  });
}

/**
 * Computes the gradient of a convolution in its input as a convolution of `dy` with the filter, flipped and with its
 * input and output channels exchanged. For a stride s there are s - 1 zeros between the pixels of `dy`.
 */
export function convolutionInputGradient(
  backend: BackendWasm,
  dy: tf.TensorInfo,
  filter: tf.TensorInfo,
  dx: tf.TensorInfo,
  info: ConvInfo,
): void {
  if (sizeOf(dx) === 0) return;
  const { inChannels, outChannels, filterHeight, filterWidth, inHeight, inWidth } = info;
  if (isPointwise(info)) {
    product(backend, dy, filter, dx, { m: info.batchSize * inHeight * inWidth, k: outChannels, n: inChannels }, true);
    return;
  }
  const simd = simdOf(backend);
  const taps = filterHeight * filterWidth;
  const panelSize = taps * outChannels * upTo8(inChannels);
  const margins = (inHeight - 1 + filterHeight) * (inWidth - 1 + filterWidth);
  withScratch(backend, panelSize + margins * outChannels + inHeight * inWidth + 4, (panels) => {
    simd.packTransposed(addressOf(backend, filter), 4 * outChannels, panels, taps, outChannels, inChannels);
    simd.convolve(
      addressOf(backend, dy),
      panels,
      0,
      0,
      addressOf(backend, dx),
      panels + 4 * panelSize,
      info.batchSize,
      info.outHeight,
      info.outWidth,
      outChannels,
      inHeight,
      inWidth,
      inChannels,
      filterHeight,
      filterWidth,
      1,
      1,
      info.strideHeight,
      info.strideWidth,
      filterHeight - 1 - info.padInfo.top,
      filterWidth - 1 - info.padInfo.left,
    );
  });
}

/** Computes the gradient of a convolution in its filter. */
export function convolutionFilterGradient(
  backend: BackendWasm,
  x: tf.TensorInfo,
  dy: tf.TensorInfo,
  dfilter: tf.TensorInfo,
  info: ConvInfo,
): void {
  if (sizeOf(dfilter) === 0) return;
  if (sizeOf(dy) === 0) {
    backend.typedArrayFromHeap(dfilter).fill(0);
    return;
  }
  const { inChannels, outChannels, filterHeight, filterWidth, outHeight, outWidth, strideHeight, strideWidth } = info;
  if (isPointwise(info)) {
    const k = info.batchSize * outHeight * outWidth;
    transposedProduct(backend, x, dy, dfilter, { m: inChannels, k, n: outChannels });
    return;
  }
  const simd = simdOf(backend);
  const values = simd.filterGradientScratch(
    inChannels,
    outHeight,
    outWidth,
    outChannels,
    filterHeight,
    filterWidth,
    strideHeight,
    strideWidth,
  );
  withScratch(backend, values, (scratch) => {
    simd.convFilterGradient(
      addressOf(backend, x),
      addressOf(backend, dy),
      addressOf(backend, dfilter),
      scratch,
      info.batchSize,
      info.inHeight,
      info.inWidth,
      inChannels,
      outHeight,
      outWidth,
      outChannels,
      filterHeight,
      filterWidth,
      strideHeight,
      strideWidth,
      info.padInfo.top,
      info.padInfo.left,
    );
  });
}

/** Sums rows [rows, columns] to [columns], such as the gradient of a bias. */
export function columnSums(
  backend: BackendWasm,
  x: tf.TensorInfo,
  sums: tf.TensorInfo,
  rows: number,
  columns: number,
): void {
  simdOf(backend).columnSums(addressOf(backend, x), addressOf(backend, sums), rows, columns);
}
