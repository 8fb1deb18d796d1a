import { GymError } from '../core/errors.js';
import { shown } from '../core/shown.js';

const M32 = 0xffff_ffffn;
const M64 = 0xffff_ffff_ffff_ffffn;
const M128 = (1n << 128n) - 1n;
/** PCG64's multiplier (O'Neill 2014, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms"). */
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;

/**
 * The state of a {@link NumpyRandom}: PCG64's 128-bit state and increment in hexadecimal, and the unused half of a
 * 64-bit draw.
 */
export interface NumpyRandomState {
  readonly pcg64: { readonly state: string; readonly increment: string };
  readonly half: number | null;
}

/**
 * NumPy's `SeedSequence(entropy).generate_state(4, uint64)` (numpy/random/bit_generator.pyx, after O'Neill's seed_seq):
 * hashes 32-bit words into a pool of four and hashes the pool out again.
 */
function seedSequence(entropy: bigint): bigint[] {
  const words: number[] = [];
  for (let rest = entropy; rest > 0n || words.length === 0; rest >>= 32n) words.push(Number(rest & M32));
  let constant = 0x43b0d7e5;
  const hash = (word: number, multiplier: number): number => {
    word = (word ^ constant) >>> 0;
    constant = Math.imul(constant, multiplier) >>> 0;
    word = Math.imul(word, constant) >>> 0;
    return (word ^ (word >>> 16)) >>> 0;
  };
  const mix = (x: number, y: number): number => {
    const mixed = (Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y)) >>> 0;
    return (mixed ^ (mixed >>> 16)) >>> 0;
  };
  const pool = [0, 1, 2, 3].map((i) => hash(words[i] ?? 0, 0x931e8875));
  for (let from = 0; from < 4; from++)
    for (let to = 0; to < 4; to++) if (from !== to) pool[to] = mix(pool[to]!, hash(pool[from]!, 0x931e8875));
  for (let from = 4; from < words.length; from++)
    for (let to = 0; to < 4; to++) pool[to] = mix(pool[to]!, hash(words[from]!, 0x931e8875));
  constant = 0x8b51f9dd;
  const out = Array.from({ length: 8 }, (_, i) => BigInt(hash(pool[i % 4]!, 0x58f38ded)));
  return [0, 1, 2, 3].map((i) => out[2 * i]! | (out[2 * i + 1]! << 32n));
}

/** Tables of a ziggurat of 256 strips (Marsaglia and Tsang 2000), as NumPy has them in ziggurat_constants.h. */
interface Ziggurat {
  /** A draw below this value lies inside the strip's rectangle, and is accepted without further tests. */
  readonly k: Float64Array;
  /** The factor that turns a draw into the coordinate x. */
  readonly w: Float64Array;
  /** The density at the strip's edge. */
  readonly f: Float64Array;
}

function ziggurat(
  r: number,
  area: number,
  bits: number,
  density: (x: number) => number,
  inverse: (y: number) => number,
): Ziggurat {
  const [k, w, f] = [new Float64Array(256), new Float64Array(256), new Float64Array(256)];
  const scale = 2 ** bits;
  let above = r;
  w[255] = r / scale;
  f[255] = density(r);
  k[0] = Math.floor((r * f[255]! * scale) / area);
  w[0] = area / f[255]! / scale;
  f[0] = 1;
  for (let i = 254; i > 0; i--) {
    const x = inverse(area / above + f[i + 1]!);
    k[i + 1] = Math.floor((x / above) * scale);
    w[i] = x / scale;
    f[i] = density(x);
    above = x;
  }
  return { k, w, f };
}

const NORMAL_R = 3.654152885361009;
const EXPONENTIAL_R = 7.69711747013105;
let tables: { normal: Ziggurat; exponential: Ziggurat } | undefined;

function ziggurats(): { normal: Ziggurat; exponential: Ziggurat } {
  tables ??= {
    normal: ziggurat(
      NORMAL_R,
      0.004928673233974655, // r·exp(−r²/2) + √(π/2)·erfc(r/√2)
      52,
      (x) => Math.exp(-0.5 * x * x),
      (y) => Math.sqrt(-2 * Math.log(y)),
    ),
    exponential: ziggurat(
      EXPONENTIAL_R,
      (EXPONENTIAL_R + 1) * Math.exp(-EXPONENTIAL_R),
      53,
      (x) => Math.exp(-x),
      (y) => -Math.log(y),
    ),
  };
  return tables;
}

/**
 * NumPy's `default_rng(seed)`: PCG64 (XSL-RR 128/64) seeded through a SeedSequence, with the draws that spaces and
 * environments make. The same seed gives the numbers that NumPy gives.
 */
export class NumpyRandom {
  #state: bigint;
  #increment: bigint;
  /** The high half of a 64-bit draw whose low half has been used, which the next 32-bit draw uses. */
  #half: number | null = null;

  /** @param seed an integer of at least 0 (numpy.random.SeedSequence takes no other). @throws GymError E_VALUE. */
  constructor(seed: number | bigint | string) {
    const entropy = typeof seed === 'number' && !Number.isSafeInteger(seed) ? -1n : toEntropy(seed);
    if (entropy < 0n)
      throw new GymError(
        'E_VALUE',
        `NumpyRandom: a seed must be an integer of at least 0, actual value ${String(seed)}.`,
      );
    const [s0, s1, i0, i1] = seedSequence(entropy) as [bigint, bigint, bigint, bigint];
    this.#increment = ((((i0 << 64n) | i1) << 1n) | 1n) & M128;
    this.#state = this.#increment; // As pcg64_srandom does: step from state 0, add the seed, and step again.
    this.#state = (this.#state + ((s0 << 64n) | s1)) & M128;
    this.#advance();
  }

