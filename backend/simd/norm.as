// Normalisation over groups of channels and over rows, with their gradients.
import { columnSums } from './product';
import { bytes, firstOf, loadPart, madd, sigmoid, siluSlope, splat, storePart, sumOf, upTo4 } from './vector';

/** The sums of the squares of x [rows, columns] less `centre` in each column. */
function squareSums(x: usize, centre: usize, sums: usize, rows: i32, columns: i32): void {
  const row = bytes(columns);
  for (let j = 0; j < columns; j += 4) {
    const count = columns - j, middle = v128.load(centre + bytes(j));
    let s = splat(0), p = x + bytes(j);
    for (let i = 0; i < rows; i++, p += row) {
      const d = f32x4.sub(count >= 4 ? v128.load(p) : loadPart(p, count), middle);
      s = madd(d, d, s);
    }
    storePart(sums + bytes(j), s, count);
  }
}

/**
 * Group normalisation. Each sample has a scale and an offset of each channel, which stand for the affine map and the
 * modulation.
 * @param added 0 where it is absent, as `scale` and `shift` are
 * @param scratch four times upTo4(channels) values
 */
export function groupNorm(
  x: usize, gamma: usize, beta: usize, added: usize, scale: usize, shift: usize,
  y: usize, mean: usize, rstd: usize, scratch: usize,
  batch: i32, pixels: i32, channels: i32, groups: i32, epsilon: f32, silu: bool,
): void {
  const size = channels / groups, step = bytes(upTo4(channels));
  const sums = scratch, centre = sums + step, slope = centre + step, offset = slope + step;
  const each: f32 = <f32>1 / <f32>(pixels * size);
  memory.fill(scratch, 0, 4 * step);
  for (let s = 0; s < batch; s++) {
    columnSums(x, sums, pixels, channels);
    for (let g = 0; g < groups; g++) {
      let total: f32 = 0;
      for (let c = g * size; c < (g + 1) * size; c++)
        total += load<f32>(sums + bytes(c)) + (added ? <f32>pixels * load<f32>(added + bytes(c)) : 0);
      total *= each;
      store<f32>(mean + bytes(g), total);
      for (let c = g * size; c < (g + 1) * size; c++)
        store<f32>(centre + bytes(c), total - (added ? load<f32>(added + bytes(c)) : 0));
    }
    squareSums(x, centre, sums, pixels, channels);
    for (let g = 0; g < groups; g++) {
      let total: f32 = 0;
      for (let c = g * size; c < (g + 1) * size; c++) total += load<f32>(sums + bytes(c));
      const rate: f32 = <f32>1 / sqrt<f32>(total * each + epsilon);
      store<f32>(rstd + bytes(g), rate);
      affine(gamma, beta, scale, shift, g * size, size, slope, offset, rate);
    }
    for (let i = 0; i < pixels; i++)
      for (let c = 0; c < channels; c += 4) {
        const at = bytes(c), count = channels - c;
        const d = f32x4.sub(loadPart(x + at, count), v128.load(centre + at));
        let u = madd(d, v128.load(slope + at), v128.load(offset + at));
        if (silu) u = f32x4.mul(u, sigmoid(u));
        storePart(y + at, u, count);
        if (c + 4 >= channels) {
          x += bytes(channels);
          y += bytes(channels);
        }
      }
    if (added) added += bytes(channels);
    if (scale) {
      scale += bytes(channels);
      shift += bytes(channels);
    }
    mean += bytes(groups);
    rstd += bytes(groups);
  }
}

/** What the channels of a group are multiplied by, after they were centred, and what is added then. */
function affine(
  gamma: usize, beta: usize, scale: usize, shift: usize, first: i32, size: i32, slope: usize, offset: usize, rate: f32,
): void {
  for (let c = first; c < first + size; c++) {
    const at = bytes(c);
    const factor: f32 = scale ? 1 + load<f32>(scale + at) : 1;
    store<f32>(slope + at, rate * load<f32>(gamma + at) * factor);
    store<f32>(offset + at, load<f32>(beta + at) * factor + (shift ? load<f32>(shift + at) : 0));
  }
}

