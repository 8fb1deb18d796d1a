// Activations, copies, and the step of the optimiser.
import { bell, bytes, exp, loadPart, madd, normalProbability, sigmoid, siluSlope, splat, storePart } from './vector';

/** The numbers of the activations of a linear layer. */
const SILU: i32 = 1;
const GELU: i32 = 2;

/** exp(-x²/2) / sqrt(2 π) is the density of the normal distribution. */
const DENSITY: f32 = 0.3989422804;
const QUICK: f32 = 1.702;

/** Takes x to y by an activation: SiLU, GELU, or x · sigmoid(1.702 x). It adds a residual where its address is not 0. */
export function activate(x: usize, residual: usize, y: usize, count: i32, activation: i32): void {
  for (let i = 0; i < count; i += 4) {
    const at = bytes(i), part = count - i;
    const u = loadPart(x + at, part);
    let gate: v128;
    if (activation === SILU) gate = sigmoid(u);
    else if (activation === GELU) gate = normalProbability(u, bell(u));
    else gate = sigmoid(f32x4.mul(u, splat(QUICK)));
    const v = f32x4.mul(u, gate);
    storePart(y + at, residual ? f32x4.add(v, loadPart(residual + at, part)) : v, part);
  }
}

/** Takes the gradient of the result of `activate` to that of x. */
export function activateGradient(dy: usize, x: usize, dx: usize, count: i32, activation: i32): void {
  for (let i = 0; i < count; i += 4) {
    const at = bytes(i), part = count - i;
    const u = loadPart(x + at, part);
    let slope: v128;
    if (activation === SILU) slope = siluSlope(u, sigmoid(u));
    else if (activation === GELU) {
      const e = bell(u);
      slope = madd(f32x4.mul(u, splat(DENSITY)), e, normalProbability(u, e));
    } else {
      const v = f32x4.mul(u, splat(QUICK));
      slope = siluSlope(v, sigmoid(v));
    }
    storePart(dx + at, f32x4.mul(loadPart(dy + at, part), slope), part);
  }
}

/** Takes rows of hidden values and gates [rows, 2, inner] to hidden · GELU(gate) [rows, inner]. */
export function gatedGelu(x: usize, y: usize, rows: i32, inner: i32): void {
  for (let r = 0; r < rows; r++, x += bytes(2 * inner), y += bytes(inner))
    for (let c = 0; c < inner; c += 4) {
      const at = bytes(c), part = inner - c;
      const gate = loadPart(x + bytes(inner) + at, part);
      const gelu = f32x4.mul(gate, normalProbability(gate, bell(gate)));
      storePart(y + at, f32x4.mul(loadPart(x + at, part), gelu), part);
    }
}

/** The gradient of `gatedGelu`. */
export function gatedGeluGradient(dy: usize, x: usize, dx: usize, rows: i32, inner: i32): void {
  const half = bytes(inner);
  for (let r = 0; r < rows; r++, x += 2 * half, dx += 2 * half, dy += half)
    for (let c = 0; c < inner; c += 4) {
      const at = bytes(c), part = inner - c;
      const hidden = loadPart(x + at, part), gate = loadPart(x + half + at, part), t = loadPart(dy + at, part);
      const e = bell(gate), p = normalProbability(gate, e);
      storePart(dx + at, f32x4.mul(t, f32x4.mul(gate, p)), part);
      const slope = madd(f32x4.mul(gate, splat(DENSITY)), e, p);
      storePart(dx + half + at, f32x4.mul(f32x4.mul(t, hidden), slope), part);
    }
}

/** Copies `rows` rows of `count` values, which lie `rowFrom` and `rowTo` bytes apart. */
export function copyRows(from: usize, rowFrom: usize, to: usize, rowTo: usize, rows: i32, count: i32): void {
  for (let r = 0; r < rows; r++, from += rowFrom, to += rowTo) {
    let i = 0;
    for (; i + 4 <= count; i += 4) v128.store(to + bytes(i), v128.load(from + bytes(i)));
    for (; i < count; i++) store<f32>(to + bytes(i), load<f32>(from + bytes(i)));
  }
}

