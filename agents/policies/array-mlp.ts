import type { SimdMemory } from '../../backend/index.js';

interface Layer {
  readonly inputs: number;
  readonly outputs: number;
  // Addresses in the memory. Weights and gradients lie side by side as the parameters of `Mlp` do: [inputs, outputs], [outputs].
  readonly weight: number;
  readonly bias: number;
  readonly weightGradient: number;
  readonly biasGradient: number;
  /** The weights as products want them: packed, and packed after they were transposed. */
  readonly panels: number;
  readonly transposed: number;
}

const upTo8 = (n: number) => Math.ceil(n / 8) * 8;

/** The network of `Mlp` on plain arrays: the same weights, forward and backward pass by hand. */
export class ArrayMlp {
  /** How many numbers its weights are. */
  readonly size: number;
  readonly #memory: SimdMemory;
  readonly #layers: readonly Layer[];
  readonly #activation: 'tanh' | 'relu';
  readonly #scratch: number;
  /** For how many rows there is room. */
  #rows = 0;
  /** The outputs of each layer, and two of the widest layer for the way back. */
  #outputs: number[] = [];
  #slopes: [number, number] = [0, 0];

  /**
   * @param widths of the inputs, the hidden layers and the outputs.
   * @param weights the address of its weights, layer by layer.
   * @param gradient the address that {@link backward} writes their gradient to, in the same order.
   */
  constructor(
    memory: SimdMemory,
    widths: readonly number[],
    activation: 'tanh' | 'relu',
    weights: number,
    gradient: number,
  ) {
    this.#memory = memory;
    this.#activation = activation;
    let offset = 0;
    const take = (count: number) => {
      const at = 4 * offset;
      offset += count;
      return { value: weights + at, slope: gradient + at };
    };
    this.#layers = widths.slice(1).map((outputs, i): Layer => {
      const inputs = widths[i]!;
      const weight = take(inputs * outputs);
      const bias = take(outputs);
      return {
        ...{ inputs, outputs, weight: weight.value, weightGradient: weight.slope },
        ...{ bias: bias.value, biasGradient: bias.slope },
        panels: memory.allocate(inputs * upTo8(outputs)),
        transposed: memory.allocate(outputs * upTo8(inputs)),
      };
    });
    this.size = offset;
    const { kernels } = memory;
    this.#scratch = memory.allocate(
      Math.max(...this.#layers.map(({ inputs, outputs }) => kernels.transposedScratch(inputs, outputs))),
    );
  }

  /** Takes over weights that have changed. */
  pack(): void {
    const { pack, packTransposed } = this.#memory.kernels;
    this.#layers.forEach(({ inputs, outputs, weight, panels, transposed }, i) => {
      pack(weight, 4 * outputs, 0, panels, 1, inputs, outputs);
      if (i > 0) packTransposed(weight, 4 * outputs, transposed, 1, outputs, inputs);
    });
  }

  /** Makes room for so many rows. */
  reserve(rows: number): void {
    if (rows <= this.#rows) return;
    this.#rows = rows;
    this.#outputs = this.#layers.map(({ outputs }) => this.#memory.allocate(rows * outputs));
    const widest = Math.max(...this.#layers.map(({ inputs }) => inputs));
    this.#slopes = [this.#memory.allocate(rows * widest), this.#memory.allocate(rows * widest)];
  }

  /** @param x the address of inputs [rows, inputs]. @returns that of the outputs [rows, outputs]; there must be room for the rows. */
  forward(x: number, rows: number): number {
    const { kernels } = this.#memory;
    let from = x;
    this.#layers.forEach(({ inputs, outputs, panels, bias }, i) => {
      const to = this.#outputs[i]!;
      kernels.multiply(from, 4 * inputs, panels, bias, 0, to, 4 * outputs, rows, inputs, outputs);
      if (i + 1 < this.#layers.length) kernels[this.#activation](to, to, rows * outputs);
      from = to;
    });
    return from;
  }

  /**
   * Writes the gradient of the weights.
   * @param x the address of the inputs of the last {@link forward}.
   * @param slopes the address of the loss's derivatives by its outputs [rows, outputs].
   */
  backward(x: number, slopes: number, rows: number): void {
    const { kernels } = this.#memory;
    const activationGradient = kernels[`${this.#activation}Gradient`];
    let above = slopes;
    for (let i = this.#layers.length - 1; i >= 0; i--) {
      const { inputs, outputs, weightGradient, biasGradient, transposed } = this.#layers[i]!;
      const from = i === 0 ? x : this.#outputs[i - 1]!;
      kernels.multiplyTransposed(from, above, weightGradient, this.#scratch, rows, inputs, outputs);
      kernels.columnSums(above, biasGradient, rows, outputs);
      if (i === 0) return;
      const below = this.#slopes[i % 2]!;
      kernels.multiply(above, 4 * outputs, transposed, 0, 0, below, 4 * inputs, rows, outputs, inputs);
      activationGradient(below, from, below, rows * inputs);
      above = below;
    }
  }
}
