import type { Tensor1D, Tensor2D, Variable } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import type { Random } from '../../core/random.js';
import type { Awaitable } from '../../core/types.js';
import { BaseSpace, type FlatLayout } from '../../envs/spaces/base.js';
import type { Space } from '../../envs/spaces/space.js';
import type { Decision, Extras } from '../agent.js';
import type { Evaluation, Policy, SampleOptions, StateFeatures } from '../policy.js';
import { gather } from '../rows.js';
import { ArrayNetwork, type PreparedVectors } from './array-network.js';
import { Cnn, isPicture } from './cnn.js';
import type { ActionDistribution } from './distributions/distribution.js';
import type { Bounds } from './distributions/gaussian.js';
import { distributionOf } from './distributions/index.js';
import { Mlp, type MlpOptions } from './mlp.js';
import { restoreParameters, saveParameters } from './parameters.js';
import { noReference } from './reference.js';

export interface NetworkOptions extends MlpOptions {
  /** How Gaussian actions keep to the bounds of a Box. Default 'rescale'. */
  bounds?: Bounds;
  /**
   * What computes: plain arrays with vector instructions of WebAssembly, tensors of TensorFlow.js, or what is faster.
   * Default 'auto': arrays for vectors of numbers and hidden layers of at most 256 units.
   */
  engine?: 'auto' | 'arrays' | 'tensors';
}

/** With wider hidden layers the calls of TensorFlow.js are no longer what costs. */
const widestOnArrays = 256;

/** A network on rows of numbers. */
export interface RowNetwork {
  readonly parameters: ReadonlyMap<string, Variable>;
  /** [rows, inputs] → [rows, outputs]; differentiable. */
  apply(x: Tensor2D): Tensor2D;
  /** One with the same weights in variables of its own. */
  clone(): RowNetwork;
  dispose(): void;
}

/**
 * A policy of a small network with a critic beside it, for observations that flatten to vectors and pictures, and for
 * actions of every space that has an {@link ActionDistribution}. Actor and critic share no weights.
 */
export class NetworkPolicy<O, A> implements Policy<O, A, PreparedVectors> {
  readonly kind = 'network';
  readonly #actor: RowNetwork;
  readonly #critic: RowNetwork;
  readonly #distribution: ActionDistribution<A>;
  readonly #layout: FlatLayout<O>;
  readonly arrays: ArrayNetwork | undefined;
  /** The actor as {@link keepReference} found it. */
  #reference: RowNetwork | undefined;

