import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { Random } from '../../../core/random.js';
import type { Discrete } from '../../../envs/spaces/discrete.js';
import type { ActionDistribution, Draw } from './distribution.js';

/** Draws one of the values of a softmax, or takes the likeliest. @returns its index and its log-probability. */
export function drawCategory(
  logits: Float32Array,
  explore: boolean,
  random: Random,
): { index: number; logProb: number } {
  const n = logits.length;
  const top = logits.reduce((a, b) => Math.max(a, b));
  const weights = Array.from(logits, (l) => Math.exp(l - top));
  const total = weights.reduce((a, b) => a + b, 0);
  let index = logits.indexOf(top);
  if (explore) {
    // The inverse of the cumulative distribution; the last value takes what rounding leaves.
    let left = random.next() * total - weights[0]!;
    for (index = 0; left >= 0 && index < n - 1; index++) left -= weights[index + 1]!;
  }
  return { index, logProb: Math.log(weights[index]! / total) };
}

/** Log-probability of the drawn values, and entropy, of a softmax over `n` logits a row. */
export function scoreCategories(logits: Tensor2D, drawn: Tensor1D): { logProb: Tensor1D; entropy: Tensor1D } {
  const n = logits.shape[1];
  const logProbs = logits.logSoftmax();
  const taken = drawn.toInt();
  // `tf.oneHot` wants at least two classes; the one value of `Discrete(1)` is the first of two.
  const hot = n > 1 ? tf.oneHot(taken, n) : tf.oneHot(taken, 2).slice([0, 0], [-1, 1]);
  const logProb = logProbs.mul(hot).sum<Tensor1D>(1);
  return { logProb, entropy: logProbs.exp().mul(logProbs).sum<Tensor1D>(1).neg() };
}

/** KL of two softmaxes: Σ π (ln π − ln π_ref). */
export function categoricalKl(logits: Tensor2D, reference: Tensor2D): Tensor1D {
  const logProbs = logits.logSoftmax();
  return logProbs.exp().mul(logProbs.sub(reference.logSoftmax())).sum<Tensor1D>(1);
}

/** A softmax over the values of a `Discrete` space. */
export class Categorical implements ActionDistribution<number> {
  readonly inputs: number;
  readonly width = 1;
  readonly parameters = new Map();
  readonly #start: number;

  constructor(space: Discrete) {
    this.inputs = space.n;
    this.#start = space.start;
  }

  sample(
    outputs: Float32Array,
    _own: ReadonlyMap<string, Float32Array>,
    explore: boolean,
    random: Random,
    into: Float32Array,
  ): Draw<number> {
    const { index, logProb } = drawCategory(outputs, explore, random);
    into[0] = index;
    return { action: index + this.#start, logProb };
  }

  encode(action: number, into: Float32Array): void {
    into[0] = action - this.#start;
  }

  evaluate(outputs: Tensor2D, draws: Tensor2D): { logProb: Tensor1D; entropy: Tensor1D } {
    return scoreCategories(outputs, draws.squeeze<Tensor1D>([1]));
  }

  keepReference(): void {}

  kl(outputs: Tensor2D, reference: Tensor2D): Tensor1D {
    return categoricalKl(outputs, reference);
  }

  dispose(): void {}
}
