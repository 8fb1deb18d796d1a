import type { NamedTensorMap, Tensor, Tensor1D, Variable } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { adamWStep, flatten } from '../../backend/index.js';
import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';

export interface AdamWOptions {
  beta1?: number;
  beta2?: number;
  epsilon?: number;
  /** Decoupled: weights shrink by learningRate · weightDecay at each step, whatever the gradient. */
  weightDecay?: number;
}

/**
 * AdamW (Loshchilov & Hutter, arXiv 1711.05101) with PyTorch's conventions: decay before the step, ε outside the bias-corrected root.
 *
 * All parameters are handled as one flat vector: a dozen kernel calls a step instead of a dozen for each of some
 * hundred variables, and the global gradient norm is one of them.
 */
export class AdamW {
  readonly #variables: readonly Variable[];
  readonly #size: number;
  readonly #options: Required<AdamWOptions>;
  #m: Tensor1D;
  #v: Tensor1D;
  #step = 0;

  constructor(parameters: ReadonlyMap<string, Variable>, options: AdamWOptions = {}) {
    if (parameters.size === 0) throw new GymError('E_VALUE', 'AdamW: there are no parameters to train.');
    this.#variables = [...parameters.values()];
    this.#size = this.#variables.reduce((size, variable) => size + variable.size, 0);
    this.#options = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, ...options };
    this.#m = tf.zeros([this.#size]);
    this.#v = tf.zeros([this.#size]);
  }

  /** The variables, in the order of the flat vectors. */
  get variables(): readonly Variable[] {
    return this.#variables;
  }

  /** How many steps were made. */
  get steps(): number {
    return this.#step;
  }

  /**
   * The gradients as one vector in the order of the parameters; a parameter that the loss does not reach counts as zeros.
   * @param gradients by variable name, as `tf.variableGrads` returns them; not disposed.
   */
  flatten(gradients: NamedTensorMap): Tensor1D {
    return tf.tidy(() =>
      flatten(
        this.#variables.map((variable) => {
          const gradient = gradients[variable.name] as Tensor | null | undefined;
          return gradient ?? tf.zeros([variable.size]);
        }),
      ),
    );
  }

  /**
   * One step against a flat gradient (not disposed), scaled down to the global norm `maxGradNorm` if it is longer
   * (torch.nn.utils.clip_grad_norm_).
   * @param gradNorm the gradient's length, finite (the caller looked at it).
   */
  step(gradient: Tensor1D, gradNorm: number, learningRate: number, maxGradNorm = Number.POSITIVE_INFINITY): void {
    this.#step++;
    const state = { m: this.#m, v: this.#v, weights: this.#variables };
    const { m, v, weights } = adamWStep(gradient, state, {
      ...this.#options,
      learningRate,
      step: this.#step,
      gradientScale: gradientScale(gradNorm, maxGradNorm),
    });
    this.#m.dispose();
    this.#v.dispose();
    this.#m = m;
    this.#v = v;
    this.#variables.forEach((variable, i) => {
      variable.assign(weights[i]!);
      weights[i]!.dispose();
    });
  }

  /** The moments and the step, for a checkpoint. */
  async state(): Promise<Map<string, NdArray>> {
    return new Map<string, NdArray>([
      ['m', { data: (await this.#m.data()) as Float32Array, shape: [this.#size] }],
      ['v', { data: (await this.#v.data()) as Float32Array, shape: [this.#size] }],
      ['step', { data: Int32Array.of(this.#step), shape: [1] }],
    ]);
  }

  /** @throws GymError E_STATE when the state is of other parameters. */
  restore(state: ReadonlyMap<string, NdArray>): void {
    const { m, v, steps } = momentsOf(state, this.#size);
    this.#m.dispose();
    this.#v.dispose();
    this.#m = tf.tensor1d(m);
    this.#v = tf.tensor1d(v);
    this.#step = steps;
  }

  dispose(): void {
    this.#m.dispose();
    this.#v.dispose();
  }
}

/** What a gradient is multiplied by so that its length is at most `maxGradNorm` (torch.nn.utils.clip_grad_norm_). */
export function gradientScale(gradNorm: number, maxGradNorm: number): number {
  return Math.min(1, maxGradNorm / (gradNorm + 1e-6));
}

/**
 * The moments of `size` weights and the count of steps, from what {@link AdamW.state} gave.
 * @throws GymError E_STATE when they are of other parameters.
 */
export function momentsOf(
  state: ReadonlyMap<string, NdArray>,
  size: number,
): { m: Float32Array; v: Float32Array; steps: number } {
  const m = state.get('m');
  const v = state.get('v');
  const step = state.get('step');
  const isWhole = [m, v].every((moment) => moment?.data instanceof Float32Array && moment.data.length === size);
  const steps = step?.data.length === 1 ? Number(step.data[0]) : Number.NaN;
  if (!isWhole || !(Number.isInteger(steps) && steps >= 0))
    throw new GymError(
      'E_STATE',
      `AdamW: the saved state (after ${steps} steps) is for ${m?.data.length ?? 'no'} parameters, this optimiser has ${size}; restore the checkpoint into the model it was made with.`,
    );
  return { m: m!.data as Float32Array, v: v!.data as Float32Array, steps };
}
