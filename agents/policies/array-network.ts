import type { DataId, Variable } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import { SimdMemory } from '../../backend/index.js';
import { ArrayRows } from '../optimization/array-rows.js';
import type { ArrayEvaluation, PolicyArrays, Prepared } from '../policy.js';
import { gather } from '../rows.js';
import { ArrayMlp } from './array-mlp.js';
import type { ActionDistribution, Place, Scores } from './distributions/distribution.js';

/** Observations as rows of numbers, and the draws of the actions taken. */
export interface PreparedVectors extends Prepared {
  readonly observations: Float32Array;
  readonly draws: Float32Array;
}

/** What an {@link ArrayNetwork} is a copy of. */
export interface ArrayNetworkParts {
  /** The weights of the actor, of the critic, and of the distribution, in this order. */
  readonly parameters: ReadonlyMap<string, Variable>;
  readonly distribution: ActionDistribution<unknown>;
  /** How many numbers an observation is. */
  readonly inputs: number;
  readonly hidden: readonly number[];
  readonly activation: 'tanh' | 'relu';
}

/** An evaluation that may still be followed back. */
interface Evaluated {
  /** Of one row after the other. */
  readonly place: { -readonly [K in keyof Place]: Place[K] };
  readonly rows: number;
  readonly logProb: ArrayRows;
  readonly entropy: ArrayRows | undefined;
  readonly values: ArrayRows | undefined;
}

/**
 * Actor, critic and distribution of a `NetworkPolicy` on plain arrays: for networks of some dozens of units, TensorFlow.js
 * spends most of its time on calls and not on numbers. Its variables stay what the policy is: they are read when they have
 * changed, and written after learning.
 */
export class ArrayNetwork implements PolicyArrays<PreparedVectors> {
  readonly memory = new SimdMemory();
  readonly size: number;
  readonly weights: number;
  readonly gradient: number;
  readonly #parts: ArrayNetworkParts;
  readonly #actor: ArrayMlp;
  readonly #critic: ArrayMlp;
  /** Where the weights stand of which variable. */
  readonly #places: readonly { readonly name: string; readonly variable: Variable; readonly offset: number }[];
  /** The values of the variables when they were last read or written. */
  #known: DataId[] = [];
  #packed = false;
  /** For how many rows there is room. */
  #capacity = 0;
  /** Addresses: observations, and the loss's derivatives by the outputs and by the values. */
  #x = 0;
  #outputSlopes = 0;
  #valueSlopes = 0;
  #evaluated: Evaluated | undefined;

