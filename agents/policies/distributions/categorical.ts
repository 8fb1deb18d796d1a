import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { Random } from '../../../core/random.js';
import type { Discrete } from '../../../envs/spaces/discrete.js';
import type { ActionDistribution, Draw, Place, Scores, Slopes } from './distribution.js';

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

/** ln Σ exp of `n` logits from a place on. */
function logSumExp(logits: Float32Array, from: number, n: number): number {
  let top = logits[from]!;
  for (let i = 1; i < n; i++) top = Math.max(top, logits[from + i]!);
  let sum = 0;
  for (let i = 0; i < n; i++) sum += Math.exp(logits[from + i]! - top);
  return top + Math.log(sum);
}

/** The same of one softmax on plain arrays: adds to `scores`. */
export function scoreCategory(logits: Float32Array, from: number, n: number, drawn: number, scores: Scores): void {
  const total = logSumExp(logits, from, n);
  scores.logProb += logits[from + drawn]! - total;
  for (let i = 0; i < n; i++) {
    const logProb = logits[from + i]! - total;
    scores.entropy -= Math.exp(logProb) * logProb;
  }
}

/** Its way back: ∂ ln p_a / ∂l_i = [i = a] − p_i, ∂H / ∂l_i = −p_i (ln p_i + H). */
export function categoryGradient(
  logits: Float32Array,
  from: number,
  n: number,
  drawn: number,
  by: Readonly<Scores>,
  slopes: Float32Array,
): void {
  const total = logSumExp(logits, from, n);
  let entropy = 0;
  if (by.entropy !== 0)
    for (let i = 0; i < n; i++) {
      const logProb = logits[from + i]! - total;
      entropy -= Math.exp(logProb) * logProb;
    }
  for (let i = 0; i < n; i++) {
    const logProb = logits[from + i]! - total;
    const probability = Math.exp(logProb);
    slopes[from + i] =
      by.logProb * (Number(i === drawn) - probability) - by.entropy * probability * (logProb + entropy);
  }
}

/** KL of two softmaxes: Σ π (ln π − ln π_ref). */
export function categoricalKl(logits: Tensor2D, reference: Tensor2D): Tensor1D {
  const logProbs = logits.logSoftmax();
  return logProbs.exp().mul(logProbs.sub(reference.logSoftmax())).sum<Tensor1D>(1);
}

/** Columns side by side as matrices of so many columns. TensorFlow.js has no gradient of a split into one part. */
export function splitColumns(x: Tensor2D, widths: number[]): Tensor2D[] {
  return widths.length === 1 ? [x] : tf.split(x, widths, 1);
}

/** A softmax over the values of a `Discrete` space. */
export class Categorical implements ActionDistribution<number> {
  readonly inputs: number;
  readonly width = 1;
  readonly parameters = new Map();
  readonly hasEntropy = true;
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

  score({ outputs, output, draws, draw }: Place, scores: Scores): void {
    scoreCategory(outputs, output, this.inputs, draws[draw]!, scores);
  }

  scoreGradient({ outputs, output, draws, draw }: Place, by: Readonly<Scores>, slopes: Slopes): void {
    categoryGradient(outputs, output, this.inputs, draws[draw]!, by, slopes.outputs);
  }

  keepReference(): void {}

  kl(outputs: Tensor2D, reference: Tensor2D): Tensor1D {
    return categoricalKl(outputs, reference);
  }

  dispose(): void {}
}
