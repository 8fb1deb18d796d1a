// Batch normalisation by the statistics of the batch; see ../fused/batch-norm.ts. Sums go on in double precision after each
// block of rows, which is read again while it is near.
import { bytes, loadPart, madd, splat, storePart } from './vector';

const ROWS: i32 = 64;

/** Adds the lanes of a sum to the doubles at an address, the first `count` of them. */
// @ts-ignore: decorator
@inline
function addLanes(sums: usize, sum: v128, count: i32): void {
  store<f64>(sums, load<f64>(sums) + <f64>f32x4.extract_lane(sum, 0));
  if (count > 1) store<f64>(sums, load<f64>(sums, 8) + <f64>f32x4.extract_lane(sum, 1), 8);
  if (count > 2) store<f64>(sums, load<f64>(sums, 16) + <f64>f32x4.extract_lane(sum, 2), 16);
  if (count > 3) store<f64>(sums, load<f64>(sums, 24) + <f64>f32x4.extract_lane(sum, 3), 24);
}

/**
 * Takes x [rows, channels] to y, with its ReLU if that is wanted, and gives mean and variance of each channel.
 * @param scratch room for 3 values a channel, at a multiple of 8
 */
export function batchNorm(
  x: usize, gamma: usize, beta: usize, y: usize, mean: usize, variance: usize, scratch: usize,
  rows: i32, channels: i32, epsilon: f32, relu: bool,
): void {
  const row = bytes(channels), scale = scratch + 2 * row;
  memory.fill(scratch, 0, 2 * row);
  for (let start = 0; start < rows; start += ROWS) {
    const end = min(start + ROWS, rows);
    for (let c = 0; c < channels; c += 4) {
      const part = channels - c;
      let sum = splat(0), from = x + <usize>start * row + bytes(c);
      for (let r = start; r < end; r++, from += row) sum = f32x4.add(sum, loadPart(from, part));
      addLanes(scratch + 2 * bytes(c), sum, part);
    }
  }
  for (let c = 0; c < channels; c++) {
    store<f32>(mean + bytes(c), <f32>(load<f64>(scratch + 2 * bytes(c)) / <f64>rows));
    store<f64>(scratch + 2 * bytes(c), 0);
  }
  for (let start = 0; start < rows; start += ROWS) {
    const end = min(start + ROWS, rows);
    for (let c = 0; c < channels; c += 4) {
      const part = channels - c, m = loadPart(mean + bytes(c), part);
      let sum = splat(0), from = x + <usize>start * row + bytes(c);
      for (let r = start; r < end; r++, from += row) {
        const d = f32x4.sub(loadPart(from, part), m);
        sum = madd(d, d, sum);
      }
      addLanes(scratch + 2 * bytes(c), sum, part);
    }
  }
  for (let c = 0; c < channels; c++) {
    const v = <f32>(load<f64>(scratch + 2 * bytes(c)) / <f64>rows);
    store<f32>(variance + bytes(c), v);
    store<f32>(scale + bytes(c), load<f32>(gamma + bytes(c)) / sqrt<f32>(v + epsilon));
  }
  for (let r = 0; r < rows; r++, x += row, y += row)
    for (let c = 0; c < channels; c += 4) {
      const at = bytes(c), part = channels - c;
      const d = f32x4.sub(loadPart(x + at, part), loadPart(mean + at, part));
      const value = madd(d, loadPart(scale + at, part), loadPart(beta + at, part));
      storePart(y + at, relu ? f32x4.max(value, splat(0)) : value, part);
    }
}

/** The gradient of what the ReLU is taken of: where the value is not above 0, none. */
// @ts-ignore: decorator
@inline
function behind(g: v128, d: v128, scale: usize, beta: usize, part: i32, relu: bool): v128 {
  if (!relu) return g;
  return v128.andnot(g, f32x4.le(madd(d, loadPart(scale, part), loadPart(beta, part)), splat(0)));
}

/**
 * The gradients of `batchNorm` in x, gamma and beta.
 * @param scratch room for 7 values a channel, at a multiple of 8
 */
export function batchNormGradient(
  dy: usize, x: usize, gamma: usize, beta: usize, mean: usize, variance: usize, dx: usize, dgamma: usize, dbeta: usize,
  scratch: usize, rows: i32, channels: i32, epsilon: f32, relu: bool,
): void {
  const row = bytes(channels), sums = scratch, products = scratch + 2 * row;
  const scale = scratch + 4 * row, level = scratch + 5 * row, along = scratch + 6 * row;
  memory.fill(scratch, 0, 4 * row);
  for (let c = 0; c < channels; c++) {
    const at = bytes(c);
    store<f32>(scale + at, load<f32>(gamma + at) / sqrt<f32>(load<f32>(variance + at) + epsilon));
  }
  for (let start = 0; start < rows; start += ROWS) {
    const end = min(start + ROWS, rows);
    for (let c = 0; c < channels; c += 4) {
      const part = channels - c, m = loadPart(mean + bytes(c), part), offset = <usize>start * row + bytes(c);
      let sum = splat(0), product = splat(0), from = x + offset, fromDy = dy + offset;
      for (let r = start; r < end; r++, from += row, fromDy += row) {
        const d = f32x4.sub(loadPart(from, part), m);
        const g = behind(loadPart(fromDy, part), d, scale + bytes(c), beta + bytes(c), part, relu);
        sum = f32x4.add(sum, g);
        product = madd(g, d, product);
      }
      addLanes(sums + 2 * bytes(c), sum, part);
      addLanes(products + 2 * bytes(c), product, part);
    }
  }
  for (let c = 0; c < channels; c++) {
    const at = bytes(c), sum = load<f64>(sums + 2 * at), product = load<f64>(products + 2 * at);
    const inverse = 1 / sqrt<f64>(<f64>load<f32>(variance + at) + <f64>epsilon);
    store<f32>(dbeta + at, <f32>sum);
    store<f32>(dgamma + at, <f32>(product * inverse));
    store<f32>(level + at, <f32>(sum / <f64>rows));
    store<f32>(along + at, <f32>(product * inverse * inverse / <f64>rows));
  }
  for (let r = 0; r < rows; r++, x += row, dy += row, dx += row)
    for (let c = 0; c < channels; c += 4) {
      const at = bytes(c), part = channels - c;
      const d = f32x4.sub(loadPart(x + at, part), loadPart(mean + at, part));
      const h = behind(loadPart(dy + at, part), d, scale + at, beta + at, part, relu);
      const g = f32x4.sub(f32x4.sub(h, loadPart(level + at, part)), f32x4.mul(d, loadPart(along + at, part)));
      storePart(dx + at, f32x4.mul(g, loadPart(scale + at, part)), part);
    }
}