  /**
   * @throws GymError E_SPACE when observations do not flatten or no distribution suits the actions; E_CONFIG when arrays
   * are asked for and cannot compute it.
   */
  constructor(
    { observationSpace, actionSpace }: { observationSpace: Space<O>; actionSpace: Space<A> },
    { bounds = 'rescale', engine = 'auto', ...options }: NetworkOptions,
    random: Random,
  ) {
    const layout =
      observationSpace instanceof BaseSpace ? (observationSpace.flat as FlatLayout<O> | undefined) : undefined;
    if (!layout)
      throw new GymError(
        'E_SPACE',
        `policy: observations of ${observationSpace} do not flatten to a vector of fixed length; put a wrapper around the environment that makes them a Box, a Discrete, or a Dict or Tuple of these.`,
      );
    this.#layout = layout;
    this.#distribution = distributionOf(actionSpace, bounds);
    const network = (name: string, outputs: number, gain: number): RowNetwork =>
      isPicture(observationSpace)
        ? Cnn.create(name, observationSpace, outputs, gain, options, random.child(name))
        : Mlp.create(name, layout.size, outputs, gain, options, random.child(name));
    this.#actor = network('actor', this.#distribution.inputs, 0.01);
    this.#critic = network('critic', 1, 1);
    const { hidden = [64, 64], activation = 'tanh' } = options;
    if (engine === 'arrays' && isPicture(observationSpace))
      throw new GymError(
        'E_CONFIG',
        "policy: engine 'arrays' has no convolutions, which pictures need; use 'tensors' or 'auto'.",
      );
    const isSmall = !isPicture(observationSpace) && Math.max(...hidden, 0) <= widestOnArrays;
    if (engine === 'arrays' || (engine === 'auto' && isSmall))
      this.arrays = new ArrayNetwork({
        ...{ parameters: this.parameters, distribution: this.#distribution as ActionDistribution<unknown> },
        ...{ inputs: layout.size, hidden, activation },
      });
  }

  /** What computes. */
  get engine(): 'arrays' | 'tensors' {
    return this.arrays ? 'arrays' : 'tensors';
  }

  get parameters(): ReadonlyMap<string, Variable> {
    return new Map([...this.#actor.parameters, ...this.#critic.parameters, ...this.#distribution.parameters]);
  }

  sample(observations: readonly O[], options: SampleOptions): Awaitable<Decision<A>> {
    const { arrays } = this;
    if (!arrays) return this.#sampleOnTensors(observations, options);
    const sample = () => {
      const { outputs, values } = arrays.outputs(this.#flatten(observations), observations.length);
      return this.#draw(observations.length, outputs, values, arrays.own, options);
    };
    return arrays.isFresh ? sample() : arrays.load().then(sample);
  }

  async #sampleOnTensors(observations: readonly O[], options: SampleOptions): Promise<Decision<A>> {
    const [outputs, values] = tf.tidy(() => {
      const x = this.#tensor(observations);
      return [this.#actor.apply(x), this.#critic.apply(x)];
    });
    const numbers = (await outputs.data()) as Float32Array;
    const value = (await values.data()) as Float32Array;
    tf.dispose([outputs, values]);
    const own = new Map<string, Float32Array>();
    for (const [name, variable] of this.#distribution.parameters)
      own.set(name, (await variable.data()) as Float32Array);
    return this.#draw(observations.length, numbers, value, own, options);
  }

  /** Actions from the outputs of the networks. @param own the values of the distribution's own parameters, by name. */
  #draw(
    rows: number,
    numbers: Float32Array,
    value: Float32Array,
    own: ReadonlyMap<string, Float32Array>,
    { explore, random }: SampleOptions,
  ): Decision<A> {
    const { inputs, width } = this.#distribution;
    const logProb = new Float32Array(rows);
    const draw: NdArray<Float32Array>[] = [];
    const actions = Array.from({ length: rows }, (_, i) => {
      const data = new Float32Array(width);
      const drawn = this.#distribution.sample(
        numbers.subarray(i * inputs, (i + 1) * inputs),
        own,
        explore,
        random,
        data,
      );
      draw.push({ data, shape: [width] });
      logProb[i] = drawn.logProb;
      return drawn.action;
    });
    return { actions, extras: { logProb, value, draw } };
  }

  prepare(observations: readonly O[], actions: readonly A[], extras: Extras): PreparedVectors {
    const { width } = this.#distribution;
    const draws = new Float32Array(actions.length * width);
    const kept = extras.draw as readonly NdArray<Float32Array>[] | undefined;
    actions.forEach((action, i) => {
      const into = draws.subarray(i * width, (i + 1) * width);
      if (kept) into.set(kept[i]!.data);
      else this.#distribution.encode(action, into);
    });
    return { length: observations.length, observations: this.#flatten(observations), draws };
  }

  trainable(prepared: PreparedVectors): Uint8Array {
    return new Uint8Array(prepared.length).fill(1);
  }

  evaluate(prepared: PreparedVectors, rows: Int32Array, options: { reference?: boolean } = {}): Evaluation {
    const reference = this.#reference;
    if (options.reference && reference === undefined) throw noReference('NetworkPolicy');
    return tf.tidy(() => {
      const observations = this.#observationRows(prepared, rows);
      const outputs = this.#actor.apply(observations);
      const draws = rowsOf(prepared.draws, this.#distribution.width, rows);
      return {
        ...this.#distribution.evaluate(outputs, draws),
        ...(options.reference && { kl: this.#distribution.kl(outputs, reference!.apply(observations)) }),
      };
    }) as unknown as Evaluation;
  }

  keepReference(): void {
    this.#reference?.dispose();
    this.#reference = this.#actor.clone();
    this.#distribution.keepReference();
  }

  /** The observation, flat. */
  stateFeatures(prepared: PreparedVectors, rows: Int32Array): StateFeatures {
    return { features: this.#observationRows(prepared, rows), steps: new Int32Array(rows.length), chainLength: 1 };
  }

  value(prepared: PreparedVectors, rows: Int32Array): Tensor1D {
    return this.#critic.apply(this.#observationRows(prepared, rows)).squeeze([1]);
  }

  values(observations: readonly O[]): Awaitable<Float32Array> {
    const { arrays } = this;
    if (!arrays) return this.#valuesOnTensors(observations);
    const values = () => arrays.outputs(this.#flatten(observations), observations.length).values;
    return arrays.isFresh ? values() : arrays.load().then(values);
  }

  async #valuesOnTensors(observations: readonly O[]): Promise<Float32Array> {
    const values = tf.tidy(() => this.#critic.apply(this.#tensor(observations)).squeeze([1]));
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
    this.#actor.dispose();
    this.#critic.dispose();
    this.#distribution.dispose();
    this.#reference?.dispose();
  }

  #flatten(observations: readonly O[]): Float32Array {
    const { size } = this.#layout;
    const flat = new Float32Array(observations.length * size);
    observations.forEach((observation, i) => {
      this.#layout.write(observation, flat, i * size);
    });
    return flat;
  }

  #tensor(observations: readonly O[]): Tensor2D {
    return tf.tensor2d(this.#flatten(observations), [observations.length, this.#layout.size]);
  }

  #observationRows(prepared: PreparedVectors, rows: Int32Array): Tensor2D {
    return rowsOf(prepared.observations, this.#layout.size, rows);
  }
}

function rowsOf(values: Float32Array, width: number, rows: Int32Array): Tensor2D {
  return tf.tensor2d(gather(values, width, rows), [rows.length, width]);
}
