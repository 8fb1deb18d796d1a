import seedrandom from 'seedrandom';
import { GymError } from './errors.js';
import { shown } from './shown.js';

/** What a {@link Random} needs to go on where it was: plain JSON. */
export interface RandomState {
  readonly seed: string;
  readonly alea: object;
  /** The second normal of a pair that was drawn but not handed out. */
  readonly spare: number | null;
}

/**
 * A stream of random numbers on seedrandom's Alea: one seed, one result. Everything random in a run draws from a child
 * of the run's one stream, made by name, so that adding a draw in one place changes nothing in another.
 */
export class Random {
  readonly seed: string;
  #generator: seedrandom.StatefulPRNG<seedrandom.State.Alea>;
  #spare: number | null = null;

  /** @param seed any integer or text; 1 and '1' are the same stream. */
  constructor(seed: number | string) {
    if (typeof seed === 'number' && !Number.isInteger(seed))
      throw new GymError('E_VALUE', `Random: a numeric seed must be an integer, actual value ${seed}.`);
    this.seed = String(seed);
    this.#generator = seedrandom.alea(this.seed, { state: true }) as seedrandom.StatefulPRNG<seedrandom.State.Alea>;
  }

  /** An independent stream, fixed by this stream's seed and the name; how much was drawn from this one does not matter. */
  child(name: string | number): Random {
    return new Random(`${this.seed}/${name}`);
  }

  /** Uniform in [0, 1), 53 bits. */
  next(): number {
    return this.#generator.double();
  }

  /** Uniform in [low, high). */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * this.#generator.double();
  }

  /** Uniform among 0 .. n−1. */
  integer(n: number): number {
    if (!(n >= 1)) throw new GymError('E_VALUE', `Random.integer: n must be at least 1, actual value ${n}.`);
    return Math.floor(this.#generator.double() * n);
  }

  /** Standard normal (Marsaglia's polar method; one pair serves two calls). */
  normal(): number {
    if (this.#spare !== null) {
      const value = this.#spare;
      this.#spare = null;
      return value;
    }
    let u: number;
    let v: number;
    let s: number;
    do {
      u = 2 * this.#generator() - 1;
      v = 2 * this.#generator() - 1;
      s = u * u + v * v;
    } while (s >= 1 || s === 0);
    const scale = Math.sqrt((-2 * Math.log(s)) / s);
    this.#spare = v * scale;
    return u * scale;
  }

  /** `n` standard normals in float32. */
  normals(n: number, into = new Float32Array(n)): Float32Array {
    for (let i = 0; i < n; i++) into[i] = this.normal();
    return into;
  }

  /** One element of a list. */
  choice<T>(list: readonly T[]): T {
    if (list.length === 0) throw new GymError('E_VALUE', 'Random.choice: the list is empty.');
    return list[this.integer(list.length)]!;
  }

  /** 0 .. n−1 in random order (Fisher–Yates). */
  permutation(n: number): Int32Array {
    const order = Int32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const t = order[i]!;
      order[i] = order[j]!;
      order[j] = t;
    }
    return order;
  }

  /** Everything needed to go on from here, as plain JSON. */
  state(): RandomState {
    return { seed: this.seed, alea: this.#generator.state() as object, spare: this.#spare };
  }

  /**
   * A stream that goes on where `state` was taken.
   * @throws GymError E_STATE on what no stream can have been: its numbers would be no random ones, and might have no end.
   */
  static restore(state: RandomState): Random {
    if (!isState(state))
      throw new GymError(
        'E_STATE',
        `Random.restore: ${shown(state)} is the state of no stream; it is damaged: restore what state() gave.`,
      );
    const random = new Random(state.seed);
    random.#generator = seedrandom.alea('', {
      state: state.alea as seedrandom.State.Alea,
    }) as seedrandom.StatefulPRNG<seedrandom.State.Alea>;
    random.#spare = state.spare;
    return random;
  }
}

/** Alea's multiplier, which its carry stays below. */
const multiplier = 2091639;

/**
 * Whether these are numbers that Alea (Baagøe's multiply-with-carry generator) reaches: three fractions of 32 bits and a
 * carry. At all 0, and at all as large as they can be, it would give the same number for ever.
 */
function isState(state: unknown): state is RandomState {
  const { seed, alea, spare } = (state ?? {}) as Partial<RandomState>;
  const { c, s0, s1, s2 } = (alea ?? {}) as Readonly<Record<string, unknown>>;
  const carries = typeof c === 'number' && Number.isInteger(c) && c >= 0 && c < multiplier;
  const words = [s0, s1, s2].map((s) => (typeof s === 'number' ? s * 2 ** 32 : Number.NaN));
  const stuck = (word: number, carry: number) => c === carry && words.every((w) => w === word);
  return (
    typeof seed === 'string' &&
    (spare === null || (typeof spare === 'number' && Number.isFinite(spare))) &&
    carries &&
    words.every((word) => Number.isInteger(word) && word >= 0 && word < 2 ** 32) &&
    !stuck(0, 0) &&
    !stuck(2 ** 32 - 1, multiplier - 1)
  );
}
