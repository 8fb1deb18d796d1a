// Attention with several heads, and its gradient. The scores of one head of one sample lie in scratch memory only.
import { multiply, multiplyTransposed, pack, packTransposed, transposedScratch } from './product';
import { bytes, exp, loadPart, log, madd, maxOf, splat, storePart, sumOf, upTo8 } from './vector';

/** How many values the panels of a matrix [k, n] take. */
// @ts-ignore: decorator
@inline
function panelSize(k: i32, n: i32): i32 {
  return k * upTo8(n);
}

/** Makes of scores [n, m] the scaled ones, with a mask [n, m] added where its address is not 0. */
function scaleScores(scores: usize, mask: usize, scale: f32, count: i32): void {
  for (let i = 0; i < count; i += 4) {
    const at = bytes(i), part = count - i;
    const s = f32x4.mul(loadPart(scores + at, part), splat(scale));
    storePart(scores + at, mask ? f32x4.add(s, loadPart(mask + at, part)) : s, part);
  }
}

/** Copies rows of `width` values, `row` bytes apart, so that they lie side by side. */
function gather(from: usize, row: usize, to: usize, rows: i32, width: i32): void {
  for (let i = 0; i < rows; i++, from += row, to += bytes(width))
    for (let c = 0; c < width; c += 4) storePart(to + bytes(c), loadPart(from + bytes(c), width - c), width - c);
}

/** The reverse of `gather`. */
function scatter(from: usize, to: usize, row: usize, rows: i32, width: i32): void {
  for (let i = 0; i < rows; i++, to += row, from += bytes(width))
    for (let c = 0; c < width; c += 4) storePart(to + bytes(c), loadPart(from + bytes(c), width - c), width - c);
}

/** How many values of scratch memory `attention` needs. */
export function attentionScratch(n: i32, m: i32, width: i32): i32 {
  return panelSize(width, m) + panelSize(m, width) + n * m + 4;
}

/** Attention of q [batch, n, channels] to k and v [batch, m, channels]; `logSum` is [batch, n, heads]. */
export function attention(
  q: usize, k: usize, v: usize, mask: usize, y: usize, logSum: usize, scratch: usize,
  batch: i32, n: i32, m: i32, channels: i32, heads: i32,
): void {
  const width = channels / heads, row = bytes(channels);
  const scale: f32 = <f32>1 / sqrt<f32>(<f32>width);
  const keys = scratch, values = keys + bytes(panelSize(width, m)), scores = values + bytes(panelSize(m, width));
  for (let s = 0; s < batch; s++) {
    for (let h = 0; h < heads; h++) {
      const at = bytes(h * width);
      packTransposed(k + at, row, keys, 1, width, m);
      pack(v + at, row, 0, values, 1, m, width);
      multiply(q + at, row, keys, 0, 0, scores, bytes(m), n, width, m);
      scaleScores(scores, mask, scale, n * m);
      for (let i = 0; i < n; i++) store<f32>(logSum + bytes(i * heads + h), softmax(scores + bytes(i * m), m));
      multiply(scores, bytes(m), values, 0, 0, y + at, row, n, m, width);
    }
    q += n * row;
    y += n * row;
    k += m * row;
    v += m * row;
    logSum += bytes(n * heads);
  }
}

/** Takes the softmax of a row in place. @returns the logarithm of the sum of the exponentials */
function softmax(x: usize, count: i32): f32 {
  let top = splat(-Infinity), i = 0;
  for (; i + 4 <= count; i += 4) top = f32x4.max(top, v128.load(x + bytes(i)));
  let largest = maxOf(top);
  for (; i < count; i++) largest = max(largest, load<f32>(x + bytes(i)));
  let sums = splat(0), rest: f32 = 0;
  for (i = 0; i + 4 <= count; i += 4) {
    const e = exp(f32x4.sub(v128.load(x + bytes(i)), splat(largest)));
    v128.store(x + bytes(i), e);
    sums = f32x4.add(sums, e);
  }
  if (i < count) {
    const e = exp(f32x4.sub(loadPart(x + bytes(i), count - i), splat(largest)));
    storePart(x + bytes(i), e, count - i);
    for (let j = i; j < count; j++) rest += load<f32>(x + bytes(j));
  }
  const sum: f32 = sumOf(sums) + rest;
  const factor = splat(1 / sum);
  for (i = 0; i < count; i += 4)
    storePart(x + bytes(i), f32x4.mul(loadPart(x + bytes(i), count - i), factor), count - i);
  return largest + log(sum);
}

