import type { Tensor2D, Tensor4D, Variable } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { Random } from '../../core/random.js';
import { Box } from '../../envs/spaces/box.js';
import type { Space } from '../../envs/spaces/space.js';
import { Mlp, type MlpOptions, orthogonal } from './mlp.js';

/** Whether observations are pictures: uint8 [height, width, channels] with room for two convolutions. */
export function isPicture(space: Space<unknown>): space is Space<unknown> & Box<'uint8'> {
  return (
    space instanceof Box &&
    space.dtype === 'uint8' &&
    space.shape.length === 3 &&
    Math.min(space.shape[0]!, space.shape[1]!) >= 8
  );
}

interface Convolution {
  /** [size, size, in, out] */
  readonly kernel: Variable;
  /** [out] */
  readonly bias: Variable;
  readonly stride: number;
}

/** Size, stride and channels of each convolution: Mnih et al. 2015 for large pictures, two small ones for others. */
function plan(smallest: number): readonly (readonly [size: number, stride: number, channels: number])[] {
  return smallest >= 36
    ? [
        [8, 4, 32],
        [4, 2, 64],
        [3, 1, 64],
      ]
    : [
        [3, 2, 16],
        [3, 2, 32],
      ];
}

/** Convolutions with ReLU on a picture scaled to 0..1, and a fully connected network on what they give. */
export class Cnn {
  readonly parameters: ReadonlyMap<string, Variable>;
  readonly #name: string;
  readonly #shape: readonly number[];
  readonly #convolutions: readonly Convolution[];
  readonly #head: Mlp;

  private constructor(name: string, shape: readonly number[], convolutions: readonly Convolution[], head: Mlp) {
    this.#name = name;
    this.#shape = shape;
    this.#convolutions = convolutions;
    this.#head = head;
    this.parameters = new Map([
      ...convolutions.flatMap(({ kernel, bias }, i) => [
        [`${name}.conv.${i}.weight`, kernel] as const,
        [`${name}.conv.${i}.bias`, bias] as const,
      ]),
      ...head.parameters,
    ]);
  }

  /** @param outputGain scale of the last layer's weights, as in {@link Mlp.create}. */
  static create(
    name: string,
    space: Box<'uint8'>,
    outputs: number,
    outputGain: number,
    options: MlpOptions,
    random: Random,
  ): Cnn {
    let [height, width, channels] = space.shape as [number, number, number];
    const convolutions = plan(Math.min(height, width)).map(([size, stride, out]): Convolution => {
      const rows = size * size * channels;
      const kernel = tf.tidy(() =>
        tf.variable(tf.tensor4d(orthogonal(rows, out, Math.SQRT2, random), [size, size, channels, out])),
      );
      const bias = tf.tidy(() => tf.variable(tf.zeros([out])));
      [height, width, channels] = [
        Math.floor((height - size) / stride) + 1,
        Math.floor((width - size) / stride) + 1,
        out,
      ];
      return { kernel, bias, stride };
    });
    const head = Mlp.create(name, height * width * channels, outputs, outputGain, options, random);
    return new Cnn(name, space.shape, convolutions, head);
  }

  /** [rows, height · width · channels], 0..255 → [rows, outputs]; differentiable. */
  apply(x: Tensor2D): Tensor2D {
    return tf.tidy(() => {
      let h = x.div(255).reshape<Tensor4D>([x.shape[0], ...this.#shape]);
      for (const { kernel, bias, stride } of this.#convolutions)
        h = tf
          .conv2d(h, kernel as unknown as Tensor4D, stride, 'valid')
          .add(bias)
          .relu();
      return this.#head.apply(h.reshape([x.shape[0], -1]));
    });
  }

  /** A network with the same weights in variables of its own, which the caller disposes of. */
  clone(): Cnn {
    const copied = (variable: Variable) => tf.tidy(() => tf.variable(variable.clone()));
    const convolutions = this.#convolutions.map(({ kernel, bias, stride }) => ({
      kernel: copied(kernel),
      bias: copied(bias),
      stride,
    }));
    return new Cnn(this.#name, this.#shape, convolutions, this.#head.clone());
  }

  dispose(): void {
    tf.dispose([...this.parameters.values()]);
  }
}
