// Matrix products and convolutions. The right side is packed beforehand into panels of eight columns, whose values lie in
// the order in which they are needed, and zeros stand for columns that are not there.
import { bytes, loadPart, madd, splat, storePart, upTo4, upTo8 } from './vector';

/**
 * Computes four rows and eight columns of a product. The sums run over `groups` times `k` terms: `k` values that lie
 * side by side in each row, then a step of `skip` bytes to the next group.
 * @param b a panel
 * @param bias 0 or the address of what each column starts from
 * @param residual 0 or how many bytes lie from an entry of the result to what it starts from
 * @param columns how many columns there are, at most 8
 */
function tile(
  a0: usize, a1: usize, a2: usize, a3: usize, skip: usize,
  b: usize, groups: i32, k: i32,
  c0: usize, c1: usize, c2: usize, c3: usize,
  bias: usize, residual: usize, columns: i32,
): void {
  let x0 = bias ? loadPart(bias, columns) : splat(0), y0 = bias ? loadPart(bias + 16, columns - 4) : splat(0);
  let x1 = x0, y1 = y0, x2 = x0, y2 = y0, x3 = x0, y3 = y0;
  if (residual) {
    x0 = f32x4.add(x0, loadPart(c0 + residual, columns));
    y0 = f32x4.add(y0, loadPart(c0 + residual + 16, columns - 4));
    x1 = f32x4.add(x1, loadPart(c1 + residual, columns));
    y1 = f32x4.add(y1, loadPart(c1 + residual + 16, columns - 4));
    x2 = f32x4.add(x2, loadPart(c2 + residual, columns));
    y2 = f32x4.add(y2, loadPart(c2 + residual + 16, columns - 4));
    x3 = f32x4.add(x3, loadPart(c3 + residual, columns));
    y3 = f32x4.add(y3, loadPart(c3 + residual + 16, columns - 4));
  }
  for (let g = 0; g < groups; g++) {
    // The loop is not unrolled: the compiler would load all values first, for which there are not enough registers.
    for (let i = 0; i < k; i++) {
      const l = v128.load(b), r = v128.load(b, 16);
      let s = v128.load32_splat(a0);
      x0 = madd(s, l, x0); y0 = madd(s, r, y0);
      s = v128.load32_splat(a1);
      x1 = madd(s, l, x1); y1 = madd(s, r, y1);
      s = v128.load32_splat(a2);
      x2 = madd(s, l, x2); y2 = madd(s, r, y2);
      s = v128.load32_splat(a3);
      x3 = madd(s, l, x3); y3 = madd(s, r, y3);
      a0 += 4; a1 += 4; a2 += 4; a3 += 4;
      b += 32;
    }
    a0 += skip; a1 += skip; a2 += skip; a3 += skip;
  }
  storePart(c0, x0, columns); storePart(c0 + 16, y0, columns - 4);
  storePart(c1, x1, columns); storePart(c1 + 16, y1, columns - 4);
  storePart(c2, x2, columns); storePart(c2 + 16, y2, columns - 4);
  storePart(c3, x3, columns); storePart(c3 + 16, y3, columns - 4);
}

/**
 * Packs matrices [taps][k, n] into panels [n / 8][taps][k][8].
 * @param row how many bytes lie from a row to the next
 * @param next how many bytes lie from a matrix to the next
 */
export function pack(from: usize, row: usize, next: usize, to: usize, taps: i32, k: i32, n: i32): void {
  for (let j = 0; j < n; j += 8) {
    const columns = n - j;
    let matrix = from + bytes(j);
    for (let t = 0; t < taps; t++, matrix += next) {
      let p = matrix;
      for (let i = 0; i < k; i++, p += row, to += 32) {
        v128.store(to, loadPart(p, columns));
        v128.store(to, loadPart(p + 16, columns - 4), 16);
      }
    }
  }
}

/**
 * Packs the transposes of matrices [taps][n, k], the last matrix first, into panels [n / 8][taps][k][8]. So packed, a
 * filter takes the gradient of a convolution's output to that of its input.
 * @param row how many bytes lie from a row to the next
 */
export function packTransposed(from: usize, row: usize, to: usize, taps: i32, k: i32, n: i32): void {
  for (let j = 0; j < n; j += 8) {
    const columns = min(8, n - j);
    for (let t = taps - 1; t >= 0; t--, to += bytes(8 * k)) {
      let p = from + t * n * row + j * row;
      for (let q = 0; q < 8; q++, p += row) {
        let at = to + bytes(q);
        if (q < columns) for (let i = 0; i < k; i++, at += 32) store<f32>(at, load<f32>(p + bytes(i)));
        else for (let i = 0; i < k; i++, at += 32) store<f32>(at, 0);
      }
    }
  }
}

