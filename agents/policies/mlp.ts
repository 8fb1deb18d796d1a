import { join } from 'node:path';
import type { Tensor2D, Variable } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import type { Random } from '../../core/random.js';
import { readSafetensors, writeSafetensors } from '../../core/safetensors.js';

export interface MlpOptions {
  /** Units of the hidden layers. Default [64, 64]. */
  hidden?: readonly number[];
  activation?: 'tanh' | 'relu';
}

/** A fully connected network with orthogonal weights and zero biases, as stable-baselines3 starts its `MlpPolicy`. */
export class Mlp {
  readonly parameters: ReadonlyMap<string, Variable>;
  readonly #layers: { kernel: Variable; bias: Variable }[] = [];
  readonly #activation: 'tanh' | 'relu';

  /** @param outputGain scale of the last layer's weights: 0.01 for a policy (nearly uniform at the start), 1 for a value. */
  constructor(name: string, inputs: number, outputs: number, outputGain: number, options: MlpOptions, random: Random) {
    const { hidden = [64, 64], activation = 'tanh' } = options;
    const sizes = [inputs, ...hidden, outputs];
    const parameters = new Map<string, Variable>();
    for (let i = 0; i + 1 < sizes.length; i++) {
      const rows = sizes[i]!;
      const columns = sizes[i + 1]!;
      const gain = i + 2 === sizes.length ? outputGain : Math.SQRT2;
      const kernel = tf.tidy(() => tf.variable(tf.tensor2d(orthogonal(rows, columns, gain, random), [rows, columns])));
      const bias = tf.tidy(() => tf.variable(tf.zeros([columns])));
      this.#layers.push({ kernel, bias });
      parameters.set(`${name}.${i}.weight`, kernel).set(`${name}.${i}.bias`, bias);
    }
    this.parameters = parameters;
    this.#activation = activation;
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

/** Rows (or columns, whichever are fewer) are orthogonal and of length `gain`: Gram–Schmidt on Gaussian vectors. */
function orthogonal(rows: number, columns: number, gain: number, random: Random): Float32Array {
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
    const norm = Math.hypot(...v);
    vectors.push(v.map((x) => x / norm));
  }
  const out = new Float32Array(rows * columns);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++)
      out[r * columns + c] = gain * (rows < columns ? vectors[r]![c]! : vectors[c]![r]!);
  return out;
}

const WEIGHTS = 'weights.safetensors';

/** Writes parameters as one safetensors file. */
export async function saveParameters(folder: string, parameters: ReadonlyMap<string, Variable>): Promise<void> {
  const values = new Map<string, NdArray>();
  for (const [name, variable] of parameters)
    values.set(name, { data: (await variable.data()) as Float32Array, shape: variable.shape });
  await writeSafetensors(join(folder, WEIGHTS), values);
}

/** Reads them back. @throws GymError E_STATE when one is missing or of another shape. */
export async function restoreParameters(folder: string, parameters: ReadonlyMap<string, Variable>): Promise<void> {
  const path = join(folder, WEIGHTS);
  const values = await readSafetensors(path);
  for (const [name, variable] of parameters) {
    const value = values.get(name);
    if (!value || value.data.length !== variable.size)
      throw new GymError(
        'E_STATE',
        `${path}: \`${name}\` should have shape [${variable.shape}], actual ${value ? `[${value.shape}]` : 'missing'}; restore into the network that was saved.`,
      );
    tf.tidy(() => variable.assign(tf.tensor(value.data as Float32Array, variable.shape)));
  }
}
