// Vectors of four float32 values: loads and stores of fewer than four, and functions that WebAssembly has no instruction
// for. `relaxed_madd` multiplies and adds with one rounding on every processor that can, which is twice as fast.

/** The size in bytes of a number of values. */
// @ts-ignore: decorator
@inline
export function bytes(values: i32): usize {
  return <usize>values << 2;
}

/** The smallest multiple of 4 that is not below a number. */
// @ts-ignore: decorator
@inline
export function upTo4(n: i32): i32 {
  return (n + 3) & ~3;
}

/** The smallest multiple of 8 that is not below a number. */
// @ts-ignore: decorator
@inline
export function upTo8(n: i32): i32 {
  return (n + 7) & ~7;
}

// @ts-ignore: decorator
@inline
export function splat(x: f32): v128 {
  return f32x4.splat(x);
}

/** a · b + c */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  return f32x4.relaxed_madd(a, b, c);
}

/** The first `count` values at an address, and zeros where `count` is below 4. */
// @ts-ignore: decorator
@inline
export function loadPart(from: usize, count: i32): v128 {
  return count >= 4 ? v128.load(from) : loadFew(from, count);
}

function loadFew(from: usize, count: i32): v128 {
  let x = splat(0);
  if (count > 0) x = v128.load32_lane(from, x, 0);
  if (count > 1) x = v128.load32_lane(from, x, 1, 4);
  if (count > 2) x = v128.load32_lane(from, x, 2, 8);
  return x;
}

/** Stores the first `count` values of a vector, or all four where `count` is larger. */
// @ts-ignore: decorator
@inline
export function storePart(to: usize, x: v128, count: i32): void {
  if (count >= 4) v128.store(to, x);
  else storeFew(to, x, count);
}

function storeFew(to: usize, x: v128, count: i32): void {
  if (count > 0) v128.store32_lane(to, x, 0);
  if (count > 1) v128.store32_lane(to, x, 1, 4);
  if (count > 2) v128.store32_lane(to, x, 2, 8);
}

/** A vector with zeros in all but the first `count` places. */
// @ts-ignore: decorator
@inline
export function firstOf(x: v128, count: i32): v128 {
  return v128.and(x, i32x4.gt_s(i32x4.splat(count), i32x4(0, 1, 2, 3)));
}

/** The sum of the four values of a vector. */
// @ts-ignore: decorator
@inline
export function sumOf(x: v128): f32 {
  const pairs = f32x4.add(x, i32x4.shuffle(x, x, 2, 3, 0, 1));
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
}

/** The largest of the four values of a vector. */
// @ts-ignore: decorator
@inline
export function maxOf(x: v128): f32 {
  const pairs = f32x4.max(x, i32x4.shuffle(x, x, 2, 3, 0, 1));
  return max(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1));
}

/** Where `writeConstants` puts the constants below: room for 80 values, which nothing else uses. */
// @ts-ignore: decorator
@external('env', 'constants')
declare const constants: usize;


// Each constant is a vector in memory. Were it written into the instructions, the compiler would put it together anew, by
// three of them, wherever it is used, since there are more constants than registers.
// @ts-ignore: decorator
@inline
function one(): v128 { return v128.load(constants); }
// @ts-ignore: decorator
@inline
function half(): v128 { return v128.load(constants, 16); }

/**
 * Writes the constants that the functions below read, once for each instance.
 */
export function writeConstants(): void {
  let to = constants;
  to = write(to, 1);
  to = write(to, 0.5);
  // exp: the range, the logarithms, and the polynomial of Cephes' expf
  to = write(to, 88.3);
  to = write(to, -87.3);
  to = write(to, 1.44269504);
  to = write(to, 12582912);
  to = write(to, 0.693359375);
  to = write(to, -2.12194440e-4);
  to = write(to, 1.9875691500e-4);
  to = write(to, 1.3981999507e-3);
  to = write(to, 8.3334519073e-3);
  to = write(to, 4.1665795894e-2);
  to = write(to, 1.6666665459e-1);
  to = write(to, 5.0000001201e-1);
  // normalProbability: 0.3275911 / sqrt(2), since erf is taken of x / sqrt(2), and the polynomial
  to = write(to, 0.23164189);
  to = write(to, 1.061405429);
  to = write(to, -1.453152027);
  to = write(to, 1.421413741);
  to = write(to, -0.284496736);
  write(to, 0.254829592);
}

