import { breathe } from '../../core/breathe.js';
import type { NdArray } from '../../core/ndarray.js';
import type { OptimizerOptions } from '../options.js';
import type { PolicyArrays } from '../policy.js';
import { gradientScale, momentsOf } from './adamw.js';
import type { ArrayRows } from './array-rows.js';
import { type LossOverRows, loadOptimizer, saveOptimizer, type Update } from './minibatches.js';
import { scheduled } from './schedule.js';
import type { HostGradient } from './work-units.js';

/**
 * `MinibatchOptimizer` for the weights of a policy on plain arrays: the same minibatches, clipping and AdamW, and the same
 * files.
 */
export class ArrayOptimizer {
  readonly #arrays: PolicyArrays;
  readonly #options: OptimizerOptions;
  /** Addresses of the moments. */
  readonly #m: number;
  readonly #v: number;
  #steps = 0;

  constructor(arrays: PolicyArrays, options: OptimizerOptions) {
    this.#arrays = arrays;
    this.#options = options;
    this.#m = arrays.memory.allocate(arrays.size);
    this.#v = arrays.memory.allocate(arrays.size);
  }

  /** How many updates were applied. */
  get updates(): number {
    return this.#steps;
  }

  /** The step size at `progress` of the run. */
  learningRate(progress: number): number {
    return scheduled(this.#options.learningRate, progress);
  }

  /** The gradient of a micro-batch's share of a minibatch's mean loss. */
  async hostPass(rows: Int32Array, share: number, lossOverRows: LossOverRows): Promise<HostGradient> {
    const result = this.#pass(rows, share, lossOverRows);
    return { ...result, gradient: this.#gradient().slice() };
  }

  /** The mean loss of some rows and its gradient at the present weights. */
  async hostGradient(rows: Int32Array, lossOverRows: LossOverRows): Promise<HostGradient> {
    const result = this.#accumulate(rows, lossOverRows);
    return { ...result, gradient: this.#gradient().slice() };
  }

  /** Leaves the gradient at its address. */
  #accumulate(rows: Int32Array, lossOverRows: LossOverRows): Omit<HostGradient, 'gradient'> {
    const { microBatch } = this.#options;
    if (rows.length <= microBatch) return this.#pass(rows, 1, lossOverRows);
    const gradient = new Float32Array(this.#arrays.size);
    const means: Record<string, number> = {};
    const perRow: Record<string, Float32Array> = {};
    let loss = 0;
    for (let first = 0; first < rows.length; first += microBatch) {
      const own = rows.subarray(first, first + microBatch);
      const pass = this.#pass(own, own.length / rows.length, lossOverRows);
      const part = this.#gradient();
      for (let i = 0; i < gradient.length; i++) gradient[i]! += part[i]!;
      loss += pass.loss;
      for (const [name, value] of Object.entries(pass.means)) means[name] = (means[name] ?? 0) + value;
      for (const [name, values] of Object.entries(pass.perRow)) {
        perRow[name] ??= new Float32Array(rows.length);
        perRow[name].set(values, first);
      }
    }
    this.#gradient().set(gradient);
    return { loss, means, perRow };
  }

  /** One update on a minibatch. @param progress how far the run is, 0 to 1, for the schedule of the learning rate. */
  async update(rows: Int32Array, lossOverRows: LossOverRows, progress: number, signal?: AbortSignal): Promise<Update> {
    const result = this.#accumulate(rows, lossOverRows);
    const pause = breathe(signal);
    if (pause) await pause;
    const gradient = this.#gradient();
    let squares = 0;
    for (let i = 0; i < gradient.length; i++) squares += gradient[i]! * gradient[i]!;
    const gradNorm = Math.sqrt(squares);
    const applied = Number.isFinite(gradNorm) && Number.isFinite(result.loss);
    if (applied) this.#step(gradNorm, this.learningRate(progress));
    return { ...result, gradNorm, applied };
  }

  async save(folder: string): Promise<void> {
    const { memory, size } = this.#arrays;
    const moment = (address: number) => ({ data: memory.values(address, size).slice(), shape: [size] });
    const step = { data: Int32Array.of(this.#steps), shape: [1] };
    const state = new Map<string, NdArray>([
      ['m', moment(this.#m)],
      ['v', moment(this.#v)],
      ['step', step],
    ]);
    await saveOptimizer(folder, state, this.#steps);
  }

  /** @throws GymError E_FILE, E_STATE when the folder does not hold the state of these parameters. */
  async restore(folder: string): Promise<void> {
    const { memory, size } = this.#arrays;
    const { m, v, steps } = momentsOf((await loadOptimizer(folder)).state, size);
    memory.values(this.#m, size).set(m);
    memory.values(this.#v, size).set(v);
    this.#steps = steps;
  }

  /** There is nothing to free. */
  dispose(): void {}

  #gradient(): Float32Array {
    return this.#arrays.memory.values(this.#arrays.gradient, this.#arrays.size);
  }

  #pass(rows: Int32Array, share: number, lossOverRows: LossOverRows): Omit<HostGradient, 'gradient'> {
    const { loss, means = {}, perRow = {} } = lossOverRows(rows);
    const total = loss.mul(share) as ArrayRows;
    total.backward();
    this.#arrays.backward();
    const numbers: Record<string, number> = {};
    for (const [name, mean] of Object.entries(means))
      if (mean !== undefined) numbers[name] = (mean as ArrayRows).values[0]! * share;
    const arrays = Object.entries(perRow).map(
      ([name, values]) => [name, Float32Array.from((values as ArrayRows).values)] as const,
    );
    return { loss: total.values[0]!, means: numbers, perRow: Object.fromEntries(arrays) };
  }

  #step(gradNorm: number, learningRate: number): void {
    const { memory, size, weights, gradient } = this.#arrays;
    const { beta1, beta2, epsilon, weightDecay, maxGradNorm } = this.#options;
    const [m, v] = [this.#m, this.#v];
    this.#steps++;
    memory.kernels.adamW(
      ...[gradient, m, v, weights, m, v, weights, size],
      ...[beta1, beta2, 1 - beta1, 1 - beta2, gradientScale(gradNorm, maxGradNorm), 1 - learningRate * weightDecay],
      ...[learningRate / (1 - beta1 ** this.#steps), Math.sqrt(1 - beta2 ** this.#steps), epsilon],
    );
    this.#arrays.changed();
  }
}