/** Computes c [m, n] = a [m, k] · b from the panels of b, and adds a bias and a residual where their addresses are not 0. */
export function multiply(
  a: usize, rowA: usize, panels: usize, bias: usize, residual: usize, c: usize, rowC: usize,
  m: i32, k: i32, n: i32,
): void {
  const delta = residual ? residual - c : 0;
  // Of a tall matrix so many rows are multiplied by all panels before the next, that they stay in the nearest cache.
  const rows = max(4, (4096 / max(1, k)) & ~3);
  for (let top = 0; top < m; top += rows) {
    const bottom = min(m, top + rows);
    let panel = panels;
    for (let j = 0; j < n; j += 8, panel += bytes(8 * k)) {
      for (let i = top; i < bottom; i += 4) {
        // Where fewer than four rows are left, the last one is computed several times.
        const i1 = min(i + 1, m - 1), i2 = min(i + 2, m - 1), i3 = min(i + 3, m - 1);
        const cj = c + bytes(j);
        tile(
          a + i * rowA, a + i1 * rowA, a + i2 * rowA, a + i3 * rowA, 0, panel, 1, k,
          cj + i * rowC, cj + i1 * rowC, cj + i2 * rowC, cj + i3 * rowC,
          bias ? bias + bytes(j) : 0, delta, n - j,
        );
      }
    }
  }
}

/**
 * Computes a convolution from the panels of its filter.
 * @param scratch room for (outHeight - 1) · strideHeight + filterHeight times (outWidth - 1) · strideWidth + filterWidth
 *   pixels of the picture with its margins, and 4 more values than the result has pixels
 * @param spacingHeight how many pixels lie from one of the picture to the next, between which there are zeros; 1 for none
 * @param spacingWidth the same in the other direction
 */
export function convolve(
  x: usize, panels: usize, bias: usize, residual: usize, y: usize, scratch: usize,
  batch: i32, height: i32, width: i32, channels: i32, outHeight: i32, outWidth: i32, outChannels: i32,
  filterHeight: i32, filterWidth: i32, strideHeight: i32, strideWidth: i32, spacingHeight: i32, spacingWidth: i32,
  padTop: i32, padLeft: i32,
): void {
  const pixel = bytes(channels), outPixel = bytes(outChannels);
  const paddedHeight = (outHeight - 1) * strideHeight + filterHeight;
  const paddedWidth = (outWidth - 1) * strideWidth + filterWidth;
  const row = paddedWidth * pixel;
  const k = filterWidth * channels;
  const pixels = outHeight * outWidth;
  const delta = residual ? residual - y : 0;
  const picture = scratch + bytes(pixels + 4);
  for (let i = 0; i < pixels + 4; i++) {
    const p = min(i, pixels - 1);
    store<u32>(scratch + bytes(i), <u32>((p / outWidth) * strideHeight * row + (p % outWidth) * strideWidth * pixel));
  }
  memory.fill(picture, 0, paddedHeight * row);
  for (let s = 0; s < batch; s++) {
    for (let v = 0; v < height; v++) {
      const top = v * spacingHeight + padTop;
      if (top < 0 || top >= paddedHeight) continue;
      copyRow(x + v * width * pixel, picture + top * row, width, pixel, spacingWidth, padLeft, paddedWidth);
    }
    let panel = panels;
    for (let j = 0; j < outChannels; j += 8, panel += bytes(8 * k * filterHeight)) {
      const yj = y + bytes(j);
      for (let i = 0; i < pixels; i += 4) {
        const at = scratch + bytes(i), last = pixels - 1;
        tile(
          picture + load<u32>(at), picture + load<u32>(at, 4), picture + load<u32>(at, 8), picture + load<u32>(at, 12),
          row - bytes(k), panel, filterHeight, k,
          yj + i * outPixel, yj + min(i + 1, last) * outPixel, yj + min(i + 2, last) * outPixel,
          yj + min(i + 3, last) * outPixel,
          bias ? bias + bytes(j) : 0, delta, outChannels - j,
        );
      }
    }
    x += height * width * pixel;
    y += pixels * outPixel;
  }
}

/** Copies a row of pixels, a step of `spacing` apart and from `left` on, as far as they lie in a row of `room` pixels. */
function copyRow(from: usize, to: usize, width: i32, pixel: usize, spacing: i32, left: i32, room: i32): void {
  if (spacing === 1) {
    const begin = max(0, -left), end = min(width, room - left);
    if (end > begin) memory.copy(to + (begin + left) * pixel, from + begin * pixel, (end - begin) * pixel);
    return;
  }
  for (let u = 0; u < width; u++) {
    const at = u * spacing + left;
    if (at >= 0 && at < room) memory.copy(to + at * pixel, from + u * pixel, pixel);
  }
}

