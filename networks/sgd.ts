import * as tf from '@tensorflow/tfjs';
import { euclideanNorm, flatten } from '../backend/index.js';
import { GymError } from '../core/errors.js';
import type { NdArray } from '../core/ndarray.js';

export interface SgdOptions {
  /** Default 0. */
  readonly momentum?: number;
  /** Nesterov's form of the momentum. Default false. */
  readonly nesterov?: boolean;
  /** Added to the gradient as weightDecay · weight, as PyTorch's SGD does. Default 0. */
  readonly weightDecay?: number;
  /** Gradients of a larger global norm are scaled down to it (`torch.nn.utils.clip_grad_norm_`). Default: none is. */
  readonly maxGradNorm?: number;
}

/**
 * Stochastic gradient descent as `torch.optim.SGD` has it: g ← g + λw, b ← μb + g, w ← w − lr · b (Nesterov: g + μb in
 * the place of b). All parameters are handled as one flat vector: a dozen kernel calls a step, however many they are.
 */
export class Sgd {
  readonly #names: readonly string[];
  readonly #variables: readonly tf.Variable[];
  readonly #size: number;
  readonly #options: Required<SgdOptions>;
  #buffer: tf.Tensor1D;

  /** @throws GymError E_VALUE when there is nothing to train. */
  constructor(parameters: ReadonlyMap<string, tf.Variable>, options: SgdOptions = {}) {
    if (parameters.size === 0) throw new GymError('E_VALUE', 'Sgd: there are no parameters to train.');
    this.#names = [...parameters.keys()];
    this.#variables = [...parameters.values()];
    this.#size = this.#variables.reduce((size, variable) => size + variable.size, 0);
    this.#options = {
      momentum: 0,
      nesterov: false,
      weightDecay: 0,
      maxGradNorm: Number.POSITIVE_INFINITY,
      ...options,
    };
    this.#buffer = tf.zeros([this.#size]);
  }

  /**
   * Takes the gradient of a loss and makes one step against it.
   * @param loss computes it, from the parameters; what it needs beside them must stay until it has returned.
   * @param frozen the names of parameters that keep their values, as `parameters` names them.
   * @returns the loss and the gradient's length before clipping, as scalars, which the caller frees: reading them later, or
   *   several together, keeps the backend busy.
   */
  minimize(
    loss: () => tf.Scalar,
    learningRate: number,
    frozen?: ReadonlySet<string>,
  ): { loss: tf.Scalar; gradNorm: tf.Scalar } {
    const { value, grads } = tf.variableGrads(loss, this.#variables as tf.Variable[]);
    const gradient = tf.tidy(() =>
      flatten(this.#variables.map((variable) => grads[variable.name] ?? tf.zeros([variable.size]))),
    );
    tf.dispose(grads);
    const gradNorm = euclideanNorm(gradient);
    this.step(gradient, gradNorm, learningRate, frozen);
    gradient.dispose();
    return { loss: value, gradNorm };
  }

  /** One step against a flat gradient in the order of the parameters, whose length is given; neither is disposed. */
  step(gradient: tf.Tensor1D, gradNorm: tf.Scalar, learningRate: number, frozen?: ReadonlySet<string>): void {
    const { momentum, nesterov, weightDecay, maxGradNorm } = this.#options;
    const [buffer, ...weights] = tf.tidy(() => {
      const clipped = Number.isFinite(maxGradNorm)
        ? gradient.mul<tf.Tensor1D>(tf.minimum(1, tf.div(maxGradNorm, gradNorm.add(1e-6))))
        : gradient;
      const flat = flatten(this.#variables);
      const g = weightDecay === 0 ? clipped : clipped.add<tf.Tensor1D>(flat.mul(weightDecay));
      const next = this.#buffer.mul(momentum).add<tf.Tensor1D>(g);
      const direction = nesterov ? g.add<tf.Tensor1D>(next.mul(momentum)) : next;
      const parts = tf.split(
        flat.sub<tf.Tensor1D>(direction.mul(learningRate)),
        this.#variables.map(({ size }) => size),
      );
      return [next, ...parts.map((part, i) => part.reshape(this.#variables[i]!.shape))];
    });
    this.#buffer.dispose();
    this.#buffer = buffer as tf.Tensor1D;
    this.#variables.forEach((variable, i) => {
      if (!frozen?.has(this.#names[i]!)) variable.assign(weights[i]!);
      weights[i]!.dispose();
    });
  }

  /** The momentum buffer, for a checkpoint: float32 [sum of the sizes of the parameters]. */
  async state(): Promise<NdArray<Float32Array>> {
    return { data: (await this.#buffer.data()) as Float32Array, shape: [this.#size] };
  }

  /** @throws GymError E_STATE when the state is of other parameters. */
  restore({ data }: NdArray): void {
    if (data.length !== this.#size)
      throw new GymError(
        'E_STATE',
        `Sgd: the saved momentum is for ${data.length} parameters, this optimiser has ${this.#size}; restore it with the network it was made with.`,
      );
    this.#buffer.dispose();
    this.#buffer = tf.tensor1d(Float32Array.from(data));
  }

  dispose(): void {
    this.#buffer.dispose();
  }
}
