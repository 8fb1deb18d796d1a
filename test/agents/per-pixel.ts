import { mkdir } from 'node:fs/promises';
import * as tf from '@tensorflow/tfjs';
import type { DenoisingNetwork } from '../../agents/index.js';
import { restoreParameters, saveParameters } from '../../agents/policies/parameters.js';
import type { Random } from '../../core/random.js';

/** The smallest network that denoises: a matrix on the three channels of each pixel, and a bias for each. */
export class PerPixel implements DenoisingNetwork {
  readonly kernel: tf.Variable;
  readonly bias: tf.Variable;
  readonly parameters: ReadonlyMap<string, tf.Variable>;

  constructor(random: Random) {
    this.kernel = tf.tidy(() => tf.variable(tf.tensor2d(random.normals(9), [3, 3]).mul(0.1)));
    this.bias = tf.tidy(() => tf.variable(tf.zeros([3])));
    this.parameters = new Map([
      ['kernel', this.kernel],
      ['bias', this.bias],
    ]);
  }

  apply(sample: tf.Tensor4D): tf.Tensor4D {
    const [n, h, w] = sample.shape;
    return sample
      .reshape<tf.Tensor2D>([-1, 3])
      .matMul<tf.Tensor2D>(this.kernel as unknown as tf.Tensor2D)
      .add(this.bias)
      .reshape([n, h, w, 3]);
  }

  async save(folder: string): Promise<void> {
    await mkdir(folder, { recursive: true });
    await saveParameters(folder, this.parameters);
  }

  restore(folder: string): Promise<void> {
    return restoreParameters(folder, this.parameters);
  }

  clone(): PerPixel {
    const copy = Object.create(PerPixel.prototype) as PerPixel;
    const kernel = tf.tidy(() => tf.variable(this.kernel.clone()));
    const bias = tf.tidy(() => tf.variable(this.bias.clone()));
    return Object.assign(copy, { kernel, bias, parameters: new Map([...Object.entries({ kernel, bias })]) });
  }

  dispose(): void {
    this.kernel.dispose();
    this.bias.dispose();
  }
}
