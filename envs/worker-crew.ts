import { Worker } from 'node:worker_threads';
import { type ErrorCode, GymError, messageOf } from '../core/errors.js';
import {
  type Bundle,
  packed,
  type Ready,
  type Reply,
  type Request,
  unbundled,
  type WorkerTask,
} from './worker-protocol.js';

/** The thread is gone: what it was asked has no answer. */
export class Crash extends Error {}

/** One thread and the environments in it. */
export class Crew {
  readonly numEnvs: number;
  /** Its environments are those from `offset` to before `end`. */
  readonly offset: number;
  readonly end: number;
  readonly ready: Promise<Ready>;
  readonly #worker: Worker;
  #begun = false;
  #dead: Crash | undefined;
  #waiting: { resolve(reply: Reply): void; reject(error: unknown): void } | undefined;

  constructor(task: WorkerTask, offset: number) {
    this.numEnvs = task.numEnvs;
    this.offset = offset;
    this.end = offset + task.numEnvs;
    // run from the sources, a thread needs the same loader as the main program
    const source = import.meta.url.endsWith('.ts');
    this.#worker = new Worker(new URL(`./worker-main.${source ? 'ts' : 'js'}`, import.meta.url), {
      workerData: task,
      ...(source ? { execArgv: ['--no-warnings', '--import', new URL('../register.mjs', import.meta.url).href] } : {}),
    });
    this.#worker.on('message', (reply: Reply) => this.#settle((waiting) => waiting.resolve(reply)));
    this.#worker.on('error', (error) => this.#die(messageOf(error)));
    this.#worker.on('exit', (code) => this.#die(`it exited with code ${code}`));
    this.ready = this.#answer().then((reply) => (reply as { ready: Ready }).ready);
    this.ready.catch(() => {}); // whoever awaits it sees the error
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
        // a thread that cannot even begin is as all the others: its share has nothing to do with it
        this.#begun
          ? `WorkerVectorEnv: environments ${this.offset} to ${this.offset + this.numEnvs - 1}: ${reply.message}`
          : reply.message,
      );
    this.#begun = true;
    return reply;
  }

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
    this.#worker.ref(); // the process lives as long as an answer is awaited, not as long as the thread
    return ((await this.#answer()) as { result: unknown }).result as R;
  }

  /** Asks for observations. */
  async observe<R>(request: Request): Promise<R> {
    return unbundled<R>(await this.ask<Bundle>(request));
  }

  /** Ends the thread; what it is asked from now on has died of this. */
  async dismiss(why: string): Promise<void> {
    this.#die(why);
    await this.#worker.terminate();
  }
}