/**
 * The gradient of `groupNorm`.
 * @param dadded 0 where it is absent, as `dscale` and `dshift` are
 * @param scratch eight times upTo4(channels) values
 */
export function groupNormGradient(
  dy: usize, x: usize, gamma: usize, beta: usize, added: usize, scale: usize, shift: usize, mean: usize, rstd: usize,
  dx: usize, dgamma: usize, dbeta: usize, dadded: usize, dscale: usize, dshift: usize, scratch: usize,
  batch: i32, pixels: i32, channels: i32, groups: i32, silu: bool,
): void {
  const size = channels / groups, row = bytes(channels), step = bytes(upTo4(channels));
  const centre = scratch, slope = centre + step, offset = slope + step;
  // The sums over pixels of the gradient at the norm's result, of its product with x - centre, and of x - centre.
  const sumD = offset + step, sumDX = sumD + step, sumX = sumDX + step, linear = sumX + step, constant = linear + step;
  const each: f32 = <f32>1 / <f32>(pixels * size);
  memory.fill(scratch, 0, 8 * step);
  memory.fill(dgamma, 0, row);
  memory.fill(dbeta, 0, row);
  for (let s = 0; s < batch; s++) {
    for (let g = 0; g < groups; g++) {
      for (let c = g * size; c < (g + 1) * size; c++)
        store<f32>(centre + bytes(c), load<f32>(mean + bytes(g)) - (added ? load<f32>(added + bytes(c)) : 0));
      affine(gamma, beta, scale, shift, g * size, size, slope, offset, load<f32>(rstd + bytes(g)));
    }
    for (let c = 0; c < channels; c += 4) {
      const at = bytes(c), count = channels - c;
      const middle = v128.load(centre + at), a = v128.load(slope + at), b = v128.load(offset + at);
      let s0 = splat(0), s1 = splat(0), s2 = splat(0);
      let p = x + at, q = dy + at, to = dx + at;
      for (let i = 0; i < pixels; i++, p += row, q += row, to += row) {
        const d = f32x4.sub(loadPart(p, count), middle);
        let t = loadPart(q, count);
        if (silu) {
          const u = madd(d, a, b);
          t = f32x4.mul(t, siluSlope(u, sigmoid(u)));
          storePart(to, t, count);
        }
        s0 = f32x4.add(s0, t);
        s1 = madd(t, d, s1);
        s2 = f32x4.add(s2, d);
      }
      v128.store(sumD + at, s0);
      v128.store(sumDX + at, s1);
      v128.store(sumX + at, s2);
    }
    for (let g = 0; g < groups; g++) {
      const rate = load<f32>(rstd + bytes(g));
      let mean1: f32 = 0, mean2: f32 = 0;
      for (let c = g * size; c < (g + 1) * size; c++) {
        mean1 += load<f32>(slope + bytes(c)) * load<f32>(sumD + bytes(c));
        mean2 += load<f32>(slope + bytes(c)) * load<f32>(sumDX + bytes(c));
      }
      mean1 *= each;
      mean2 *= each * rate * rate;
      for (let c = g * size; c < (g + 1) * size; c++) {
        const at = bytes(c);
        const sum = load<f32>(sumD + at), normal = load<f32>(sumDX + at) * rate;
        const factor: f32 = scale ? 1 + load<f32>(scale + at) : 1;
        store<f32>(linear + at, -mean2);
        store<f32>(constant + at, -mean1);
        store<f32>(dgamma + at, load<f32>(dgamma + at) + normal * factor);
        store<f32>(dbeta + at, load<f32>(dbeta + at) + sum * factor);
        if (dadded)
          store<f32>(dadded + at, load<f32>(slope + at) * sum - mean2 * load<f32>(sumX + at) - mean1 * <f32>pixels);
        if (dscale) {
          store<f32>(dscale + at, load<f32>(gamma + at) * normal + load<f32>(beta + at) * sum);
          store<f32>(dshift + at, sum);
        }
      }
    }
    let t = silu ? dx : dy;
    for (let i = 0; i < pixels; i++, x += row, t += row, dx += row)
      for (let c = 0; c < channels; c += 4) {
        const at = bytes(c), count = channels - c;
        const d = f32x4.sub(loadPart(x + at, count), v128.load(centre + at));
        const rest = madd(d, v128.load(linear + at), v128.load(constant + at));
        storePart(dx + at, madd(loadPart(t + at, count), v128.load(slope + at), rest), count);
      }
    dy += pixels * row;
    if (added) {
      added += row;
      dadded += row;
    }
    if (scale) {
      scale += row;
      shift += row;
      dscale += row;
      dshift += row;
    }
    mean += bytes(groups);
    rstd += bytes(groups);
  }
}

