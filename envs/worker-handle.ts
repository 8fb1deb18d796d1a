import { Worker } from 'node:worker_threads';
import { type ErrorCode, GymError, messageOf } from '../core/errors.js';
import { packed } from '../core/packed.js';
import { type Bundle, type Ready, type Reply, type Request, unbundled, type WorkerTask } from './worker-protocol.js';

/** A thread has died, so that what it was asked gets no answer. */
export class Crash extends Error {}

/**
 * One worker thread with its share of the environments, as the main thread sees it. It answers one request at a time.
 */
export class WorkerHandle {
  readonly numEnvs: number;
  /** Of all environments, those in this thread are the ones from `offset` to before `end`. */
  readonly offset: number;
  readonly end: number;
  /** Resolves when the environments are made; rejects with the reason why they cannot be. */
  readonly ready: Promise<Ready>;
  readonly #worker: Worker;
  #begun = false;
  #dead: Crash | undefined;
  #waiting: { resolve(reply: Reply): void; reject(error: unknown): void } | undefined;

  constructor(task: WorkerTask, offset: number) {
    this.numEnvs = task.numEnvs;
    this.offset = offset;
    this.end = offset + task.numEnvs;
    // A thread that runs from the sources needs the same loader of TypeScript as the main program.
    const source = import.meta.url.endsWith('.ts');
    this.#worker = new Worker(new URL(`./worker-main.${source ? 'ts' : 'js'}`, import.meta.url), {
      workerData: task,
      ...(source ? { execArgv: ['--no-warnings', '--import', new URL('../register.mjs', import.meta.url).href] } : {}),
    });
    this.#worker.on('message', (reply: Reply) => this.#settle((waiting) => waiting.resolve(reply)));
    this.#worker.on('error', (error) => this.#die(messageOf(error)));
    this.#worker.on('exit', (code) => this.#die(`it exited with code ${code}`));
    this.ready = this.#answer().then((reply) => (reply as { ready: Ready }).ready);
    // Whoever awaits `ready` sees its error. Without this handler Node would end the process before anybody does.
    this.ready.catch(() => {});
  }

  #settle(how: (waiting: { resolve(reply: Reply): void; reject(error: unknown): void }) => void): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) return;
    this.#worker.unref();
    how(waiting);
  }

  #die(why: string): void {
    this.#dead ??= new Crash(why);
    const dead = this.#dead;
    this.#settle((waiting) => waiting.reject(dead));
  }

  async #answer(): Promise<Reply> {
    if (this.#dead !== undefined) throw this.#dead;
    const reply = await new Promise<Reply>((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
    if (reply.kind === 'error')
      throw new GymError(
        reply.code as ErrorCode,
        // What a thread cannot even make, no other thread can make either, so which environments are in it is no
        // matter.
        this.#begun
          ? `WorkerVectorEnv: environments ${this.offset} to ${this.offset + this.numEnvs - 1}: ${reply.message}`
          : reply.message,
      );
    this.#begun = true;
    return reply;
  }

  /**
   * The answer to a request.
   * @throws Crash when the thread has died; GymError as the environments throw, or E_VALUE on what cannot be sent.
   */
  async ask<R>(request: Request): Promise<R> {
    await this.ready;
    if (this.#dead !== undefined) throw this.#dead;
    const { message, transfer } = packed(request);
    try {
      this.#worker.postMessage(message, transfer);
    } catch (error) {
      throw new GymError(
        'E_VALUE',
        `WorkerVectorEnv.${request.kind}: what it is given must be plain data and arrays, which can be sent to a thread: ${messageOf(error)}`,
        { cause: error },
      );
    }
    this.#worker.ref(); // While an answer is awaited the process must not end; an idle thread does not keep it alive.
    return ((await this.#answer()) as { result: unknown }).result as R;
  }

  /** The answer to a request for observations. */
  async observe<R>(request: Request): Promise<R> {
    return unbundled<R>(await this.ask<Bundle>(request));
  }

  /** Ends the thread. Every request that waits, and every later one, fails with a {@link Crash} for this reason. */
  async dismiss(why: string): Promise<void> {
    this.#die(why);
    await this.#worker.terminate();
  }
}
