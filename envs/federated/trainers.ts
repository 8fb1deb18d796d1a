import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { type ErrorCode, GymError, messageOf } from '../../core/errors.js';
import { packed } from '../../core/packed.js';
import { type BackendName, useBackend } from '../../networks/backend.js';
import type { ClientTask, ClientTrainer, ClientUpdate, LocalOptions } from './client.js';
import type { NetworkConfig } from './network.js';

/** What a worker thread is made from. */
export interface TrainerTask {
  readonly network: NetworkConfig;
  readonly options: LocalOptions;
  readonly backend: BackendName;
}

/** What it answers: once when it is ready, and then to each task. */
export type TrainerReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'update'; readonly update: ClientUpdate }
  | { readonly kind: 'error'; readonly code: string; readonly message: string };

/** So many milliseconds must clients have trained here before threads are started that nobody asked for: a start takes a second. */
const worthStarting = 4000;

/**
 * Has clients train: in worker threads, where there are some, else one after the other here. A task has the same result
 * wherever it is computed, so that threads change how long a round takes and nothing else.
 */
export class Trainers {
  readonly #here: ClientTrainer;
  readonly #task: Omit<TrainerTask, 'backend'>;
  readonly #wanted: number | 'auto';
  #hands: Hand[] = [];
  #spent = 0;

  /** @param workers how many threads; auto: one a core, once training has proved to take long. */
  constructor(here: ClientTrainer, task: Omit<TrainerTask, 'backend'>, workers: number | 'auto') {
    this.#here = here;
    this.#task = task;
    this.#wanted = workers;
  }

  /** The updates of some clients, in the order of the tasks. @throws GymError E_STATE where a thread dies. */
  async train(tasks: readonly ClientTask[]): Promise<ClientUpdate[]> {
    await this.#startIfWorthwhile();
    const updates = new Array<ClientUpdate>(tasks.length);
    let next = 0;
    const work = async (train: (task: ClientTask) => Promise<ClientUpdate>) => {
      for (let i = next++; i < tasks.length; i = next++) updates[i] = await train(tasks[i]!);
    };
    if (this.#hands.length > 0) await Promise.all(this.#hands.map((hand) => work((task) => hand.train(task))));
    else {
      const start = performance.now();
      await work((task) => this.#here.train(task));
      this.#spent += performance.now() - start;
    }
    return updates;
  }

  async #startIfWorthwhile(): Promise<void> {
    if (this.#hands.length > 0) return;
    const cores = availableParallelism();
    const number = this.#wanted === 'auto' ? (this.#spent > worthStarting && cores > 1 ? cores : 0) : this.#wanted;
    if (number === 0) return;
    const { name: backend } = await useBackend();
    const hands = Array.from({ length: number }, () => new Hand({ ...this.#task, backend }));
    this.#hands = hands;
    await Promise.all(hands.map((hand) => hand.ready));
  }

  /** Ends the threads. */
  close(): void {
    for (const hand of this.#hands.splice(0)) hand.close();
  }
}

interface Waiting {
  resolve(reply: TrainerReply): void;
  reject(error: unknown): void;
}

/** One worker thread, as the main thread sees it: it computes one task at a time. */
class Hand {
  readonly ready: Promise<unknown>;
  readonly #worker: Worker;
  #waiting: Waiting | undefined;
  #dead: GymError | undefined;

  constructor(task: TrainerTask) {
    // A thread that runs from the sources needs the same loader of TypeScript as the main program.
    const source = import.meta.url.endsWith('.ts');
    this.#worker = new Worker(new URL(`./client-worker.${source ? 'ts' : 'js'}`, import.meta.url), {
      workerData: task,
      ...(source && { execArgv: ['--no-warnings', '--import', new URL('../../register.mjs', import.meta.url).href] }),
    });
    this.#worker.on('message', (reply: TrainerReply) => this.#settle((waiting) => waiting.resolve(reply)));
    this.#worker.on('error', (error) => this.#die(messageOf(error)));
    this.#worker.on('exit', (code) => this.#die(`it exited with code ${code}`));
    this.ready = this.#answer();
  }

  async train(task: ClientTask): Promise<ClientUpdate> {
    if (this.#dead !== undefined) throw this.#dead;
    const { message, transfer } = packed(task);
    this.#worker.postMessage(message, transfer);
    // While an answer is awaited the process must not end; an idle thread does not keep it alive.
    this.#worker.ref();
    return ((await this.#answer()) as Extract<TrainerReply, { kind: 'update' }>).update;
  }

  async #answer(): Promise<TrainerReply> {
    const reply = await new Promise<TrainerReply>((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
    if (reply.kind === 'error') throw new GymError(reply.code as ErrorCode, reply.message);
    return reply;
  }

  #settle(how: (waiting: Waiting) => void): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#worker.unref();
    if (waiting) how(waiting);
  }

  #die(why: string): void {
    this.#dead ??= new GymError(
      'E_STATE',
      `FederatedPrototypes: a worker thread in which clients train died: ${why}. Free memory, or train without (workers: 0).`,
    );
    const dead = this.#dead;
    this.#settle((waiting) => waiting.reject(dead));
  }

  close(): void {
    void this.#worker.terminate();
  }
}
