import type { Tensor1D, Tensor2D, Variable } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { GymError } from '../../core/errors.js';
import type { Random } from '../../core/random.js';
import { BaseSpace, type FlatLayout } from '../../envs/spaces/base.js';
import type { Space } from '../../envs/spaces/space.js';
import type { Decision, Extras } from '../agent.js';
import type { Evaluation, Policy, Prepared, SampleOptions } from '../policy.js';
import { Mlp, type MlpOptions, restoreParameters, saveParameters } from './mlp.js';

/** Observations as rows of numbers, and the actions taken. */
export interface PreparedVectors extends Prepared {
  readonly observations: Float32Array;
  readonly actions: Float32Array;
}

/** What the MLP policies share: observations flattened to vectors, an actor and a critic of their own weights. */
export abstract class ActorCritic<O, A> implements Policy<O, A, PreparedVectors> {
  readonly kind = 'network';
  protected readonly actor: Mlp;
  /** The actor as {@link keepReference} found it. */
  protected reference: Mlp | undefined;
  readonly #critic: Mlp;
  readonly #layout: FlatLayout<O>;

  constructor(
    name: string,
    observationSpace: Space<O>,
    protected readonly actionSize: number,
    outputs: number,
    options: MlpOptions,
    random: Random,
  ) {
    const layout =
      observationSpace instanceof BaseSpace ? (observationSpace.flat as FlatLayout<O> | undefined) : undefined;
    if (!layout)
      throw new GymError(
        'E_SPACE',
        `${name}: observations of ${observationSpace} do not flatten to a vector of fixed length.`,
      );
    this.#layout = layout;
    this.actor = Mlp.create('actor', layout.size, outputs, 0.01, options, random.child('actor'));
    this.#critic = Mlp.create('critic', layout.size, 1, 1, options, random.child('critic'));
  }

  get parameters(): ReadonlyMap<string, Variable> {
    return new Map([...this.actor.parameters, ...this.#critic.parameters]);
  }

  abstract sample(observations: readonly O[], options: SampleOptions): Promise<Decision<A>>;
  abstract evaluate(prepared: PreparedVectors, rows: Int32Array, options?: { reference?: boolean }): Evaluation;
  /** The action as it was drawn, as numbers. */
  protected abstract encode(actions: readonly A[], extras: Extras): Float32Array;

  prepare(observations: readonly O[], actions: readonly A[], extras: Extras): PreparedVectors {
    return {
      length: observations.length,
      observations: this.flatten(observations),
      actions: this.encode(actions, extras),
    };
  }

  keepReference(): void {
    this.reference?.dispose();
    this.reference = this.actor.clone();
  }

  trainable(prepared: PreparedVectors): Uint8Array {
    return new Uint8Array(prepared.length).fill(1);
  }

  value(prepared: PreparedVectors, rows: Int32Array): Tensor1D {
    return this.#critic.apply(this.observationRows(prepared, rows)).squeeze([1]);
  }

  async values(observations: readonly O[]): Promise<Float32Array> {
    const values = tf.tidy(() => this.#critic.apply(this.tensor(observations)).squeeze([1]));
    const data = (await values.data()) as Float32Array;
    values.dispose();
    return data;
  }

  save(folder: string): Promise<void> {
    return saveParameters(folder, this.parameters);
  }

  restore(folder: string): Promise<void> {
    return restoreParameters(folder, this.parameters);
  }

  dispose(): void {
    tf.dispose([...this.parameters.values()]);
    this.reference?.dispose();
  }

  protected flatten(observations: readonly O[]): Float32Array {
    const { size } = this.#layout;
    const flat = new Float32Array(observations.length * size);
    observations.forEach((observation, i) => {
      this.#layout.write(observation, flat, i * size);
    });
    return flat;
  }

  protected tensor(observations: readonly O[]): Tensor2D {
    return tf.tensor2d(this.flatten(observations), [observations.length, this.#layout.size]);
  }

  /** The frozen actor, where `evaluate` is asked for the KL to it. @throws GymError E_STATE when none was kept. */
  protected kept(options: { reference?: boolean } | undefined): Mlp | undefined {
    if (options?.reference !== true) return undefined;
    if (this.reference === undefined) throw noReference(this.constructor.name);
    return this.reference;
  }

  protected observationRows(prepared: PreparedVectors, rows: Int32Array): Tensor2D {
    return rowsOf(prepared.observations, this.#layout.size, rows);
  }

  protected actionRows(prepared: PreparedVectors, rows: Int32Array): Tensor2D {
    return rowsOf(prepared.actions, this.actionSize, rows);
  }

  /** The actor's outputs and the values, on the host. */
  protected async forward(observations: readonly O[]): Promise<{ outputs: Float32Array; value: Float32Array }> {
    const [outputs, values] = tf.tidy(() => {
      const x = this.tensor(observations);
      return [this.actor.apply(x), this.#critic.apply(x)];
    });
    const result = { outputs: (await outputs.data()) as Float32Array, value: (await values.data()) as Float32Array };
    tf.dispose([outputs, values]);
    return result;
  }
}

/** The error for a KL to a reference that nobody asked to keep. */
export function noReference(policy: string): GymError {
  return new GymError(
    'E_STATE',
    `${policy}.evaluate: there is no reference to measure the KL to; call keepReference() before the first update.`,
  );
}

function rowsOf(values: Float32Array, width: number, rows: Int32Array): Tensor2D {
  const data = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    data.set(values.subarray(row * width, (row + 1) * width), i * width);
  });
  return tf.tensor2d(data, [rows.length, width]);
}
