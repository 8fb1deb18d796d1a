import type { NdArray } from '../../core/ndarray.js';
import { normalizedEntropy } from './rules.js';

/** How often predictions are right. */
export interface Accuracy {
  /** The share of all samples. */
  readonly overall: number;
  /** The mean over classes of the share of each class's samples; of classes that have some. */
  readonly perClass: number;
}

/** @param predictions, @param labels [N] */
export function accuracyOf(predictions: ArrayLike<number>, labels: ArrayLike<number>, classes: number): Accuracy {
  const matrix = confusion(predictions, labels, classes);
  let right = 0;
  const shares: number[] = [];
  for (let c = 0; c < classes; c++) {
    const row = matrix.slice(c * classes, (c + 1) * classes);
    const count = row.reduce((a, b) => a + b, 0);
    right += row[c]!;
    if (count > 0) shares.push(row[c]! / count);
  }
  return {
    overall: right / labels.length,
    perClass: shares.reduce((a, b) => a + b, 0) / shares.length,
  };
}

/** How many samples of each class (row) were taken for each class (column), [C · C] row-major. */
export function confusion(predictions: ArrayLike<number>, labels: ArrayLike<number>, classes: number): number[] {
  const matrix = new Array<number>(classes * classes).fill(0);
  for (let i = 0; i < labels.length; i++) matrix[labels[i]! * classes + predictions[i]!]!++;
  return matrix;
}

/** Entropies of predictions, as shares of log C. */
export interface Information {
  /** Of the mean prediction: 1 where all classes are predicted equally often. */
  readonly meanPrediction: number;
  /** The mean over the predictions: 0 where each is certain. */
  readonly prediction: number;
  /** Their difference, from −1 to 1: certain of each sample, and undecided among all (information maximisation). */
  readonly score: number;
}

/** @param probs [N, C] */
export function informationOf(probs: NdArray<Float32Array>): Information {
  const [rows, classes] = probs.shape as [number, number];
  const mean = new Float32Array(classes);
  for (let i = 0; i < probs.data.length; i++) mean[i % classes]! += probs.data[i]! / rows;
  const meanPrediction = normalizedEntropy({ data: mean, shape: [1, classes] })[0]!;
  const prediction = normalizedEntropy(probs).reduce((a, b) => a + b, 0) / rows;
  return { meanPrediction, prediction, score: meanPrediction - prediction };
}

/** Sums and counts over an epoch, for shares and means. */
export class Tally {
  #sums: Record<string, [sum: number, count: number]> = {};

  add(name: string, value: number, count = 1): void {
    const entry = this.#sums[name];
    if (entry === undefined) this.#sums[name] = [value, count];
    else {
      entry[0] += value;
      entry[1] += count;
    }
  }

  /** The mean of what was added under a name; undefined where nothing was. */
  mean(name: string): number | undefined {
    const [sum, count] = this.#sums[name] ?? [0, 0];
    return count > 0 ? sum / count : undefined;
  }

  /** Every mean by its name. */
  means(): Record<string, number> {
    return Object.fromEntries(
      Object.keys(this.#sums).flatMap((name) => {
        const mean = this.mean(name);
        return mean === undefined ? [] : [[name, mean]];
      }),
    );
  }

  snapshot(): Record<string, number[]> {
    return Object.fromEntries(Object.entries(this.#sums).map(([name, entry]) => [name, [...entry]]));
  }

  restore(sums: Record<string, number[]>): void {
    this.#sums = Object.fromEntries(Object.entries(sums).map(([name, [sum, count]]) => [name, [sum!, count!]]));
  }
}
