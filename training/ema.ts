import type { Tensor1D, Variable } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { GymError } from '../core/errors.js';
import type { NdArray } from '../core/ndarray.js';

/** An exponential moving average of parameters, kept as one flat vector: three kernel calls a step. */
export class Ema {
  readonly #variables: readonly Variable[];
  #average: Tensor1D;
  #steps = 0;

  /** @param decay of each step, approached as (1 + n) / (10 + n) over the first steps, so that the start is forgotten. */
  constructor(
    parameters: Iterable<Variable>,
    readonly decay: number,
  ) {
    this.#variables = [...parameters];
    this.#average = this.#flat();
  }

  update(): void {
    this.#steps++;
    const decay = Math.min(this.decay, (1 + this.#steps) / (10 + this.#steps));
    const next = tf.tidy(
      () =>
        this.#average.add(
          this.#flat()
            .sub(this.#average)
            .mul(1 - decay),
        ) as Tensor1D,
    );
    this.#average.dispose();
    this.#average = next;
  }

  /** Writes the averages into the parameters. */
  apply(): void {
    tf.tidy(() => {
      const sizes = this.#variables.map((variable) => variable.size);
      tf.split(this.#average, sizes).forEach((values, i) => {
        const variable = this.#variables[i]!;
        variable.assign(values.reshape(variable.shape));
      });
    });
  }

  async state(): Promise<Map<string, NdArray>> {
    return new Map<string, NdArray>([
      ['average', { data: (await this.#average.data()) as Float32Array, shape: this.#average.shape }],
      ['steps', { data: Int32Array.of(this.#steps), shape: [1] }],
    ]);
  }

  /** @throws GymError E_STATE when the state is of other parameters. */
  restore(state: ReadonlyMap<string, NdArray>): void {
    const average = state.get('average');
    const steps = state.get('steps');
    if (average?.data.length !== this.#average.size || steps === undefined)
      throw new GymError(
        'E_STATE',
        `Ema: the saved average has ${average?.data.length ?? 'no'} numbers, the parameters ${this.#average.size}; restore it into the model it was made with.`,
      );
    this.#average.dispose();
    this.#average = tf.tensor1d(average.data as Float32Array);
    this.#steps = Number(steps.data[0]);
  }

  dispose(): void {
    this.#average.dispose();
  }

  #flat(): Tensor1D {
    return tf.tidy(() => tf.concat1d(this.#variables.map((variable) => variable.flatten())));
  }
}