/** How many values of scratch memory `attentionGradient` needs. */
export function attentionGradientScratch(n: i32, m: i32, width: i32): i32 {
  return 2 * panelSize(width, m) + panelSize(m, width) + 2 * n * m + 2 * n * width + m * width + transposedScratch(m, width);
}

/**
 * The gradient of `attention`.
 */
export function attentionGradient(
  dy: usize, q: usize, k: usize, v: usize, mask: usize, y: usize, logSum: usize,
  dq: usize, dk: usize, dv: usize, scratch: usize,
  batch: i32, n: i32, m: i32, channels: i32, heads: i32,
): void {
  const width = channels / heads, row = bytes(channels);
  const scale: f32 = <f32>1 / sqrt<f32>(<f32>width);
  const panels = scratch, keys = panels + bytes(panelSize(width, m)), scores = keys + bytes(panelSize(m, width));
  const slopes = scores + bytes(n * m), queries = slopes + bytes(n * m), dys = queries + bytes(n * width);
  const result = dys + bytes(n * width), work = result + bytes(m * width);
  for (let s = 0; s < batch; s++) {
    for (let h = 0; h < heads; h++) {
      const at = bytes(h * width);
      gather(q + at, row, queries, n, width);
      gather(dy + at, row, dys, n, width);
      // The weights of the attention, computed again.
      packTransposed(k + at, row, panels, 1, width, m);
      multiply(queries, bytes(width), panels, 0, 0, scores, bytes(m), n, width, m);
      scaleScores(scores, mask, scale, n * m);
      // The gradients of the weights.
      packTransposed(v + at, row, panels, 1, width, m);
      multiply(dys, bytes(width), panels, 0, 0, slopes, bytes(m), n, width, m);
      for (let i = 0; i < n; i++) {
        const first = bytes(i * width), from = y + at + i * row;
        let product = splat(0);
        for (let c = 0; c < width; c += 4)
          product = madd(loadPart(dys + first + bytes(c), width - c), loadPart(from + bytes(c), width - c), product);
        weigh(scores + bytes(i * m), slopes + bytes(i * m), load<f32>(logSum + bytes(i * heads + h)), sumOf(product), scale, m);
      }
      multiplyTransposed(scores, dys, result, work, n, m, width);
      scatter(result, dv + at, row, m, width);
      multiplyTransposed(slopes, queries, result, work, n, m, width);
      scatter(result, dk + at, row, m, width);
      pack(k + at, row, 0, keys, 1, m, width);
      multiply(slopes, bytes(m), keys, 0, 0, dq + at, row, n, m, width);
    }
    q += n * row;
    y += n * row;
    dy += n * row;
    dq += n * row;
    k += m * row;
    v += m * row;
    dk += m * row;
    dv += m * row;
    logSum += bytes(n * heads);
  }
}

/** Makes of the scores of a row its weights, and of the gradients of the weights those of the products q kᵀ. */
function weigh(scores: usize, slopes: usize, logSum: f32, mean: f32, scale: f32, count: i32): void {
  for (let i = 0; i < count; i += 4) {
    const at = bytes(i), part = count - i;
    const p = exp(f32x4.sub(loadPart(scores + at, part), splat(logSum)));
    const d = f32x4.mul(f32x4.sub(loadPart(slopes + at, part), splat(mean)), splat(scale));
    storePart(scores + at, p, part);
    storePart(slopes + at, f32x4.mul(p, d), part);
  }
}
