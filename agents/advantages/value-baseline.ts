import { join } from 'node:path';
import type { Scalar } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import * as z from 'zod';
import { GymError } from '../../core/errors.js';
import { readJson, writeFileAtomic } from '../../core/files.js';
import { Random, type RandomState } from '../../core/random.js';
import { checkedFile } from '../../core/schema.js';
import { meanAndStd } from '../../core/statistics.js';
import type { Metrics } from '../../core/types.js';
import { MinibatchOptimizer } from '../optimization/minibatches.js';
import { restoreParameters, saveParameters } from '../policies/parameters.js';
import type { Policy, Prepared, StateFeatures } from '../policy.js';
import type { Transitions } from '../transitions.js';
import { type Baseline, rowsWithReturn } from './baseline.js';
import type { Experience } from './estimator.js';
import { ValueFunction } from './value-function.js';

export interface ValueBaselineOptions {
  /** Widths of the value function's layers. */
  hidden: readonly number[];
  learningRate: number;
  /** Optimiser steps of a fit, each on `batch` transitions drawn anew. */
  updates: number;
  batch: number;
}

const count = z.int().min(1);
const stateSchema = z.strictObject({
  random: z.unknown(),
  size: z.strictObject({ inputs: count, chainLength: count }).nullable(),
});

/** How many rows are scored at once. */
const CHUNK = 1024;

/** A {@link ValueFunction} that is trained towards the returns, on the transitions that the policy is trained on and before it. */
export class ValueBaseline<O> implements Baseline<O> {
  readonly #featuresOf: (prepared: Prepared, rows: Int32Array) => StateFeatures;
  readonly #options: ValueBaselineOptions;
  #random: Random;
  /** Made when the first states are seen, since they say how wide it is. */
  #value: { readonly network: ValueFunction; readonly optimizer: MinibatchOptimizer } | undefined;

  /** @throws GymError E_CONFIG when the policy has nothing to tell of its states. */
  constructor(policy: Pick<Policy<never, never>, 'stateFeatures'>, options: ValueBaselineOptions, random: Random) {
    if (policy.stateFeatures === undefined)
      throw new GymError(
        'E_CONFIG',
        "agent.baseline: 'value' needs a policy that says what a value function may know of its states; choose 'per-prompt' or 'none'.",
      );
    this.#featuresOf = (prepared, rows) => policy.stateFeatures!(prepared, rows);
    this.#options = options;
    this.#random = random;
  }

  async learn(_: Transitions<O, unknown>, returns: Float64Array, { prepared, replayed }: Experience): Promise<Metrics> {
    const { updates, batch } = this.#options;
    const rows = rowsWithReturn(returns);
    if (rows.length === 0) return {};
    const before = await this.#scored(prepared, rows);
    const { network, optimizer } = this.#made(prepared);
    const lossOf = (own: Int32Array) => {
      const targets = tf.tensor1d(Float32Array.from(own, (row) => returns[row]!));
      return { loss: network.apply(this.#featuresOf(prepared, own)).sub(targets).square().mean<Scalar>() };
    };
    let loss = 0;
    for (let update = 0; update < updates; update++) {
      const drawn = this.#random.permutation(rows.length).subarray(0, batch);
      loss +=
        (
          await optimizer.update(
            drawn.map((k) => rows[k]!),
            lossOf,
            0,
          )
        ).loss / updates;
    }
    // How well it foresaw the rollout at hand, before it had seen it.
    const made = Array.from(rows.keys()).filter((k) => rows[k]! >= replayed);
    const { std } = meanAndStd(made.map((k) => returns[rows[k]!]!));
    const error = meanAndStd(made.map((k) => returns[rows[k]!]! - before[k]!));
    return {
      'train/baselineLoss': loss,
      ...(std > 0 && { 'train/explainedVariance': 1 - (error.std / std) ** 2 }),
    };
  }

  async values(_: Transitions<O, unknown>, returns: Float64Array, { prepared }: Experience): Promise<Float64Array> {
    const rows = rowsWithReturn(returns);
    const values = new Float64Array(returns.length);
    const scored = await this.#scored(prepared, rows);
    rows.forEach((row, k) => {
      values[row] = scored[k]!;
    });
    return values;
  }

  /** V of some rows, on the host. */
  async #scored(prepared: Prepared, rows: Int32Array): Promise<Float32Array> {
    const scored = new Float32Array(rows.length);
    for (let first = 0; first < rows.length; first += CHUNK) {
      const own = rows.subarray(first, first + CHUNK);
      const { network } = this.#made(prepared);
      const values = tf.tidy(() => network.apply(this.#featuresOf(prepared, own)));
      scored.set((await values.data()) as Float32Array, first);
      values.dispose();
    }
    return scored;
  }

  #made(prepared: Prepared) {
    if (this.#value === undefined) {
      const { features, chainLength } = this.#featuresOf(prepared, Int32Array.of(0));
      this.#value = this.#make(features.shape[1], chainLength);
      features.dispose();
    }
    return this.#value;
  }

  #make(inputs: number, chainLength: number) {
    const { hidden, learningRate, batch } = this.#options;
    const network = new ValueFunction(inputs, chainLength, hidden, this.#random.child('value'));
    const optimizer = new MinibatchOptimizer(network.parameters, {
      ...{ learningRate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
      ...{ maxGradNorm: Number.POSITIVE_INFINITY, microBatch: batch },
    });
    return { network, optimizer };
  }

  async save(folder: string): Promise<void> {
    const value = this.#value;
    const size = value ? { inputs: value.network.inputs, chainLength: value.network.chainLength } : null;
    if (value) {
      await value.optimizer.save(join(folder, 'optimizer'));
      await saveParameters(folder, value.network.parameters);
    }
    const state: z.input<typeof stateSchema> = { random: this.#random.state(), size };
    await writeFileAtomic(join(folder, 'value.json'), `${JSON.stringify(state)}\n`);
  }

  async load(folder: string): Promise<void> {
    const file = join(folder, 'value.json');
    const { random, size } = checkedFile(stateSchema, await readJson(file), file);
    this.dispose();
    this.#random = Random.restore(random as RandomState);
    if (size === null) return;
    this.#value = this.#make(size.inputs, size.chainLength);
    await restoreParameters(folder, this.#value.network.parameters);
    await this.#value.optimizer.restore(join(folder, 'optimizer'));
  }

  dispose(): void {
    this.#value?.network.dispose();
    this.#value?.optimizer.dispose();
    this.#value = undefined;
  }
}
