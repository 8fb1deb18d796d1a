import type { Tensor1D, Tensor2D, Variable } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { GymError } from '../../core/errors.js';
import { type NdArray, sizeOf } from '../../core/ndarray.js';
import type { Random } from '../../core/random.js';
import { Box } from '../../envs/spaces/box.js';
import type { Space } from '../../envs/spaces/space.js';
import type { Decision, Extras } from '../agent.js';
import type { Evaluation, SampleOptions } from '../policy.js';
import { ActorCritic, type PreparedVectors } from './actor-critic.js';
import type { MlpOptions } from './mlp.js';

const HALF_LOG_2PI = Math.log(2 * Math.PI) / 2;

/**
 * A diagonal Gaussian over the actions of a `Box`, its σ independent of the state, with a critic; its mode is the mean.
 * The environment gets the draw clipped to the box, learning the draw itself (kept in the extras as `draw`).
 */
export class GaussianMlp<O> extends ActorCritic<O, NdArray<Float32Array>> {
  readonly #space: Box;
  readonly #logStd: Variable;
  #referenceLogStd: Tensor1D | undefined;

  /** @throws GymError E_SPACE unless the actions are a float Box and the observations flatten. */
  constructor(
    observationSpace: Space<O>,
    actionSpace: Space<NdArray<Float32Array>>,
    options: MlpOptions,
    random: Random,
  ) {
    if (!(actionSpace instanceof Box) || !actionSpace.dtype.startsWith('float'))
      throw new GymError('E_SPACE', `GaussianMlp: needs a Box of floats as action space, actual value ${actionSpace}.`);
    const size = sizeOf(actionSpace.shape);
    super('GaussianMlp', observationSpace, size, size, options, random);
    this.#space = actionSpace as unknown as Box;
    this.#logStd = tf.tidy(() => tf.variable(tf.zeros([size])));
  }

  override get parameters(): ReadonlyMap<string, Variable> {
    return new Map([...super.parameters, ['logStd', this.#logStd]]);
  }

  async sample(
    observations: readonly O[],
    { explore, random }: SampleOptions,
  ): Promise<Decision<NdArray<Float32Array>>> {
    const { outputs, value } = await this.forward(observations);
    const logStd = (await this.#logStd.data()) as Float32Array;
    const size = this.actionSize;
    const { low, high, shape } = this.#space;
    const logProb = new Float32Array(observations.length);
    const draw: NdArray<Float32Array>[] = [];
    const actions: NdArray<Float32Array>[] = [];
    for (let i = 0; i < observations.length; i++) {
      const drawn = outputs.slice(i * size, (i + 1) * size);
      const clipped = new Float32Array(size);
      for (let k = 0; k < size; k++) {
        const mean = drawn[k]!;
        const std = Math.exp(logStd[k]!);
        if (explore) drawn[k] = mean + std * random.normal();
        logProb[i]! += -(((drawn[k]! - mean) / std) ** 2) / 2 - logStd[k]! - HALF_LOG_2PI;
        clipped[k] = Math.min(high[k]!, Math.max(low[k]!, drawn[k]!));
      }
      draw.push({ data: drawn, shape });
      actions.push({ data: clipped, shape });
    }
    return { actions, extras: { logProb, value, draw } };
  }

  override keepReference(): void {
    super.keepReference();
    this.#referenceLogStd?.dispose();
    this.#referenceLogStd = this.#logStd.clone() as unknown as Tensor1D;
  }

  evaluate(prepared: PreparedVectors, rows: Int32Array, options?: { reference?: boolean }): Evaluation {
    const reference = this.kept(options);
    return tf.tidy(() => {
      const observations = this.observationRows(prepared, rows);
      const mean = this.actor.apply(observations);
      const z = this.actionRows(prepared, rows).sub(mean).div(this.#logStd.exp());
      const entropy = this.#logStd.sum().add(this.actionSize * (HALF_LOG_2PI + 0.5));
      return {
        logProb: z.square().div(-2).sub(this.#logStd).sub(HALF_LOG_2PI).sum(1) as Tensor1D,
        entropy: tf.fill([rows.length], 1).mul(entropy) as Tensor1D,
        ...(reference && { kl: this.#kl(mean, reference.apply(observations)) }),
      };
    }) as unknown as Evaluation;
  }

  /** KL of two diagonal Gaussians, summed over dimensions: Σ ln(σ_ref/σ) + (σ² + (μ − μ_ref)²) / 2σ_ref² − ½. */
  #kl(mean: Tensor2D, referenceMean: Tensor2D): Tensor1D {
    const referenceLogStd = this.#referenceLogStd!;
    const variances = this.#logStd.mul(2).exp().add(mean.sub(referenceMean).square());
    return referenceLogStd
      .sub(this.#logStd)
      .add(variances.div(referenceLogStd.mul(2).exp().mul(2)))
      .sub(0.5)
      .sum(1);
  }

  override dispose(): void {
    super.dispose();
    this.#referenceLogStd?.dispose();
  }

  protected encode(actions: readonly NdArray<Float32Array>[], extras: Extras): Float32Array {
    const draw = (extras.draw as readonly NdArray<Float32Array>[] | undefined) ?? actions;
    const out = new Float32Array(actions.length * this.actionSize);
    draw.forEach(({ data }, i) => {
      out.set(data, i * this.actionSize);
    });
    return out;
  }
}
