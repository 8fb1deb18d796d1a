import type { NdArray } from '../../core/ndarray.js';
import type { Snapshot } from '../../core/snapshot.js';

/** Which keys are in the queue, and how samples were labelled: what excludes negatives. All begin empty. */
export class LabelMemory {
  /** [N, epochs] of one target: the label that each sample was given in each epoch, −1 for none. */
  #labels: Int32Array;
  /** [N] the epoch of each sample's latest label, −1 for none. */
  #latest: Int32Array;
  /** [K] */
  #queue: Int32Array;
  readonly #epochs: number;
  readonly #slots: number;

  /** @param slots T, how many previous epochs are shown. */
  constructor(samples: number, epochs: number, queue: number, slots: number) {
    this.#labels = new Int32Array(samples * epochs).fill(-1);
    this.#latest = new Int32Array(samples).fill(-1);
    this.#queue = new Int32Array(queue).fill(-1);
    this.#epochs = epochs;
    this.#slots = slots;
  }

  /** int32 [K], the newest first. */
  get queueIndex(): NdArray<Int32Array> {
    return { data: this.#queue.slice(), shape: [this.#queue.length] };
  }

  /** int32 [K]: each queued sample's latest label. */
  get queueLabels(): NdArray<Int32Array> {
    const data = this.#queue.map((index) => {
      const epoch = index < 0 ? -1 : this.#latest[index]!;
      return epoch < 0 ? -1 : this.#labels[index * this.#epochs + epoch]!;
    });
    return { data, shape: [data.length] };
  }

  /** int32 [indices, T]: the labels of samples in the T epochs before one, the last epoch first. */
  history(indices: Int32Array, epoch: number): NdArray<Int32Array> {
    const slots = this.#slots;
    const data = Int32Array.from({ length: indices.length * slots }, (_, i) => {
      const [index, before] = [indices[Math.floor(i / slots)]!, epoch - 1 - (i % slots)];
      return index < 0 || before < 0 ? -1 : this.#labels[index * this.#epochs + before]!;
    });
    return { data, shape: [indices.length, slots] };
  }

  /** The label of a sample in an epoch; −1 for none, and before the first epoch. */
  labelOf(index: number, epoch: number): number {
    return epoch < 0 ? -1 : this.#labels[index * this.#epochs + epoch]!;
  }

  /** Writes down a batch's labels (−1 for no label). */
  label(indices: Int32Array, labels: Int32Array, epoch: number): void {
    indices.forEach((index, i) => {
      this.#labels[index * this.#epochs + epoch] = labels[i]!;
      if (labels[i]! >= 0) this.#latest[index] = epoch;
    });
  }

  /** Puts a batch into the queue, out of which its oldest fall. */
  enqueue(indices: Int32Array): void {
    const { length } = this.#queue;
    this.#queue.copyWithin(Math.min(indices.length, length), 0);
    this.#queue.set(indices.subarray(0, length));
  }

  snapshot(): Snapshot {
    const array = (data: Int32Array) => ({ data: data.slice(), shape: [data.length] });
    return { labels: array(this.#labels), latest: array(this.#latest), queue: array(this.#queue) };
  }

  restore(snapshot: Snapshot): void {
    const { labels, latest, queue } = snapshot as unknown as Record<string, NdArray<Int32Array>>;
    this.#labels = Int32Array.from(labels!.data);
    this.#latest = Int32Array.from(latest!.data);
    this.#queue = Int32Array.from(queue!.data);
  }
}

/** Features and probabilities of the whole target, of which each batch overwrites the oldest. */
export class Bank {
  #features: NdArray<Float32Array>;
  #probs: NdArray<Float32Array>;
  #next = 0;

  constructor(features: NdArray<Float32Array>, probs: NdArray<Float32Array>) {
    this.#features = features;
    this.#probs = probs;
  }

  get features(): NdArray<Float32Array> {
    return this.#features;
  }

  get probs(): NdArray<Float32Array> {
    return this.#probs;
  }

  /** Writes a batch's rows. What was handed out before stays as it is. */
  write(features: NdArray<Float32Array>, probs: NdArray<Float32Array>): void {
    const rows = this.#features.shape[0]!;
    const into = (bank: NdArray<Float32Array>, batch: NdArray<Float32Array>) => {
      const data = bank.data.slice();
      const columns = bank.shape[1]!;
      for (let i = 0; i < batch.shape[0]!; i++)
        data.set(batch.data.subarray(i * columns, (i + 1) * columns), ((this.#next + i) % rows) * columns);
      return { data, shape: bank.shape };
    };
    this.#features = into(this.#features, features);
    this.#probs = into(this.#probs, probs);
    this.#next = (this.#next + features.shape[0]!) % rows;
  }

  snapshot(): Snapshot {
    return { features: this.#features, probs: this.#probs, next: this.#next };
  }

  static restore(snapshot: Snapshot): Bank {
    const { features, probs, next } = snapshot as unknown as {
      features: NdArray<Float32Array>;
      probs: NdArray<Float32Array>;
      next: number;
    };
    const bank = new Bank(features, probs);
    bank.#next = next;
    return bank;
  }
}
