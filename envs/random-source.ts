import { randomInt } from 'node:crypto';
import { GymError } from '../core/errors.js';
import { Random, type RandomState } from '../core/random.js';
import { shown } from '../core/shown.js';
import { NumpyRandom, type NumpyRandomState } from './numpy-random.js';

/**
 * Which numbers a seed gives: `seedrandom` is this package's own stream; `numpy` gives NumPy's (PCG64 seeded through a
 * SeedSequence), so that resets and samples equal Gymnasium's for the same seed.
 */
export type RandomKind = 'seedrandom' | 'numpy';

/** What spaces and environments draw from. */
export interface RandomSource {
  /** Uniform in [0, 1), 53 bits. */
  next(): number;
  /** Uniform in [low, high). */
  uniform(low?: number, high?: number): number;
  /** Uniform among 0 .. n−1. */
  integer(n: number): number;
  /** Standard normal. */
  normal(): number;
  state(): RandomSourceState;
}

/** Where a stream is, as plain JSON. */
export type RandomSourceState = RandomState | NumpyRandomState;

/**
 * A stream of one kind.
 * @param seed an integer of at least 0; text too for `seedrandom`. Without one, entropy of the machine (as Gymnasium).
 * @throws GymError E_VALUE on another seed.
 */
export function randomSource(
  seed: number | string = randomInt(2 ** 47),
  kind: RandomKind = 'seedrandom',
): RandomSource {
  if (typeof seed === 'number' && !(Number.isSafeInteger(seed) && seed >= 0))
    throw new GymError('E_VALUE', `seed: must be an integer of at least 0, actual value ${seed}.`);
  if (kind === 'seedrandom') return new Random(seed);
  if (kind === 'numpy') return new NumpyRandom(seed);
  throw new GymError('E_VALUE', `random: must be 'seedrandom' or 'numpy', actual value ${shown(kind)}.`);
}

/**
 * A stream that goes on where `state` was taken.
 * @throws GymError E_STATE when it is the state of no stream.
 */
export function restoreRandomSource(state: RandomSourceState): RandomSource {
  if (typeof state === 'object' && state !== null) {
    if ('pcg64' in state) return NumpyRandom.restore(state);
    if ('alea' in state) return Random.restore(state);
  }
  throw new GymError('E_STATE', `random state: ${shown(state)} is the state of no stream; restore what state() gave.`);
}

/** Exponential with mean 1. */
export function exponential(random: RandomSource): number {
  return random instanceof NumpyRandom ? random.exponential() : -Math.log1p(-random.next());
}

/** Fair bits. */
export function bits(random: RandomSource, n: number): Uint8Array {
  return random instanceof NumpyRandom ? random.bits(n) : Uint8Array.from({ length: n }, () => random.integer(2));
}

/** An index 0 .. p.length−1 with these probabilities (which sum to 1): the inverse of the cumulative sum, as `numpy.random.choice`. */
export function choiceIndex(random: RandomSource, p: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < p.length; i++) total += p[i]!;
  const u = random.next() * total;
  let sum = 0;
  let last = 0;
  for (let i = 0; i < p.length; i++) {
    if (p[i] === 0) continue;
    sum += p[i]!;
    last = i;
    if (u < sum) return i;
  }
  return last;
}