/** Layer normalisation of each row. */
export function layerNorm(
  x: usize, gamma: usize, beta: usize, y: usize, mean: usize, rstd: usize, rows: i32, channels: i32, epsilon: f32,
): void {
  const each: f32 = <f32>1 / <f32>channels, row = bytes(channels);
  for (let i = 0; i < rows; i++, x += row, y += row, mean += 4, rstd += 4) {
    let sum = splat(0), squares = splat(0);
    for (let c = 0; c < channels; c += 4) sum = f32x4.add(sum, loadPart(x + bytes(c), channels - c));
    const middle: f32 = sumOf(sum) * each;
    for (let c = 0; c < channels; c += 4) {
      const d = firstOf(f32x4.sub(loadPart(x + bytes(c), channels - c), splat(middle)), channels - c);
      squares = madd(d, d, squares);
    }
    const rate: f32 = <f32>1 / sqrt<f32>(sumOf(squares) * each + epsilon);
    store<f32>(mean, middle);
    store<f32>(rstd, rate);
    for (let c = 0; c < channels; c += 4) {
      const at = bytes(c), count = channels - c;
      const normal = f32x4.mul(f32x4.sub(loadPart(x + at, count), splat(middle)), splat(rate));
      storePart(y + at, madd(normal, loadPart(gamma + at, count), loadPart(beta + at, count)), count);
    }
  }
}

/** The gradient of `layerNorm`. */
export function layerNormGradient(
  dy: usize, x: usize, gamma: usize, mean: usize, rstd: usize, dx: usize, dgamma: usize, dbeta: usize,
  rows: i32, channels: i32,
): void {
  const each: f32 = <f32>1 / <f32>channels, row = bytes(channels);
  memory.fill(dgamma, 0, row);
  memory.fill(dbeta, 0, row);
  for (let i = 0; i < rows; i++, x += row, dy += row, dx += row, mean += 4, rstd += 4) {
    const middle = splat(load<f32>(mean)), rate = splat(load<f32>(rstd));
    let sum = splat(0), product = splat(0);
    for (let c = 0; c < channels; c += 4) {
      const at = bytes(c), count = channels - c;
      const t = loadPart(dy + at, count);
      const normal = f32x4.mul(f32x4.sub(loadPart(x + at, count), middle), rate);
      storePart(dbeta + at, f32x4.add(loadPart(dbeta + at, count), t), count);
      storePart(dgamma + at, madd(t, normal, loadPart(dgamma + at, count)), count);
      const u = f32x4.mul(t, loadPart(gamma + at, count));
      sum = f32x4.add(sum, u);
      product = madd(u, normal, product);
    }
    const mean1 = splat(sumOf(sum) * each), mean2 = splat(sumOf(product) * each);
    for (let c = 0; c < channels; c += 4) {
      const at = bytes(c), count = channels - c;
      const normal = f32x4.mul(f32x4.sub(loadPart(x + at, count), middle), rate);
      const u = f32x4.mul(loadPart(dy + at, count), loadPart(gamma + at, count));
      storePart(dx + at, f32x4.mul(f32x4.sub(f32x4.sub(u, mean1), f32x4.mul(normal, mean2)), rate), count);
    }
  }
}