/** How many terms of the sums of a gradient are added before the next entries: so many stay in the nearest caches. */
const CHUNK: i32 = 256;

/**
 * Adds to four rows and eight columns of c the products of the values of four channels of pictures and those of eight
 * channels of what they are convolved to, summed over `images` times `rows` times `columns` pixels.
 */
function accumulate(
  a: usize, stepA: usize, skipRow: usize, skipImage: usize, b: usize,
  c: usize, rowC: usize, images: i32, rows: i32, columns: i32,
): void {
  const c1 = c + rowC, c2 = c1 + rowC, c3 = c2 + rowC;
  let x0 = v128.load(c), y0 = v128.load(c, 16);
  let x1 = v128.load(c1), y1 = v128.load(c1, 16);
  let x2 = v128.load(c2), y2 = v128.load(c2, 16);
  let x3 = v128.load(c3), y3 = v128.load(c3, 16);
  for (let g = 0; g < images; g++) {
    for (let v = 0; v < rows; v++) {
      for (let u = 0; u < columns; u++) {
        const l = v128.load(b), r = v128.load(b, 16);
        let s = v128.load32_splat(a);
        x0 = madd(s, l, x0); y0 = madd(s, r, y0);
        s = v128.load32_splat(a, 4);
        x1 = madd(s, l, x1); y1 = madd(s, r, y1);
        s = v128.load32_splat(a, 8);
        x2 = madd(s, l, x2); y2 = madd(s, r, y2);
        s = v128.load32_splat(a, 12);
        x3 = madd(s, l, x3); y3 = madd(s, r, y3);
        a += stepA;
        b += 32;
      }
      a += skipRow;
    }
    a += skipImage;
  }
  v128.store(c, x0); v128.store(c, y0, 16);
  v128.store(c1, x1); v128.store(c1, y1, 16);
  v128.store(c2, x2); v128.store(c2, y2, 16);
  v128.store(c3, x3); v128.store(c3, y3, 16);
}

/** Packs rows [count, channels] into blocks [channels / width][…][width]; `block` bytes lie from a block to the next. */
function packBlocks(from: usize, to: usize, count: i32, channels: i32, width: i32, block: usize): void {
  for (let j = 0; j < channels; j += width, to += block) {
    let p = from + bytes(j), q = to;
    const here = channels - j;
    for (let i = 0; i < count; i++, p += bytes(channels), q += bytes(width)) {
      v128.store(q, loadPart(p, here));
      if (width === 8) v128.store(q, loadPart(p + 16, here - 4), 16);
    }
  }
}

/** How many values of scratch memory `convFilterGradient` needs. */
export function filterGradientScratch(
  channels: i32, outHeight: i32, outWidth: i32, outChannels: i32, filterHeight: i32, filterWidth: i32,
  strideHeight: i32, strideWidth: i32,
): i32 {
  const images = max(1, CHUNK / (outHeight * outWidth));
  const padded = ((outHeight - 1) * strideHeight + filterHeight) * ((outWidth - 1) * strideWidth + filterWidth);
  return images * (padded * upTo4(channels) + outHeight * outWidth * upTo8(outChannels)) +
    filterHeight * filterWidth * upTo4(channels) * upTo8(outChannels);
}

/**
 * Computes the gradient of a convolution in its filter [filterHeight, filterWidth, channels, outChannels], from the
 * pictures x [batch, height, width, channels] and the gradient dy [batch, outHeight, outWidth, outChannels] of its
 * output.
 */