  /** @throws Error on a processor without the vector instructions. */
  constructor(parts: ArrayNetworkParts) {
    this.#parts = parts;
    const { parameters, distribution, inputs, hidden, activation } = parts;
    let offset = 0;
    this.#places = [...parameters].map(([name, variable]) => {
      const place = { name, variable, offset };
      offset += variable.size;
      return place;
    });
    this.size = offset;
    const { memory } = this;
    this.weights = memory.allocate(offset);
    this.gradient = memory.allocate(offset);
    const mlp = (outputs: number, from: number) =>
      new ArrayMlp(memory, [inputs, ...hidden, outputs], activation, this.weights + 4 * from, this.gradient + 4 * from);
    this.#actor = mlp(distribution.inputs, 0);
    this.#critic = mlp(1, this.#actor.size);
  }

  get isFresh(): boolean {
    return this.#places.every(({ variable }, i) => variable.dataId === this.#known[i]);
  }

  async load(): Promise<void> {
    const values = await Promise.all(this.#places.map(({ variable }) => variable.data()));
    const weights = this.memory.values(this.weights, this.size);
    this.#places.forEach(({ offset }, i) => {
      weights.set(values[i]!, offset);
    });
    this.#remember();
    this.changed();
  }

  store(): void {
    const weights = this.memory.values(this.weights, this.size);
    tf.tidy(() => {
      for (const { variable, offset } of this.#places)
        variable.assign(tf.tensor(weights.slice(offset, offset + variable.size), variable.shape));
    });
    this.#remember();
  }

  changed(): void {
    this.#packed = false;
  }

  /** The values of the distribution's own parameters, by name. */
  get own(): ReadonlyMap<string, Float32Array> {
    return this.#own(this.weights);
  }

  /** The outputs of actor [rows, distribution's inputs] and critic [rows] for observations [rows, inputs]. */
  outputs(observations: Float32Array, rows: number): { outputs: Float32Array; values: Float32Array } {
    this.#begin(rows, observations);
    const outputs = this.#actor.forward(this.#x, rows);
    const values = this.#critic.forward(this.#x, rows);
    return {
      outputs: this.memory.values(outputs, rows * this.#parts.distribution.inputs).slice(),
      values: this.memory.values(values, rows).slice(),
    };
  }

  evaluate(prepared: PreparedVectors, rows: Int32Array, options: { values: boolean }): ArrayEvaluation {
    const { distribution } = this.#parts;
    const n = rows.length;
    this.#begin(n, gather(prepared.observations, this.#parts.inputs, rows));
    const outputs = this.memory.values(this.#actor.forward(this.#x, n), n * distribution.inputs);
    const draws = gather(prepared.draws, distribution.width, rows);
    const place = { outputs, output: 0, draws, draw: 0, own: this.#own(this.weights) };
    const logProb = new Float64Array(n);
    const entropy = new Float64Array(n);
    const scores: Scores = { logProb: 0, entropy: 0 };
    for (let i = 0; i < n; i++) {
      scores.logProb = scores.entropy = 0;
      place.output = i * distribution.inputs;
      place.draw = i * distribution.width;
      distribution.score(place, scores);
      logProb[i] = scores.logProb;
      entropy[i] = scores.entropy;
    }
    const evaluated: Evaluated = {
      place,
      rows: n,
      logProb: new ArrayRows(logProb),
      entropy: distribution.hasEntropy ? new ArrayRows(entropy) : undefined,
      values: options.values
        ? new ArrayRows(this.memory.values(this.#critic.forward(this.#x, n), n).slice())
        : undefined,
    };
    this.#evaluated = evaluated;
    const { entropy: hasEntropy, values } = evaluated;
    return { logProb: evaluated.logProb, ...(hasEntropy && { entropy: hasEntropy }), ...(values && { values }) };
  }

  backward(): void {
    const { place, rows, logProb, entropy, values } = this.#evaluated!;
    this.#evaluated = undefined;
    const { distribution } = this.#parts;
    // A part that the loss does not reach has a gradient of zeros.
    this.memory.values(this.gradient, this.size).fill(0);
    const slopes = {
      outputs: this.memory.values(this.#outputSlopes, rows * distribution.inputs),
      own: this.#own(this.gradient),
    };
    const by: Scores = { logProb: 0, entropy: 0 };
    for (let i = 0; i < rows; i++) {
      by.logProb = logProb.slopes[i]!;
      by.entropy = entropy?.slopes[i] ?? 0;
      place.output = i * distribution.inputs;
      place.draw = i * distribution.width;
      distribution.scoreGradient(place, by, slopes);
    }
    this.#actor.backward(this.#x, this.#outputSlopes, rows);
    if (values === undefined) return;
    this.memory.values(this.#valueSlopes, rows).set(values.slopes);
    this.#critic.backward(this.#x, this.#valueSlopes, rows);
  }

  /** Puts the observations in their place, and makes room for what is computed from them. */
  #begin(rows: number, observations: Float32Array): void {
    if (rows > this.#capacity) {
      const { memory } = this;
      this.#capacity = 2 ** Math.ceil(Math.log2(rows));
      this.#x = memory.allocate(this.#capacity * this.#parts.inputs);
      this.#outputSlopes = memory.allocate(this.#capacity * this.#parts.distribution.inputs);
      this.#valueSlopes = memory.allocate(this.#capacity);
      this.#actor.reserve(this.#capacity);
      this.#critic.reserve(this.#capacity);
    }
    if (!this.#packed) {
      this.#actor.pack();
      this.#critic.pack();
      this.#packed = true;
    }
    this.memory.values(this.#x, observations.length).set(observations);
  }

  /** The distribution's own parameters, or the derivatives by them, that begin at an address. */
  #own(from: number): ReadonlyMap<string, Float32Array> {
    const { parameters } = this.#parts.distribution;
    return new Map(
      this.#places
        .filter(({ name }) => parameters.has(name))
        .map(({ name, variable, offset }) => [name, this.memory.values(from + 4 * offset, variable.size)]),
    );
  }

  #remember(): void {
    this.#known = this.#places.map(({ variable }) => variable.dataId);
  }
}
