import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { NdArray } from '../../../core/ndarray.js';
import type { Random } from '../../../core/random.js';
import type { MultiDiscrete } from '../../../envs/spaces/multi-discrete.js';
import {
  categoricalKl,
  categoryGradient,
  drawCategory,
  scoreCategories,
  scoreCategory,
  splitColumns,
} from './categorical.js';
import type { ActionDistribution, Draw, Place, Scores, Slopes } from './distribution.js';

/** Independent softmaxes, one for each number of a `MultiDiscrete`. */
export class MultiCategorical implements ActionDistribution<NdArray<Int32Array>> {
  readonly inputs: number;
  readonly width: number;
  readonly parameters = new Map();
  readonly hasEntropy = true;
  readonly #sizes: number[];
  readonly #space: MultiDiscrete;

  constructor(space: MultiDiscrete) {
    this.#space = space;
    this.#sizes = [...space.nvec];
    this.width = this.#sizes.length;
    this.inputs = this.#sizes.reduce((a, b) => a + b, 0);
  }

  sample(
    outputs: Float32Array,
    _own: ReadonlyMap<string, Float32Array>,
    explore: boolean,
    random: Random,
    into: Float32Array,
  ): Draw<NdArray<Int32Array>> {
    const data = new Int32Array(this.width);
    let sum = 0;
    let first = 0;
    this.#sizes.forEach((n, k) => {
      const { index, logProb } = drawCategory(outputs.subarray(first, first + n), explore, random);
      into[k] = index;
      data[k] = index + this.#space.start[k]!;
      sum += logProb;
      first += n;
    });
    return { action: { data, shape: this.#space.shape }, logProb: sum };
  }

  encode({ data }: NdArray<Int32Array>, into: Float32Array): void {
    for (let k = 0; k < this.width; k++) into[k] = data[k]! - this.#space.start[k]!;
  }

  evaluate(outputs: Tensor2D, draws: Tensor2D): { logProb: Tensor1D; entropy: Tensor1D } {
    const drawn = draws.split(this.width, 1) as Tensor2D[];
    const scores = this.#split(outputs).map((logits, k) => scoreCategories(logits, drawn[k]!.squeeze<Tensor1D>([1])));
    return { logProb: tf.addN(scores.map((s) => s.logProb)), entropy: tf.addN(scores.map((s) => s.entropy)) };
  }

  score({ outputs, output, draws, draw }: Place, scores: Scores): void {
    let first = output;
    this.#sizes.forEach((n, k) => {
      scoreCategory(outputs, first, n, draws[draw + k]!, scores);
      first += n;
    });
  }

  scoreGradient({ outputs, output, draws, draw }: Place, by: Readonly<Scores>, slopes: Slopes): void {
    let first = output;
    this.#sizes.forEach((n, k) => {
      categoryGradient(outputs, first, n, draws[draw + k]!, by, slopes.outputs);
      first += n;
    });
  }

  keepReference(): void {}

  kl(outputs: Tensor2D, reference: Tensor2D): Tensor1D {
    const references = this.#split(reference);
    return tf.addN(this.#split(outputs).map((logits, k) => categoricalKl(logits, references[k]!)));
  }

  dispose(): void {}

  #split(outputs: Tensor2D): Tensor2D[] {
    return splitColumns(outputs, this.#sizes);
  }
}
