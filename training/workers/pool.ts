import { Worker } from 'node:worker_threads';
import type { Decision } from '../../agents/agent.js';
import type {
  HostGradient,
  UnitState,
  UnitWeights,
  Versioned,
  WorkUnits,
} from '../../agents/optimization/work-units.js';
import { type ErrorCode, GymError, messageOf } from '../../core/errors.js';
import { packed } from '../../core/packed.js';
import type { ReplicaTask, UnitReply, UnitRequest } from './protocol.js';

/** So long must the main thread have computed before workers are started that nobody asked for: a start takes a second. */
const worthStarting = 4000;
/** A unit is given to so many workers, if they die of it, before the run fails. */
const mostTries = 3;

interface Unit {
  readonly request: UnitRequest;
  readonly state: UnitState;
  tries: number;
  /** Is given the result before the worker computes anything else. */
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/** One worker, as the main thread sees it. */
interface Hand {
  readonly worker: Worker;
  ready: boolean;
  /** Versions of the states that it has. */
  weights: number;
  batch: number;
  unit: Unit | undefined;
  /** Called when it has begun, or cannot. */
  begun(): void;
}

export interface PoolOptions {
  /** How many workers; undefined: one for each core, once the work has proved to be long. */
  readonly workers: number;
  /** Whether somebody asked for workers: they are then started at once. */
  readonly explicit: boolean;
  readonly warn?: ((message: string) => void) | undefined;
}

/**
 * Worker threads that compute units of an agent's work. A worker that dies is replaced and its unit computed again: units
 * depend on their inputs alone, so nothing is lost and no number changes.
 */
export class WorkerPool implements WorkUnits {
  readonly #task: ReplicaTask;
  readonly #options: PoolOptions;
  readonly #hands = new Set<Hand>();
  readonly #queue: Unit[] = [];
  #spent = 0;
  #started = false;
  #closed = false;
  /** Whether it was told that a worker cannot begin. */
  #hopeless = false;
  /** Of the first workers: each is resolved when it has begun, or cannot. */
  readonly #begun: Promise<void>[] = [];
  #cache: { weights?: [number, unknown]; batch?: [number, unknown] } = {};
  /** Where workers read the weights. */
  #values: Float32Array<SharedArrayBuffer> | undefined;

  constructor(task: ReplicaTask, options: PoolOptions) {
    this.#task = task;
    this.#options = options;
    if (options.explicit) this.#start();
  }

