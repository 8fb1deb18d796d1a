// WebAssembly functions in AssemblyScript, which `npm run simd` compiles into kernels.ts. They run on the memory of
// TensorFlow.js's wasm backend, on float32 values that it has allocated there, and keep no state. Addresses and steps
// are in bytes. Each entry of a result is summed in an order that does not depend on where it stands, so that the same
// input always gives the same bits.

/** How many terms of the sums of a product are added before the next rows: so many stay in the nearest cache. */
const CHUNK: i32 = 256;

/** The size in bytes of a number of values. */
// @ts-ignore: decorator
@inline
function bytes(values: i32): usize {
  return <usize>values << 2;
}

/** Adds a b to four rows and eight columns of c. The sums run over `outer` times `k` terms, as in `multiplyAdd`. */
// @ts-ignore: decorator
@inline
function block(
  a: usize, rowA: usize, stepA: usize, outerA: usize,
  b: usize, stepB: usize, outerB: usize,
  c: usize, rowC: usize,
  outer: i32, k: i32,
): void {
  const c1 = c + rowC, c2 = c1 + rowC, c3 = c2 + rowC;
  let c00 = v128.load(c), c01 = v128.load(c, 16);
  let c10 = v128.load(c1), c11 = v128.load(c1, 16);
  let c20 = v128.load(c2), c21 = v128.load(c2, 16);
  let c30 = v128.load(c3), c31 = v128.load(c3, 16);
  for (let o = 0; o < outer; o++) {
    let p = b, q = a;
    for (let i = 0; i < k; i++) {
      const b0 = v128.load(p), b1 = v128.load(p, 16);
      const a0 = v128.load32_splat(q);
      c00 = f32x4.add(c00, f32x4.mul(a0, b0));
      c01 = f32x4.add(c01, f32x4.mul(a0, b1));
      const a1 = v128.load32_splat(q + rowA);
      c10 = f32x4.add(c10, f32x4.mul(a1, b0));
      c11 = f32x4.add(c11, f32x4.mul(a1, b1));
      const a2 = v128.load32_splat(q + 2 * rowA);
      c20 = f32x4.add(c20, f32x4.mul(a2, b0));
      c21 = f32x4.add(c21, f32x4.mul(a2, b1));
      const a3 = v128.load32_splat(q + 3 * rowA);
      c30 = f32x4.add(c30, f32x4.mul(a3, b0));
      c31 = f32x4.add(c31, f32x4.mul(a3, b1));
      p += stepB;
      q += stepA;
    }
    a += outerA;
    b += outerB;
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  v128.store(c1, c10);
  v128.store(c1, c11, 16);
  v128.store(c2, c20);
  v128.store(c2, c21, 16);
  v128.store(c3, c30);
  v128.store(c3, c31, 16);
}

/** Adds a b to one row and eight columns of c. */
// @ts-ignore: decorator
@inline
function strip(
  a: usize, stepA: usize, outerA: usize,
  b: usize, stepB: usize, outerB: usize,
  c: usize,
  outer: i32, k: i32,
): void {
  let c0 = v128.load(c), c1 = v128.load(c, 16);
  for (let o = 0; o < outer; o++) {
    let p = b, q = a;
    for (let i = 0; i < k; i++) {
      const x = v128.load32_splat(q);
      c0 = f32x4.add(c0, f32x4.mul(x, v128.load(p)));
      c1 = f32x4.add(c1, f32x4.mul(x, v128.load(p, 16)));
      p += stepB;
      q += stepA;
    }
    a += outerA;
    b += outerB;
  }
  v128.store(c, c0);
  v128.store(c, c1, 16);
}

/** Adds a b to one entry of c. */
// @ts-ignore: decorator
@inline
function entry(
  a: usize, stepA: usize, outerA: usize,
  b: usize, stepB: usize, outerB: usize,
  c: usize,
  outer: i32, k: i32,
): void {
  let sum = load<f32>(c);
  for (let o = 0; o < outer; o++) {
    let p = b, q = a;
    for (let i = 0; i < k; i++) {
      sum += load<f32>(q) * load<f32>(p);
      p += stepB;
      q += stepA;
    }
    a += outerA;
    b += outerB;
  }
  store<f32>(c, sum);
}

/**
 * Adds a b to c [m, n], where the columns of b and of c lie side by side. The sums run over `outer` groups of `k`
 * terms: from one term to the next it is a step (`stepA`, `stepB`), from one group to the next an outer step (`outerA`,
 * `outerB`).
 */
function multiplyAdd(
  a: usize, rowA: usize, stepA: usize, outerA: usize,
  b: usize, stepB: usize, outerB: usize,
  c: usize,
  m: i32, n: i32, outer: i32, k: i32,
): void {
  const rowC = bytes(n);
  const tall = m & ~3;
  let j = 0;
  for (; j + 8 <= n; j += 8) {
    const bj = b + bytes(j), cj = c + bytes(j);
    let i = 0;
    for (; i < tall; i += 4)
      block(a + i * rowA, rowA, stepA, outerA, bj, stepB, outerB, cj + i * rowC, rowC, outer, k);
    for (; i < m; i++) strip(a + i * rowA, stepA, outerA, bj, stepB, outerB, cj + i * rowC, outer, k);
  }
  for (; j < n; j++)
    for (let i = 0; i < m; i++)
      entry(a + i * rowA, stepA, outerA, b + bytes(j), stepB, outerB, c + i * rowC + bytes(j), outer, k);
}

/**
 * Computes c[s] = a[s] b[s] for `batch` pairs of matrices [m, k] and [k, n]; where `transposed`, those of a are stored
 * as [k, m]. From one matrix to the next it is `nextA` and `nextB` bytes, or 0 where all products use the same matrix.
 */
export function batchMatMul(
  a: usize, b: usize, c: usize,
  batch: i32, m: i32, k: i32, n: i32,
  transposed: bool, nextA: usize, nextB: usize,
): void {
  const rowA = transposed ? 4 : bytes(k);
  const stepA = transposed ? bytes(m) : 4;
  const stepB = bytes(n);
  const size = bytes(m) * n;
  memory.fill(c, 0, batch * size);
  for (let s = 0; s < batch; s++) {
    for (let p = 0; p < k; p += CHUNK)
      multiplyAdd(a + p * stepA, rowA, stepA, 0, b + p * stepB, stepB, 0, c, m, n, 1, min(CHUNK, k - p));
    a += nextA;
    b += nextB;
    c += size;
  }
}

/**
 * The first output position at which position `tap` of the filter lies on a pixel of the picture, not on the padding.
 */
// @ts-ignore: decorator
@inline
function first(tap: i32, pad: i32, stride: i32): i32 {
  return max(0, (pad - tap + stride - 1) / stride);
}

/** One more than the last output position at which position `tap` of the filter lies on a pixel of the picture. */
// @ts-ignore: decorator
@inline
function end(tap: i32, pad: i32, stride: i32, inputs: i32, outputs: i32): i32 {
  const last = inputs - 1 + pad - tap;
  return last < 0 ? 0 : min(outputs, last / stride + 1);
}

/**
 * Computes the gradient of a convolution in its filter [filterHeight, filterWidth, inChannels, outChannels], from the
 * pictures x [batch, height, width, inChannels] and the gradient dy [batch, outHeight, outWidth, outChannels] of its
 * output.
 */
export function convFilterGradient(
  x: usize, dy: usize, filter: usize,
  batch: i32, height: i32, width: i32, inChannels: i32,
  outHeight: i32, outWidth: i32, outChannels: i32,
  filterHeight: i32, filterWidth: i32,
  strideHeight: i32, strideWidth: i32, padTop: i32, padLeft: i32,
): void {
  const pixel = bytes(inChannels), row = width * pixel;
  const outPixel = bytes(outChannels), outRow = outWidth * outPixel;
  const matrix = inChannels * outPixel;
  memory.fill(filter, 0, filterHeight * filterWidth * matrix);
  for (let s = 0; s < batch; s++) {
    let to = filter;
    for (let v = 0; v < filterHeight; v++) {
      const top = first(v, padTop, strideHeight);
      const rows = end(v, padTop, strideHeight, height, outHeight) - top;
      for (let u = 0; u < filterWidth; u++, to += matrix) {
        const left = first(u, padLeft, strideWidth);
        const columns = end(u, padLeft, strideWidth, width, outWidth) - left;
        if (rows <= 0 || columns <= 0) continue;
        const from = x + (top * strideHeight + v - padTop) * row + (left * strideWidth + u - padLeft) * pixel;
        multiplyAdd(
          from, 4, strideWidth * pixel, strideHeight * row,
          dy + top * outRow + left * outPixel, outPixel, outRow,
          to, inChannels, outChannels, rows, columns,
        );
      }
    }
    x += height * row;
    dy += outHeight * outRow;
  }
}
