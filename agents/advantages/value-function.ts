import type { Tensor1D, Tensor2D, Variable } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { Random } from '../../core/random.js';
import type { StateFeatures } from '../policy.js';

/** A linear layer whose outputs are scaled by numbers of the step's own: e_t ⊙ (W x + b). */
interface ConditionalLinear {
  /** [inputs, outputs] */
  readonly weight: Variable;
  /** [outputs] */
  readonly bias: Variable;
  /** [steps, outputs] */
  readonly embedding: Variable;
}

/**
 * V(x_t, t, z) as DPOK has it (arXiv 2305.16381 §A.5 and its released code): conditional linear layers with ReLU, scaled by
 * an embedding of the step in the chain, and a linear one. Where episodes are no chains there is one step, and this is an
 * ordinary network.
 */
export class ValueFunction {
  readonly parameters: ReadonlyMap<string, Variable>;
  readonly #layers: readonly ConditionalLinear[];
  readonly #weight: Variable;
  readonly #bias: Variable;

  /**
   * Makes one with PyTorch's starting values, as the released code's: Xavier normal W of the conditional layers, embeddings
   * in [0, 1), and ±1/√inputs for biases and the last layer.
   * @param inputs width of the features. @param chainLength how many steps there are. @param hidden widths of the layers.
   */
  constructor(
    readonly inputs: number,
    readonly chainLength: number,
    hidden: readonly number[],
    random: Random,
  ) {
    const uniform = (size: number, low: number, high: number) =>
      Float32Array.from({ length: size }, () => random.uniform(low, high));
    const variable = (data: Float32Array, shape: [number] | [number, number]) =>
      tf.tidy(() => tf.variable(tf.tensor(data, shape)));
    let width = inputs;
    this.#layers = hidden.map((outputs) => {
      const std = Math.sqrt(2 / (width + outputs));
      const bound = 1 / Math.sqrt(width);
      const layer = {
        weight: variable(
          random.normals(width * outputs).map((x) => std * x),
          [width, outputs],
        ),
        bias: variable(uniform(outputs, -bound, bound), [outputs]),
        embedding: variable(uniform(chainLength * outputs, 0, 1), [chainLength, outputs]),
      };
      width = outputs;
      return layer;
    });
    const bound = 1 / Math.sqrt(width);
    this.#weight = variable(uniform(width, -bound, bound), [width, 1]);
    this.#bias = variable(uniform(1, -bound, bound), [1]);
    this.parameters = new Map<string, Variable>([
      ...this.#layers.flatMap((layer, i) =>
        Object.entries(layer).map(([name, value]) => [`${i}.${name}`, value] as [string, Variable]),
      ),
      ['output.weight', this.#weight],
      ['output.bias', this.#bias],
    ]);
  }

  /** V of some states, differentiable in the parameters; [rows], which the caller frees. */
  apply({ features, steps }: Pick<StateFeatures, 'features' | 'steps'>): Tensor1D {
    return tf.tidy(() => {
      // The gradient of a product is a kernel that every backend has; that of gathering rows is not.
      const chosen = new Float32Array(steps.length * this.chainLength);
      steps.forEach((step, row) => {
        chosen[row * this.chainLength + step] = 1;
      });
      const oneHot = tf.tensor2d(chosen, [steps.length, this.chainLength]);
      let h = features;
      for (const { weight, bias, embedding } of this.#layers)
        h = h
          .matMul<Tensor2D>(weight as unknown as Tensor2D)
          .add<Tensor2D>(bias)
          .mul<Tensor2D>(oneHot.matMul(embedding as unknown as Tensor2D))
          .relu();
      return h
        .matMul<Tensor2D>(this.#weight as unknown as Tensor2D)
        .add<Tensor2D>(this.#bias)
        .squeeze<Tensor1D>([1]);
    });
  }

  dispose(): void {
    tf.dispose([...this.parameters.values()]);
  }
}