function write(to: usize, x: f32): usize {
  v128.store(to, splat(x));
  return to + 16;
}

/**
 * The exponential function, to a relative error of 2e-7. Where the result would be smaller than any normal number it is
 * 0, and above 2.2e38 it stays there.
 */
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  // These two return x where it is not a number.
  const clamped = f32x4.pmax(f32x4.pmin(x, v128.load(constants, 32)), v128.load(constants, 48));
  // x = n · ln 2 + r with a whole n. After 1.5 · 2²³ was added, the last bits of the sum are those of n.
  const bits = madd(clamped, v128.load(constants, 64), v128.load(constants, 80));
  const n = f32x4.sub(bits, v128.load(constants, 80));
  // The logarithm is in two parts, of which the first has few digits, so that its product with n is exact.
  let r = f32x4.relaxed_nmadd(n, v128.load(constants, 96), clamped);
  r = f32x4.relaxed_nmadd(n, v128.load(constants, 112), r);
  let p = madd(v128.load(constants, 128), r, v128.load(constants, 144));
  p = madd(p, r, v128.load(constants, 160));
  p = madd(p, r, v128.load(constants, 176));
  p = madd(p, r, v128.load(constants, 192));
  p = madd(p, r, v128.load(constants, 208));
  p = f32x4.add(madd(p, f32x4.mul(r, r), r), one());
  // The bits of 1 with n added to the exponent are those of 2ⁿ.
  const y = f32x4.mul(p, i32x4.add(i32x4.shl(bits, 23), one()));
  return v128.andnot(y, f32x4.lt(x, v128.load(constants, 48)));
}

/** 1 / (1 + exp(-x)) */
// @ts-ignore: decorator
@inline
export function sigmoid(x: v128): v128 {
  return f32x4.div(one(), f32x4.add(one(), exp(f32x4.neg(x))));
}

/** The derivative of x · sigmoid(x), given x and its sigmoid. */
// @ts-ignore: decorator
@inline
export function siluSlope(x: v128, gate: v128): v128 {
  return f32x4.mul(gate, madd(x, f32x4.sub(one(), gate), one()));
}

/**
 * The distribution function of the normal distribution, to 1e-7, given x and exp(-x²/2) (Abramowitz and Stegun 1964,
 * 7.1.26).
 */
// @ts-ignore: decorator
@inline
export function normalProbability(x: v128, bell: v128): v128 {
  const t = f32x4.div(one(), madd(f32x4.abs(x), v128.load(constants, 224), one()));
  let p = madd(v128.load(constants, 240), t, v128.load(constants, 256));
  p = madd(p, t, v128.load(constants, 272));
  p = madd(p, t, v128.load(constants, 288));
  p = madd(p, t, v128.load(constants, 304));
  const tail = f32x4.mul(f32x4.mul(f32x4.mul(p, t), bell), half());
  return v128.bitselect(tail, f32x4.sub(one(), tail), f32x4.lt(x, splat(0)));
}

/** exp(-x²/2) */
// @ts-ignore: decorator
@inline
export function bell(x: v128): v128 {
  return exp(f32x4.neg(f32x4.mul(f32x4.mul(x, x), half())));
}

/** The natural logarithm of a normal number above 0, to 1e-7. The compiler's own one needs tables in memory. */
export function log(x: f32): f32 {
  const bits = reinterpret<u32>(x);
  // x = 2ᵉ · (1 + f), with 1 + f between the root of a half and that of 2.
  let exponent = <i32>(bits >> 23) - 126;
  let f = reinterpret<f32>((bits & 0x7fffff) | 0x3f000000);
  if (f < <f32>0.70710678) {
    exponent--;
    f += f;
  }
  f -= 1;
  let p: f32 = 7.0376836292e-2;
  p = p * f - <f32>1.1514610310e-1;
  p = p * f + <f32>1.1676998740e-1;
  p = p * f - <f32>1.2420140846e-1;
  p = p * f + <f32>1.4249322787e-1;
  p = p * f - <f32>1.6668057665e-1;
  p = p * f + <f32>2.0000714765e-1;
  p = p * f - <f32>2.4999993993e-1;
  p = p * f + <f32>3.3333331174e-1;
  const e = <f32>exponent, square = f * f;
  return e * <f32>0.693359375 + (f + (p * f * square - e * <f32>2.12194440e-4 - <f32>0.5 * square));
}
