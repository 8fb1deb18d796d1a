import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Scalar, Tensor1D, Variable } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import * as z from 'zod';
import { euclideanNorm } from '../../backend/index.js';
import { breathe } from '../../core/breathe.js';
import { readJson, writeFileAtomic } from '../../core/files.js';
import type { NdArray } from '../../core/ndarray.js';
import { readSafetensors, writeSafetensors } from '../../core/safetensors.js';
import { checkedFile } from '../../core/schema.js';
import type { OptimizerOptions } from '../options.js';
import type { Rows } from '../rows.js';
import { AdamW } from './adamw.js';
import { scheduled } from './schedule.js';
import type { HostGradient } from './work-units.js';

const stateSchema = z.strictObject({ updates: z.int().min(0) });

/** What a loss says of some rows. Everything is differentiable until it is read; the caller keeps and frees nothing. */
export interface RowLoss {
  /** The mean over the rows of what is to be made small. */
  readonly loss: Rows;
  /** Other means over the rows, to be logged; averaged over the rows of a minibatch. */
  readonly means?: Readonly<Record<string, Rows | undefined>>;
  /** Numbers of single rows, in the order of the rows. */
  readonly perRow?: Readonly<Record<string, Rows>>;
}

/** Where the gradients of micro-batches come from, other than a loss that is computed here. */
export interface GradientSource {
  /** How many may be asked for at once. */
  readonly lanes: number;
  /** The gradient of a micro-batch's share of a minibatch. */
  pass(rows: Int32Array, share: number): Promise<Gradient>;
}

/** A differentiable loss over any rows of a prepared set: the one thing that an algorithm has to bring. */
export type LossOverRows = (rows: Int32Array) => RowLoss;

/** The loss of a minibatch and its gradient. */
export interface Gradient {
  /** In the order of the parameters, flat. The caller frees it. */
  readonly gradient: Tensor1D;
  readonly loss: number;
  readonly means: Readonly<Record<string, number>>;
  readonly perRow: Readonly<Record<string, Float32Array>>;
}

/** What one update did. */
export interface Update extends Omit<Gradient, 'gradient'> {
  /** Global norm of the gradient before clipping. */
  readonly gradNorm: number;
  /** False: loss or gradient were not finite, and the weights are as they were. */
  readonly applied: boolean;
}

/**
 * Steps the parameters of a policy, or of anything else, against any loss over rows: gradients are accumulated over
 * micro-batches, clipped by their global norm, left out where they are not finite, and applied by AdamW.
 */
export class MinibatchOptimizer {
  readonly #options: OptimizerOptions;
  readonly #adamw: AdamW;
  #updates = 0;

  /** @throws GymError E_VALUE when there is nothing to train. */
  constructor(parameters: ReadonlyMap<string, Variable>, options: OptimizerOptions) {
    this.#options = options;
    this.#adamw = new AdamW(parameters, options);
  }

  /** Rows of one pass at most. */
  get microBatch(): number {
    return this.#options.microBatch;
  }

  /** How many updates were applied. */
  get updates(): number {
    return this.#updates;
  }

