import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import type { NdArray } from '../../../core/ndarray.js';
import type { Random } from '../../../core/random.js';
import type { MultiBinary } from '../../../envs/spaces/multi-binary.js';
import type { ActionDistribution, Draw, Place, Scores, Slopes } from './distribution.js';

/** ln(1 + e^x) without overflow, as a number. */
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** Independent coins, one for each number of a `MultiBinary`: an output x gives 1 with probability σ(x). */
export class Bernoulli implements ActionDistribution<NdArray> {
  readonly inputs: number;
  readonly width: number;
  readonly parameters = new Map();
  readonly hasEntropy = true;
  readonly #shape: readonly number[];

  constructor(space: MultiBinary) {
    this.#shape = space.shape;
    this.inputs = this.width = space.flat.size;
  }

  sample(
    outputs: Float32Array,
    _own: ReadonlyMap<string, Float32Array>,
    explore: boolean,
    random: Random,
    into: Float32Array,
  ): Draw<NdArray> {
    const data = new Int8Array(this.width);
    let logProb = 0;
    for (let k = 0; k < this.width; k++) {
      const x = outputs[k]!;
      data[k] = Number(explore ? random.next() < sigmoid(x) : x > 0);
      into[k] = data[k]!;
      // ln σ(x) = −softplus(−x), ln(1 − σ(x)) = −softplus(x)
      logProb -= softplus(data[k] === 1 ? -x : x);
    }
    return { action: { data, shape: this.#shape }, logProb };
  }

  encode({ data }: NdArray, into: Float32Array): void {
    for (let k = 0; k < this.width; k++) into[k] = Number(data[k]);
  }

  evaluate(outputs: Tensor2D, draws: Tensor2D): { logProb: Tensor1D; entropy: Tensor1D } {
    const plus = outputs.softplus<Tensor2D>();
    const probability = outputs.sigmoid();
    return {
      // a ln σ + (1 − a) ln(1 − σ) = a x − softplus(x)
      logProb: draws.mul<Tensor2D>(outputs).sub(plus).sum<Tensor1D>(1),
      // −σ ln σ − (1 − σ) ln(1 − σ) = softplus(x) − σ x
      entropy: plus.sub(probability.mul(outputs)).sum<Tensor1D>(1),
    };
  }

  score({ outputs, output, draws, draw }: Place, scores: Scores): void {
    for (let k = 0; k < this.width; k++) {
      const x = outputs[output + k]!;
      const plus = softplus(x);
      scores.logProb += draws[draw + k]! * x - plus;
      scores.entropy += plus - sigmoid(x) * x;
    }
  }

  /** ∂ ln p / ∂x = a − σ, ∂H / ∂x = −x σ (1 − σ). */
  scoreGradient({ outputs, output, draws, draw }: Place, by: Readonly<Scores>, slopes: Slopes): void {
    for (let k = 0; k < this.width; k++) {
      const x = outputs[output + k]!;
      const probability = sigmoid(x);
      slopes.outputs[output + k] =
        by.logProb * (draws[draw + k]! - probability) - by.entropy * x * probability * (1 - probability);
    }
  }

  keepReference(): void {}

  /** Σ σ (x − x_ref) − softplus(x) + softplus(x_ref). */
  kl(outputs: Tensor2D, reference: Tensor2D): Tensor1D {
    return outputs
      .sigmoid()
      .mul<Tensor2D>(outputs.sub(reference))
      .sub(outputs.softplus())
      .add(reference.softplus())
      .sum<Tensor1D>(1);
  }

  dispose(): void {}
}
