// The mean of a sampler's step, and how far a sample is from it; see ../fused/gaussian-step.ts.
import { bytes, loadPart, madd, splat, storePart } from './vector';

/** k · (a x + b out) */
// @ts-ignore: decorator
@inline
function mixed(numbers: usize, x: v128, out: v128): v128 {
  const k = splat(load<f32>(numbers)), a = splat(load<f32>(numbers, 4)), b = splat(load<f32>(numbers, 8));
  return f32x4.mul(k, madd(b, out, f32x4.mul(a, x)));
}

/** Takes `batch` rows of `size` values and 7 numbers a row to the mean of a step. */
export function stepMean(x: usize, out: usize, numbers: usize, y: usize, batch: i32, size: i32, range: f32): void {
  const row = bytes(size), low = splat(-range), high = splat(range);
  for (let r = 0; r < batch; r++, x += row, out += row, y += row, numbers += 28) {
    const weight = load<f32>(numbers, 12);
    for (let i = 0; i < size; i += 4) {
      const at = bytes(i), part = size - i, u = loadPart(x + at, part), v = loadPart(out + at, part);
      let mean = mixed(numbers, u, v);
      if (weight !== 0) {
        const clipped = f32x4.min(f32x4.max(mixed(numbers + 16, u, v), low), high);
        mean = madd(splat(weight), clipped, mean);
      }
      storePart(y + at, mean, part);
    }
  }
}

/** The gradients of `stepMean` in x and out. Where a value is clipped, it has none. */
export function stepMeanGradient(
  dy: usize, x: usize, out: usize, numbers: usize, dx: usize, dout: usize, batch: i32, size: i32, range: f32,
): void {
  const row = bytes(size), low = splat(-range), high = splat(range);
  for (let r = 0; r < batch; r++, dy += row, x += row, out += row, dx += row, dout += row, numbers += 28) {
    const k = load<f32>(numbers), weight = load<f32>(numbers, 12), other = weight * load<f32>(numbers, 16);
    const a = splat(k * load<f32>(numbers, 4)), b = splat(k * load<f32>(numbers, 8));
    const a2 = splat(other * load<f32>(numbers, 20)), b2 = splat(other * load<f32>(numbers, 24));
    for (let i = 0; i < size; i += 4) {
      const at = bytes(i), part = size - i, g = loadPart(dy + at, part);
      let slopeX = a, slopeOut = b;
      if (weight !== 0) {
        const u = mixed(numbers + 16, loadPart(x + at, part), loadPart(out + at, part));
        const inside = v128.and(f32x4.ge(u, low), f32x4.le(u, high));
        slopeX = f32x4.add(slopeX, v128.and(a2, inside));
        slopeOut = f32x4.add(slopeOut, v128.and(b2, inside));
      }
      storePart(dx + at, f32x4.mul(g, slopeX), part);
      storePart(dout + at, f32x4.mul(g, slopeOut), part);
    }
  }
}

/** Values that are summed in single precision, before they are added in double precision. */
const BLOCK: i32 = 1024;

/** scale · mean((value - mean)²) + offset of each row. */
export function scaledDistance(value: usize, mean: usize, numbers: usize, y: usize, batch: i32, size: i32): void {
  const row = bytes(size);
  for (let r = 0; r < batch; r++, value += row, mean += row, numbers += 8, y += 4) {
    let total: f64 = 0;
    for (let start = 0; start < size; start += BLOCK) {
      const end = min(start + BLOCK, size);
      let squares = splat(0);
      for (let i = start; i < end; i += 4) {
        const at = bytes(i), part = end - i;
        const d = f32x4.sub(loadPart(value + at, part), loadPart(mean + at, part));
        squares = madd(d, d, squares);
      }
      total += <f64>f32x4.extract_lane(squares, 0) + <f64>f32x4.extract_lane(squares, 1)
        + <f64>f32x4.extract_lane(squares, 2) + <f64>f32x4.extract_lane(squares, 3);
    }
    store<f32>(y, <f32>(<f64>load<f32>(numbers) * (total / <f64>size) + <f64>load<f32>(numbers, 4)));
  }
}

/** The gradient of `scaledDistance` in the mean. */
export function scaledDistanceGradient(
  dy: usize, value: usize, mean: usize, numbers: usize, dmean: usize, batch: i32, size: i32,
): void {
  const row = bytes(size);
  for (let r = 0; r < batch; r++, dy += 4, value += row, mean += row, dmean += row, numbers += 8) {
    const slope = splat(load<f32>(dy) * load<f32>(numbers) * 2 / <f32>size);
    for (let i = 0; i < size; i += 4) {
      const at = bytes(i), part = size - i;
      const d = f32x4.sub(loadPart(mean + at, part), loadPart(value + at, part));
      storePart(dmean + at, f32x4.mul(d, slope), part);
    }
  }
}
