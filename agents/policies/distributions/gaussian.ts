import type { Tensor1D, Tensor2D, Variable } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { type NdArray, sizeOf } from '../../../core/ndarray.js';
import type { Random } from '../../../core/random.js';
import type { Box } from '../../../envs/spaces/box.js';
import type { ActionDistribution, Draw, Place, Scores, Slopes } from './distribution.js';

const HALF_LOG_2PI = Math.log(2 * Math.PI) / 2;

/**
 * How a Gaussian draw becomes an action within the bounds of a Box:
 * - `rescale`: −1..1 is mapped onto the bounds, and what lies outside is clipped, so that a network that starts near 0 and
 *   with σ = 1 begins by exploring all of the space, whatever its bounds are;
 * - `squash`: tanh of the draw is mapped onto the bounds, which it never reaches;
 * - `clip`: the draw itself, clipped.
 * A number without both bounds is clipped to the one that it has.
 */
export type Bounds = 'rescale' | 'squash' | 'clip';

/** A diagonal Gaussian over the actions of a Box of floats, its σ independent of the state; its mode is the mean. */
export class Gaussian implements ActionDistribution<NdArray<Float32Array>> {
  readonly inputs: number;
  readonly width: number;
  readonly parameters: ReadonlyMap<string, Variable>;
  readonly hasEntropy: boolean;
  readonly #name: string;
  readonly #space: Box;
  readonly #squash: boolean;
  readonly #middle: Float64Array;
  readonly #half: Float64Array;
  readonly #logStd: Variable;
  #referenceLogStd: Tensor1D | undefined;

  /** @param name of its parameter, ln σ. */
  constructor(space: Box, bounds: Bounds, name = 'logStd') {
    this.#space = space;
    this.inputs = this.width = sizeOf(space.shape);
    this.#name = name;
    this.#squash = bounds === 'squash';
    // The entropy of a squashed Gaussian has no closed form.
    this.hasEntropy = !this.#squash;
    const { low, high, boundedBelow, boundedAbove } = space;
    const mapped = (k: number) => bounds !== 'clip' && boundedBelow[k] === 1 && boundedAbove[k] === 1;
    this.#middle = Float64Array.from({ length: this.width }, (_, k) => (mapped(k) ? low[k]! / 2 + high[k]! / 2 : 0));
    this.#half = Float64Array.from({ length: this.width }, (_, k) => (mapped(k) ? high[k]! / 2 - low[k]! / 2 : 1));
    this.#logStd = tf.tidy(() => tf.variable(tf.zeros([this.width])));
    this.parameters = new Map([[name, this.#logStd]]);
  }

  sample(
    outputs: Float32Array,
    own: ReadonlyMap<string, Float32Array>,
    explore: boolean,
    random: Random,
    into: Float32Array,
  ): Draw<NdArray<Float32Array>> {
    const [logStd] = [...own.values()];
    const { low, high, shape } = this.#space;
    const data = new Float32Array(this.width);
    // Summed in float32, as the batch of log-probabilities is.
    const sum = new Float32Array(1);
    for (let k = 0; k < this.width; k++) {
      const mean = outputs[k]!;
      const std = Math.exp(logStd![k]!);
      into[k] = explore ? mean + std * random.normal() : mean;
      const draw = into[k]!;
      sum[0]! += -(((draw - mean) / std) ** 2) / 2 - logStd![k]! - HALF_LOG_2PI;
      if (this.#squash) sum[0]! -= logSlope(draw);
      const scaled = this.#middle[k]! + this.#half[k]! * (this.#squash ? Math.tanh(draw) : draw);
      data[k] = Math.min(high[k]!, Math.max(low[k]!, scaled));
    }
    return { action: { data, shape }, logProb: sum[0]! };
  }

  encode({ data }: NdArray<Float32Array>, into: Float32Array): void {
    for (let k = 0; k < this.width; k++) {
      const unit = (data[k]! - this.#middle[k]!) / this.#half[k]!;
      into[k] = this.#squash ? Math.atanh(Math.min(1 - 1e-6, Math.max(1e-6 - 1, unit))) : unit;
    }
  }

  evaluate(outputs: Tensor2D, draws: Tensor2D): { logProb: Tensor1D; entropy?: Tensor1D } {
    const rows = outputs.shape[0];
    const z = draws.sub(outputs).div(this.#logStd.exp());
    const entropy = this.#logStd.sum().add(this.width * (HALF_LOG_2PI + 0.5));
    const logProb = z.square().div(-2).sub(this.#logStd).sub(HALF_LOG_2PI).sum<Tensor1D>(1);
    if (this.#squash) return { logProb: logProb.sub(this.#logSlopes(draws)) };
    return { logProb, entropy: tf.fill([rows], 1).mul(entropy) as Tensor1D };
  }

  score({ outputs, output, draws, draw, own }: Place, scores: Scores): void {
    const logStd = own.get(this.#name)!;
    for (let k = 0; k < this.width; k++) {
      const z = (draws[draw + k]! - outputs[output + k]!) / Math.exp(logStd[k]!);
      scores.logProb += -(z * z) / 2 - logStd[k]! - HALF_LOG_2PI;
      if (this.#squash) scores.logProb -= logSlope(draws[draw + k]!);
      scores.entropy += logStd[k]! + HALF_LOG_2PI + 0.5;
    }
  }

  /** With z = (a − μ) / σ: ∂ ln p / ∂μ = z / σ, ∂ ln p / ∂ ln σ = z² − 1, ∂H / ∂ ln σ = 1. */
  scoreGradient({ outputs, output, draws, draw, own }: Place, by: Readonly<Scores>, slopes: Slopes): void {
    const logStd = own.get(this.#name)!;
    const logStdSlopes = slopes.own.get(this.#name)!;
    for (let k = 0; k < this.width; k++) {
      const std = Math.exp(logStd[k]!);
      const z = (draws[draw + k]! - outputs[output + k]!) / std;
      slopes.outputs[output + k] = (by.logProb * z) / std;
      logStdSlopes[k]! += by.logProb * (z * z - 1) + by.entropy;
    }
  }

  keepReference(): void {
    this.#referenceLogStd?.dispose();
    this.#referenceLogStd = this.#logStd.clone() as unknown as Tensor1D;
  }

  /** Σ ln(σ_ref/σ) + (σ² + (μ − μ_ref)²) / 2σ_ref² − ½. Bounds do not change it: both draws go through the same map. */
  kl(outputs: Tensor2D, reference: Tensor2D): Tensor1D {
    const referenceLogStd = this.#referenceLogStd!;
    const variances = this.#logStd.mul(2).exp().add(outputs.sub(reference).square());
    return referenceLogStd
      .sub(this.#logStd)
      .add(variances.div(referenceLogStd.mul(2).exp().mul(2)))
      .sub(0.5)
      .sum<Tensor1D>(1);
  }

  dispose(): void {
    tf.dispose([...this.parameters.values()]);
    this.#referenceLogStd?.dispose();
  }

  /** Σ ln(1 − tanh²(u)) = Σ 2 (ln 2 − u − softplus(−2u)): the change of density by tanh. */
  #logSlopes(draws: Tensor2D): Tensor1D {
    return draws.add(draws.mul(-2).softplus()).sub(Math.LN2).mul(-2).sum<Tensor1D>(1);
  }
}

/** ln(1 − tanh²(u)), in a form that neither overflows nor cancels. */
function logSlope(u: number): number {
  const x = -2 * u;
  const softplus = Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  return 2 * (Math.LN2 - u - softplus);
}