  /** Until every worker of the first ones has begun, or cannot. */
  async begun(): Promise<void> {
    await Promise.all(this.#begun);
  }

  get lanes(): number {
    return [...this.#hands].some(({ ready }) => ready) ? this.#options.workers : 0;
  }

  took(milliseconds: number): void {
    this.#spent += milliseconds;
    if (this.#spent > worthStarting) this.#start();
  }

  sample(observations: readonly unknown[], explore: boolean, state: UnitState): Promise<Decision<unknown>> {
    return this.#compute({ kind: 'sample', observations, explore }, state, (result) => result as Decision<unknown>);
  }

  gradient<T>(rows: Int32Array, share: number, state: UnitState, take: (result: HostGradient) => T): Promise<T> {
    return this.#compute({ kind: 'gradient', rows, share }, state, take as (result: unknown) => T);
  }

  /** Ends all threads. Units that wait fail. */
  async close(): Promise<void> {
    this.#closed = true;
    const error = new GymError('E_STATE', 'workers: they were closed.');
    for (const unit of this.#queue.splice(0)) unit.reject(error);
    const hands = [...this.#hands];
    this.#hands.clear();
    for (const { unit } of hands) unit?.reject(error);
    await Promise.all(hands.map(({ worker }) => worker.terminate()));
  }

  #start(): void {
    if (this.#started || this.#closed) return;
    this.#started = true;
    for (let i = 0; i < this.#options.workers; i++) this.#begun.push(new Promise((resolve) => this.#hire(resolve)));
  }

  #hire(begun: () => void = () => {}): void {
    // A thread that runs from the sources needs the same loader of TypeScript as the main program.
    const source = import.meta.url.endsWith('.ts');
    const worker = new Worker(new URL(`./worker-main.${source ? 'ts' : 'js'}`, import.meta.url), {
      workerData: this.#task,
      ...(source && { execArgv: ['--no-warnings', '--import', new URL('../../register.mjs', import.meta.url).href] }),
    });
    const hand: Hand = { worker, ready: false, weights: -1, batch: -1, unit: undefined, begun };
    this.#hands.add(hand);
    worker.on('message', (reply: UnitReply) => this.#take(hand, reply));
    worker.on('error', (error) => this.#lose(hand, messageOf(error)));
    worker.on('exit', (code) => this.#lose(hand, `it exited with code ${code}`));
  }

  #take(hand: Hand, reply: UnitReply): void {
    if (reply.kind === 'ready') {
      hand.ready = true;
      // While somebody waited for it to begin the process could not end; from here on only its units keep the process.
      hand.worker.unref();
      hand.begun();
      this.#dispatch();
      return;
    }
    const { unit } = hand;
    if (unit === undefined) {
      // It could not even begin.
      if (reply.kind === 'error') this.#giveUp(reply.message);
      hand.worker.unref();
      hand.begun();
      return;
    }
    hand.unit = undefined;
    hand.worker.unref();
    if (reply.kind === 'error') unit.reject(new GymError(reply.code as ErrorCode, reply.message));
    else unit.resolve(reply.result);
    this.#dispatch();
  }

  #lose(hand: Hand, why: string): void {
    hand.begun();
    if (!this.#hands.delete(hand) || this.#closed) return;
    const { unit } = hand;
    if (!hand.ready) {
      this.#giveUp(why);
      return;
    }
    if (unit !== undefined) {
      unit.tries++;
      if (unit.tries >= mostTries)
        unit.reject(
          new GymError(
            'E_STATE',
            `workers: ${unit.tries} worker threads died, one after the other, of the same piece of work: ${why}. Free memory, or compute without workers (workers: 0).`,
          ),
        );
      else this.#queue.unshift(unit);
    }
    this.#options.warn?.(`a worker thread died (${why}); another one takes its place, and nothing is lost.`);
    this.#hire();
    this.#dispatch();
  }

  /** A worker cannot begin. Without any, everything is computed in the main thread, which gives the same numbers. */
  #giveUp(why: string): void {
    if (this.lanes === 0)
      for (const unit of this.#queue.splice(0))
        unit.reject(new GymError('E_STATE', `workers: none is left, and no other one can begin: ${why}`));
    if (this.#hopeless) return;
    this.#hopeless = true;
    this.#options.warn?.(`a worker cannot begin: ${why}; what it would compute is computed without it, more slowly.`);
  }

  #compute<T>(request: UnitRequest, state: UnitState, take: (result: unknown) => T): Promise<T> {
    if (this.#closed) return Promise.reject(new GymError('E_STATE', 'workers: they were closed.'));
    return new Promise((resolve, reject) => {
      this.#queue.push({
        request,
        state,
        tries: 0,
        resolve: (result) => resolve((async () => take(result))()),
        reject,
      });
      this.#dispatch();
    });
  }

  #dispatch(): void {
    for (const hand of this.#hands) {
      if (!hand.ready || hand.unit !== undefined) continue;
      const unit = this.#queue.shift();
      if (unit === undefined) return;
      hand.unit = unit;
      // While an answer is awaited the process must not end.
      hand.worker.ref();
      this.#send(hand, unit).catch((error) => {
        hand.unit = undefined;
        unit.reject(error);
      });
    }
  }

  async #send(hand: Hand, unit: Unit): Promise<void> {
    const { weights, batch } = unit.state;
    // Read before anything can change them, and once for all workers.
    const values = [
      this.#read('weights', weights, (read) => this.#shared(read, weights.version)),
      batch && this.#read('batch', batch, (read) => read),
    ] as const;
    const post = (request: UnitRequest) => {
      const { message, transfer } = packed(request);
      hand.worker.postMessage(message, transfer);
    };
    const [w, b] = await Promise.all(values);
    // Not packed, which would copy what is shared.
    if (hand.weights !== weights.version)
      hand.worker.postMessage({ kind: 'weights', weights: w } satisfies UnitRequest);
    hand.weights = weights.version;
    if (batch && hand.batch !== batch.version) post({ kind: 'batch', batch: b });
    if (batch) hand.batch = batch.version;
    post(unit.request);
  }

  #read<T>(kind: 'weights' | 'batch', state: Versioned<T>, keep: (value: T) => T): Promise<T> {
    const known = this.#cache[kind];
    if (known?.[0] === state.version) return known[1] as Promise<T>;
    const value = Promise.resolve(state.read()).then(keep);
    this.#cache[kind] = [state.version, value];
    return value;
  }

  /** Weights in memory that all threads have: that of older weights, unless a worker still computes with those. */
  #shared({ values, window }: UnitWeights, version: number): UnitWeights {
    const inUse = [...this.#hands].some(({ unit }) => unit !== undefined && unit.state.weights.version !== version);
    if (inUse || this.#values?.length !== values.length)
      this.#values = new Float32Array(new SharedArrayBuffer(values.byteLength));
    this.#values.set(values);
    return { values: this.#values, window };
  }
}