export function convFilterGradient(
  x: usize, dy: usize, filter: usize, scratch: usize,
  batch: i32, height: i32, width: i32, channels: i32, outHeight: i32, outWidth: i32, outChannels: i32,
  filterHeight: i32, filterWidth: i32, strideHeight: i32, strideWidth: i32, padTop: i32, padLeft: i32,
): void {
  const images = max(1, CHUNK / (outHeight * outWidth));
  const paddedHeight = (outHeight - 1) * strideHeight + filterHeight;
  const paddedWidth = (outWidth - 1) * strideWidth + filterWidth;
  const size = paddedHeight * paddedWidth, pixels = outHeight * outWidth;
  const c4 = upTo4(channels), n8 = upTo8(outChannels);
  const packedX = scratch, packedDy = packedX + bytes(images * size * c4);
  const sums = packedDy + bytes(images * pixels * n8);
  const taps = filterHeight * filterWidth;
  memory.fill(sums, 0, bytes(taps * c4 * n8));
  memory.fill(packedX, 0, bytes(images * size * c4));
  for (let s = 0; s < batch; s += images) {
    const count = min(images, batch - s);
    const blockX = bytes(4 * count * size), blockDy = bytes(8 * count * pixels);
    // The last images may be fewer, so that the zeros of their margins lie elsewhere.
    if (count < images) memory.fill(packedX, 0, bytes(count * size * c4));
    const begin = max(0, -padLeft), inside = min(width, paddedWidth - padLeft) - begin;
    for (let g = 0; g < count; g++)
      for (let v = 0; v < height; v++) {
        const top = v + padTop;
        if (top < 0 || top >= paddedHeight || inside <= 0) continue;
        packBlocks(
          x + bytes((((s + g) * height + v) * width + begin) * channels),
          packedX + bytes(4 * ((g * paddedHeight + top) * paddedWidth + begin + padLeft)),
          inside, channels, 4, blockX,
        );
      }
    packBlocks(dy + bytes(s * pixels * outChannels), packedDy, count * pixels, outChannels, 8, blockDy);
    const stepA = <usize>(16 * strideWidth);
    const skipRow = 16 * (strideHeight * paddedWidth - strideWidth * outWidth);
    const skipImage = 16 * paddedWidth * (paddedHeight - strideHeight * outHeight);
    for (let j = 0; j < n8; j += 8)
      for (let i = 0; i < c4; i += 4)
        for (let t = 0; t < taps; t++) {
          const from = packedX + (i >> 2) * blockX + 16 * ((t / filterWidth) * paddedWidth + (t % filterWidth));
          accumulate(
            from, stepA, skipRow, skipImage, packedDy + (j >> 3) * blockDy,
            sums + bytes((t * c4 + i) * n8 + j), bytes(n8), count, outHeight, outWidth,
          );
        }
  }
  unpad(sums, filter, taps, channels, outChannels);
}

/** Copies matrices [taps][upTo4(rows), upTo8(columns)] to matrices [taps][rows, columns]. */
function unpad(from: usize, to: usize, taps: i32, rows: i32, columns: i32): void {
  const row = bytes(columns), rowFrom = bytes(upTo8(columns));
  for (let t = 0; t < taps; t++, from += upTo4(rows) * rowFrom)
    for (let i = 0; i < rows; i++, to += row) memory.copy(to, from + i * rowFrom, row);
}

/** How many values of scratch memory `multiplyTransposed` needs. */
export function transposedScratch(m: i32, n: i32): i32 {
  return CHUNK * (upTo4(m) + upTo8(n)) + upTo4(m) * upTo8(n);
}

/** Computes c [m, n] = aᵀ b from a [k, m] and b [k, n]. */
export function multiplyTransposed(a: usize, b: usize, c: usize, scratch: usize, k: i32, m: i32, n: i32): void {
  const m4 = upTo4(m), n8 = upTo8(n);
  const packedA = scratch, packedB = packedA + bytes(CHUNK * m4), sums = packedB + bytes(CHUNK * n8);
  memory.fill(sums, 0, bytes(m4 * n8));
  for (let p = 0; p < k; p += CHUNK) {
    const count = min(CHUNK, k - p);
    packBlocks(a + bytes(p * m), packedA, count, m, 4, bytes(4 * count));
    packBlocks(b + bytes(p * n), packedB, count, n, 8, bytes(8 * count));
    for (let j = 0; j < n8; j += 8)
      for (let i = 0; i < m4; i += 4)
        accumulate(
          packedA + bytes(i * count), 16, 0, 0, packedB + bytes(j * count),
          sums + bytes(i * n8 + j), bytes(n8), 1, 1, count,
        );
  }
  unpad(sums, c, 1, m, n);
}

/** The sums of the columns of x [rows, columns]. */
export function columnSums(x: usize, sums: usize, rows: i32, columns: i32): void {
  const row = bytes(columns);
  let j = 0;
  for (; j + 16 <= columns; j += 16) {
    let s0 = splat(0), s1 = splat(0), s2 = splat(0), s3 = splat(0);
    let p = x + bytes(j);
    for (let i = 0; i < rows; i++, p += row) {
      s0 = f32x4.add(s0, v128.load(p));
      s1 = f32x4.add(s1, v128.load(p, 16));
      s2 = f32x4.add(s2, v128.load(p, 32));
      s3 = f32x4.add(s3, v128.load(p, 48));
    }
    const to = sums + bytes(j);
    v128.store(to, s0); v128.store(to, s1, 16); v128.store(to, s2, 32); v128.store(to, s3, 48);
  }
  for (; j < columns; j += 4) {
    let s = splat(0), p = x + bytes(j);
    for (let i = 0; i < rows; i++, p += row) s = f32x4.add(s, loadPart(p, columns - j));
    storePart(sums + bytes(j), s, columns - j);
  }
}