  /** The step size at `progress` of the run. */
  learningRate(progress: number): number {
    return scheduled(this.#options.learningRate, progress);
  }

  /**
   * The mean loss of some rows and its gradient at the present weights. Micro-batches change the memory that this takes,
   * and of the result no more than the rounding.
   * @param source a loss, computed here one micro-batch after the other, or who else computes them. The results are added
   *   up in the order of the rows, so the sum does not depend on who is the fastest.
   * @param signal aborted: throws its reason after the present micro-batch.
   */
  async gradient(rows: Int32Array, source: LossOverRows | GradientSource, signal?: AbortSignal): Promise<Gradient> {
    const { microBatch } = this.#options;
    let total: Tensor1D | undefined;
    let lossSum = 0;
    const means: Record<string, number> = {};
    const perRow: Record<string, Float32Array> = {};
    const { lanes, pass: compute }: GradientSource =
      typeof source === 'function'
        ? { lanes: 1, pass: (own, share) => this.pass(own, share, source) }
        : { lanes: source.lanes, pass: (own, share) => source.pass(own, share) };
    const asked: Promise<Gradient>[] = [];
    const ask = (first: number) => {
      const own = rows.slice(first, first + microBatch);
      // The shares of the passes add up to the mean over the minibatch.
      const promise = compute(own, own.length / rows.length);
      // Awaited later, in order; a failure until then must not count as unhandled.
      promise.catch(() => {});
      asked.push(promise);
    };
    let taken = 0;
    try {
      for (let first = 0; first < rows.length; first += microBatch) {
        while (asked.length < taken + lanes && asked.length * microBatch < rows.length) ask(asked.length * microBatch);
        const pass = await asked[taken++]!;
        lossSum += pass.loss;
        for (const [name, value] of Object.entries(pass.means)) means[name] = (means[name] ?? 0) + value;
        for (const [name, values] of Object.entries(pass.perRow)) {
          perRow[name] ??= new Float32Array(rows.length);
          perRow[name].set(values, first);
        }
        if (total === undefined) total = pass.gradient;
        else {
          const sum: Tensor1D = total.add(pass.gradient);
          tf.dispose([total, pass.gradient]);
          total = sum;
        }
        await breathe(signal);
      }
    } catch (error) {
      total?.dispose();
      for (const promise of asked.slice(taken)) promise.then(({ gradient }) => gradient.dispose()).catch(() => {});
      throw error;
    }
    return { gradient: total!, loss: lossSum, means, perRow };
  }

  /** One update on a minibatch. @param progress how far the run is, 0 to 1, for the schedule of the learning rate. */
  async update(
    rows: Int32Array,
    source: LossOverRows | GradientSource,
    progress: number,
    signal?: AbortSignal,
  ): Promise<Update> {
    const { gradient, ...result } = await this.gradient(rows, source, signal);
    const norm = euclideanNorm(gradient);
    const gradNorm = (await norm.data())[0]!;
    norm.dispose();
    const applied = Number.isFinite(gradNorm) && Number.isFinite(result.loss);
    if (applied) {
      this.#adamw.step(gradient, gradNorm, this.learningRate(progress), this.#options.maxGradNorm);
      this.#updates++;
    }
    gradient.dispose();
    return { ...result, gradNorm, applied };
  }

  /** {@link gradient} on the host. */
  async hostGradient(rows: Int32Array, loss: LossOverRows): Promise<HostGradient> {
    return await onHost(await this.gradient(rows, loss));
  }

  /** {@link pass} on the host. */
  async hostPass(rows: Int32Array, share: number, loss: LossOverRows): Promise<HostGradient> {
    return await onHost(await this.pass(rows, share, loss));
  }

  /** Writes the optimiser's moments and the count of updates into a folder. The parameters are their owner's to save. */
  async save(folder: string): Promise<void> {
    await saveOptimizer(folder, await this.#adamw.state(), this.#updates);
  }

  /** @throws GymError E_FILE, E_STATE when the folder does not hold the state of these parameters. */
  async restore(folder: string): Promise<void> {
    const { state, updates } = await loadOptimizer(folder);
    this.#adamw.restore(state);
    this.#updates = updates;
  }

  dispose(): void {
    this.#adamw.dispose();
  }

  /** The gradient of a micro-batch's share of a minibatch's mean loss, computed here. */
  async pass(rows: Int32Array, share: number, lossOverRows: LossOverRows): Promise<Gradient> {
    const kept: [kind: 'means' | 'perRow', name: string, tensor: tf.Tensor][] = [];
    const { value, grads } = tf.variableGrads(() => {
      const { loss, means = {}, perRow = {} } = lossOverRows(rows);
      for (const [kind, tensors] of [['means', means] as const, ['perRow', perRow] as const])
        for (const [name, tensor] of Object.entries(tensors))
          if (tensor !== undefined) kept.push([kind, name, tf.keep((tensor as tf.Tensor).clone())]);
      return loss.mul(share) as Scalar;
    }, [...this.#adamw.variables]);
    const gradient = this.#adamw.flatten(grads);
    tf.dispose(grads);
    const loss = (await value.data())[0]!;
    value.dispose();
    const means: Record<string, number> = {};
    const perRow: Record<string, Float32Array> = {};
    for (const [kind, name, tensor] of kept) {
      const data = (await tensor.data()) as Float32Array;
      if (kind === 'means') means[name] = data[0]! * share;
      else perRow[name] = data;
      tensor.dispose();
    }
    return { gradient, loss, means, perRow };
  }
}

async function onHost({ gradient, ...rest }: Gradient): Promise<HostGradient> {
  const data = (await gradient.data()) as Float32Array;
  gradient.dispose();
  return { gradient: data, ...rest };
}

/** Writes the moments of AdamW and the count of updates into a folder. */
export async function saveOptimizer(
  folder: string,
  state: ReadonlyMap<string, NdArray>,
  updates: number,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeSafetensors(join(folder, 'adamw.safetensors'), state);
  await writeFileAtomic(join(folder, 'optimizer.json'), `${JSON.stringify({ updates })}\n`);
}

/** Reads them back. @throws GymError E_FILE, E_STATE when the folder does not hold them. */
export async function loadOptimizer(folder: string): Promise<{ state: ReadonlyMap<string, NdArray>; updates: number }> {
  const file = join(folder, 'optimizer.json');
  const { updates } = checkedFile(stateSchema, await readJson(file), file);
  return { state: await readSafetensors(join(folder, 'adamw.safetensors')), updates };
}
