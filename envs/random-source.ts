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

/** A stream of random numbers, from which spaces and environments draw. */
export interface RandomSource {
  /** A number uniform in [0, 1), of 53 random bits. */
  next(): number;
  /** A number uniform in [low, high); by default in [0, 1). */
  uniform(low?: number, high?: number): number;
  /** An integer, each of 0 .. n−1 equally likely. */
  integer(n: number): number;
  /** A number from the standard normal distribution. */
  normal(): number;
  state(): RandomSourceState;
}

/** The state of a stream, as plain JSON: {@link restoreRandomSource} goes on from it. */
export type RandomSourceState = RandomState | NumpyRandomState;

/**
 * Makes a stream of random numbers.
 * @param seed an integer of at least 0; for `seedrandom` text as well. Without a seed the stream begins at random, from
 *   the machine's entropy, as in Gymnasium.
 * @throws GymError E_VALUE on another seed or an unknown kind.
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
 * A stream that gives the numbers which follow after `state` was taken.
 * @throws GymError E_STATE when that is the state of no stream.
 */
export function restoreRandomSource(state: RandomSourceState): RandomSource {
  if (typeof state === 'object' && state !== null) {
    if ('pcg64' in state) return NumpyRandom.restore(state);
    if ('alea' in state) return Random.restore(state);
  }
  throw new GymError('E_STATE', `random state: ${shown(state)} is the state of no stream; restore what state() gave.`);
}

/** A number from the exponential distribution with mean 1. */
export function exponential(random: RandomSource): number {
  return random instanceof NumpyRandom ? random.exponential() : -Math.log1p(-random.next());
}

/** n values, each 0 or 1 with equal probability. */
export function bits(random: RandomSource, n: number): Uint8Array {
  return random instanceof NumpyRandom ? random.bits(n) : Uint8Array.from({ length: n }, () => random.integer(2));
}

/** An index 0 .. p.length−1 drawn with these probabilities, which sum to 1, in the way of `numpy.random.choice`. */
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