/** Repeats each pixel of x [rows, width, channels] in both directions. */
export function upsample(x: usize, y: usize, rows: i32, width: i32, channels: i32): void {
  const pixel = bytes(channels), row = 2 * width * pixel;
  for (let r = 0; r < rows; r++, y += 2 * row) {
    let to = y;
    for (let u = 0; u < width; u++, x += pixel, to += 2 * pixel)
      for (let c = 0; c < channels; c += 4) {
        const part = channels - c, v = loadPart(x + bytes(c), part);
        storePart(to + bytes(c), v, part);
        storePart(to + pixel + bytes(c), v, part);
      }
    memory.copy(y + row, y, row);
  }
}

/** The gradient of `upsample`: the sums of blocks of four pixels. */
export function upsampleGradient(dy: usize, dx: usize, rows: i32, width: i32, channels: i32): void {
  const pixel = bytes(channels), row = 2 * width * pixel;
  for (let r = 0; r < rows; r++, dy += row)
    for (let u = 0; u < width; u++, dx += pixel, dy += 2 * pixel)
      for (let c = 0; c < channels; c += 4) {
        const part = channels - c, from = dy + bytes(c);
        const upper = f32x4.add(loadPart(from, part), loadPart(from + pixel, part));
        const lower = f32x4.add(loadPart(from + row, part), loadPart(from + row + pixel, part));
        storePart(dx + bytes(c), f32x4.add(upper, lower), part);
      }
}

/**
 * One step of AdamW of `count` weights w.
 * @param shrink 1 - learning rate · weight decay
 * @param rate the learning rate, divided by what corrects the first moment
 * @param correction the root of what corrects the second moment
 */
export function adamW(
  gradient: usize, m: usize, v: usize, w: usize, nextM: usize, nextV: usize, nextW: usize, count: i32,
  beta1: f32, beta2: f32, rest1: f32, rest2: f32, gradientScale: f32, shrink: f32, rate: f32, correction: f32, epsilon: f32,
): void {
  for (let i = 0; i < count; i += 4) {
    const at = bytes(i), part = count - i;
    const g = f32x4.mul(loadPart(gradient + at, part), splat(gradientScale));
    const first = madd(g, splat(rest1), f32x4.mul(loadPart(m + at, part), splat(beta1)));
    const second = madd(f32x4.mul(g, g), splat(rest2), f32x4.mul(loadPart(v + at, part), splat(beta2)));
    const deviation = f32x4.add(f32x4.div(f32x4.sqrt(second), splat(correction)), splat(epsilon));
    const update = f32x4.mul(f32x4.div(first, deviation), splat(rate));
    storePart(nextM + at, first, part);
    storePart(nextV + at, second, part);
    storePart(nextW + at, f32x4.sub(f32x4.mul(loadPart(w + at, part), splat(shrink)), update), part);
  }
}

/** The hyperbolic tangent, 1 - 2 / (exp(2x) + 1), to an absolute error of 2e-7. */
export function tanh(x: usize, y: usize, count: i32): void {
  for (let i = 0; i < count; i += 4) {
    const at = bytes(i), part = count - i, u = loadPart(x + at, part);
    const e = exp(f32x4.add(u, u));
    storePart(y + at, f32x4.sub(splat(1), f32x4.div(splat(2), f32x4.add(e, splat(1)))), part);
  }
}

/** Takes the gradient of the result y of `tanh` to that of x. */
export function tanhGradient(dy: usize, y: usize, dx: usize, count: i32): void {
  for (let i = 0; i < count; i += 4) {
    const at = bytes(i), part = count - i, u = loadPart(y + at, part);
    storePart(dx + at, f32x4.mul(loadPart(dy + at, part), f32x4.sub(splat(1), f32x4.mul(u, u))), part);
  }
}

/** The larger of x and 0. */
export function relu(x: usize, y: usize, count: i32): void {
  for (let i = 0; i < count; i += 4) {
    const at = bytes(i), part = count - i;
    storePart(y + at, f32x4.max(loadPart(x + at, part), splat(0)), part);
  }
}

/** Takes the gradient of the result y of `relu` to that of x. */
export function reluGradient(dy: usize, y: usize, dx: usize, count: i32): void {
  for (let i = 0; i < count; i += 4) {
    const at = bytes(i), part = count - i;
    const above = f32x4.gt(loadPart(y + at, part), splat(0));
    storePart(dx + at, v128.and(loadPart(dy + at, part), above), part);
  }
}