  #advance(): void {
    this.#state = (this.#state * MULTIPLIER + this.#increment) & M128;
  }

  /** 64 random bits. */
  uint64(): bigint {
    this.#advance();
    const state = this.#state;
    const x = ((state >> 64n) ^ state) & M64;
    const rotation = state >> 122n;
    return ((x >> rotation) | (x << (64n - rotation))) & M64;
  }

  /** 32 random bits. Each 64-bit draw serves two calls: the first gets its low half, the second its high half. */
  uint32(): number {
    if (this.#half !== null) {
      const half = this.#half;
      this.#half = null;
      return half;
    }
    const draw = this.uint64();
    this.#half = Number(draw >> 32n);
    return Number(draw & M32);
  }

  /** `Generator.random()`: uniform in [0, 1). */
  next(): number {
    return Number(this.uint64() >> 11n) / 2 ** 53;
  }

  /** `Generator.uniform(low, high)`. */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * this.next();
  }

  /** `Generator.integers(n)`, by Lemire's method. @param n from 1 to 2^53. */
  integer(n: number): number {
    if (!(Number.isSafeInteger(n) && n >= 1))
      throw new GymError('E_VALUE', `NumpyRandom.integer: n must be an integer of at least 1, actual value ${n}.`);
    if (n === 1) return 0;
    const wide = n > 2 ** 32;
    if (n === 2 ** 32) return this.uint32();
    const bits = wide ? 64n : 32n;
    const mask = wide ? M64 : M32;
    const draw = wide ? () => this.uint64() : () => BigInt(this.uint32());
    const big = BigInt(n);
    let m = draw() * big;
    if ((m & mask) < big) {
      const threshold = ((1n << bits) - big) % big;
      while ((m & mask) < threshold) m = draw() * big;
    }
    return Number(m >> bits);
  }

  /** `Generator.integers(0, 2, size, dtype=int8)`: the top bit of each byte of 32-bit draws, low byte first. */
  bits(n: number): Uint8Array {
    const out = new Uint8Array(n);
    let word = 0;
    for (let i = 0; i < n; i++) {
      if (i % 4 === 0) word = this.uint32();
      out[i] = (word >>> 7) & 1;
      word >>>= 8;
    }
    return out;
  }

  /** `Generator.standard_normal()` (ziggurat). */
  normal(): number {
    const { k, w, f } = ziggurats().normal;
    for (;;) {
      const draw = this.uint64();
      const strip = Number(draw & 0xffn);
      const magnitude = (draw >> 9n) & 0xf_ffff_ffff_ffffn;
      const size = Number(magnitude);
      const x = (draw >> 8n) & 1n ? -size * w[strip]! : size * w[strip]!;
      if (size < k[strip]!) return x;
      if (strip > 0) {
        if ((f[strip - 1]! - f[strip]!) * this.next() + f[strip]! < Math.exp(-0.5 * x * x)) return x;
        continue;
      }
      for (;;) {
        const xx = -Math.log1p(-this.next()) / NORMAL_R;
        const yy = -Math.log1p(-this.next());
        if (yy + yy > xx * xx) return (magnitude >> 8n) & 1n ? -(NORMAL_R + xx) : NORMAL_R + xx;
      }
    }
  }

  /** `Generator.standard_exponential()` (ziggurat). */
  exponential(): number {
    const { k, w, f } = ziggurats().exponential;
    for (;;) {
      const draw = this.uint64() >> 3n;
      const strip = Number(draw & 0xffn);
      const size = Number(draw >> 8n);
      const x = size * w[strip]!;
      if (size < k[strip]!) return x;
      if (strip === 0) return EXPONENTIAL_R - Math.log1p(-this.next());
      if ((f[strip - 1]! - f[strip]!) * this.next() + f[strip]! < Math.exp(-x)) return x;
    }
  }

  state(): NumpyRandomState {
    return { pcg64: { state: this.#state.toString(16), increment: this.#increment.toString(16) }, half: this.#half };
  }

  /**
   * A stream that gives the numbers which follow after `state` was taken.
   * @throws GymError E_STATE unless it is the state of such a stream: 128 bits, an odd increment of 128 bits, and 32
   *   bits.
   */
  static restore(state: NumpyRandomState): NumpyRandom {
    const { pcg64, half } = (state ?? {}) as Partial<NumpyRandomState>;
    const [position, increment] = [pcg64?.state, pcg64?.increment].map(hexadecimal);
    const isHalf = typeof half === 'number' && Number.isInteger(half) && half >= 0 && half < 2 ** 32;
    if (position === undefined || increment === undefined || increment % 2n === 0n || !(half === null || isHalf))
      throw new GymError(
        'E_STATE',
        `NumpyRandom.restore: ${shown(state)} is the state of no stream; it is damaged: restore what state() gave.`,
      );
    const random = new NumpyRandom(0);
    random.#state = position;
    random.#increment = increment;
    random.#half = half;
    return random;
  }
}

/** The number of at most 128 bits that a text says in hexadecimal, as {@link NumpyRandom.state} writes it. */
function hexadecimal(text: unknown): bigint | undefined {
  return typeof text === 'string' && /^[\da-f]{1,32}$/.test(text) ? BigInt(`0x${text}`) : undefined;
}

function toEntropy(seed: number | bigint | string): bigint {
  if (typeof seed === 'string') return /^\d+$/.test(seed) ? BigInt(seed) : -1n;
  return BigInt(seed);
}
