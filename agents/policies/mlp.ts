import type { Tensor2D, Variable } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { Random } from '../../core/random.js';

export interface MlpOptions {
  /** Units of the hidden layers. Default [64, 64]. */
  hidden?: readonly number[];
  activation?: 'tanh' | 'relu';
}

interface Layer {
  /** [inputs, outputs] */
  readonly kernel: Variable;
  /** [outputs] */
  readonly bias: Variable;
}

/** A fully connected network. */
export class Mlp {
  readonly parameters: ReadonlyMap<string, Variable>;
  readonly #name: string;
  readonly #layers: readonly Layer[];
  readonly #activation: 'tanh' | 'relu';

  private constructor(name: string, layers: readonly Layer[], activation: 'tanh' | 'relu') {
    this.#name = name;
    this.#layers = layers;
    this.#activation = activation;
    this.parameters = new Map(
      layers.flatMap(({ kernel, bias }, i) => [
        [`${name}.${i}.weight`, kernel] as const,
        [`${name}.${i}.bias`, bias] as const,
      ]),
    );
  }

  /**
   * Makes one with orthogonal weights and zero biases, as stable-baselines3 starts its `MlpPolicy`.
   * @param outputGain scale of the last layer's weights: 0.01 for a policy (nearly uniform at the start), 1 for a value.
   */
  static create(
    name: string,
    inputs: number,
    outputs: number,
    outputGain: number,
    { hidden = [64, 64], activation = 'tanh' }: MlpOptions,
    random: Random,
  ): Mlp {
    const sizes = [inputs, ...hidden, outputs];
    const layers: Layer[] = [];
    for (let i = 0; i + 1 < sizes.length; i++) {
      const rows = sizes[i]!;
      const columns = sizes[i + 1]!;
      const gain = i + 2 === sizes.length ? outputGain : Math.SQRT2;
      const kernel = tf.tidy(() => tf.variable(tf.tensor2d(orthogonal(rows, columns, gain, random), [rows, columns])));
      const bias = tf.tidy(() => tf.variable(tf.zeros([columns])));
      layers.push({ kernel, bias });
    }
    return new Mlp(name, layers, activation);
  }

  /** A network with the same weights in variables of its own, which the caller disposes of. */
  clone(): Mlp {
    const copied = (variable: Variable) => tf.tidy(() => tf.variable(variable.clone()));
    const layers = this.#layers.map(({ kernel, bias }) => ({ kernel: copied(kernel), bias: copied(bias) }));
    return new Mlp(this.#name, layers, this.#activation);
  }

  dispose(): void {
    tf.dispose([...this.parameters.values()]);
  }

  /** [b, inputs] → [b, outputs]; differentiable. */
  apply(x: Tensor2D): Tensor2D {
    return tf.tidy(() => {
      let h = x;
      this.#layers.forEach(({ kernel, bias }, i) => {
        h = h.matMul<Tensor2D>(kernel as unknown as Tensor2D).add(bias);
        if (i + 1 < this.#layers.length) h = this.#activation === 'tanh' ? h.tanh() : h.relu();
      });
      return h;
    });
  }
}

/** Weights [rows, columns] of which the rows (or columns, whichever are fewer) are orthogonal and of length `gain`: Gram–Schmidt on Gaussian vectors. */
export function orthogonal(rows: number, columns: number, gain: number, random: Random): Float32Array {
  const count = Math.min(rows, columns);
  const length = Math.max(rows, columns);
  const vectors: Float64Array[] = [];
  while (vectors.length < count) {
    const v = Float64Array.from({ length }, () => random.normal());
    for (const u of vectors) {
      let dot = 0;
      for (let i = 0; i < length; i++) dot += u[i]! * v[i]!;
      for (let i = 0; i < length; i++) v[i]! -= dot * u[i]!;
    }
    // A call cannot take as many arguments as a flattened picture has numbers.
    const norm = length < 10_000 ? Math.hypot(...v) : Math.sqrt(v.reduce((sum, x) => sum + x * x, 0));
    vectors.push(v.map((x) => x / norm));
  }
  const out = new Float32Array(rows * columns);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++)
      out[r * columns + c] = gain * (rows < columns ? vectors[r]![c]! : vectors[c]![r]!);
  return out;
}
