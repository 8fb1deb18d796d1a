import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { type ErrorCode, GymError, messageOf } from '../core/errors.js';
import type { NdArray } from '../core/ndarray.js';
import type { Snapshot } from '../core/snapshot.js';
import type { Info } from '../core/types.js';
import type { EnvSpec } from './env.js';
import type { KnownEnvs, MakeOptions, VectorEnvOf } from './registry.js';
import { spaceFromJson } from './spaces/json.js';
import type { Space } from './spaces/space.js';
import type { Autoreset, VectorEnv, VectorResetOptions, VectorResetResult, VectorStepResult } from './vector-env.js';
import {
  type Bundle,
  packed,
  type Ready,
  type Reply,
  type Request,
  unbundled,
  type WorkerTask,
} from './worker-protocol.js';

export interface WorkerVectorOptions extends Pick<MakeOptions, 'maxEpisodeSteps'> {
  /** Threads; default as many as there are cores, at most one an environment. */
  workers?: number;
  /** Default 'next-step'. */
  autoreset?: Autoreset;
  /**
   * What follows when a thread dies (not: throws). 'error': the call fails, and the environment is of no more use.
   * 'replace': another takes its place; the episodes of its environments are truncated with their last observation,
   * reward 0 and `info.crashed`, and begin anew as after any end. Default 'error'.
   */
  onCrash?: 'error' | 'replace';
}

/** The thread is gone: what it was asked has no answer. */
class Crash extends Error {}

/** One thread and the environments in it. */
class Crew {
  readonly numEnvs: number;
  readonly offset: number;
  readonly ready: Promise<Ready>;
  readonly #worker: Worker;
  #dead: Crash | undefined;
  #waiting: { resolve(reply: Reply): void; reject(error: unknown): void } | undefined;

  constructor(task: WorkerTask, offset: number) {
    this.numEnvs = task.numEnvs;
    this.offset = offset;
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
        `WorkerVectorEnv: environments ${this.offset} to ${this.offset + this.numEnvs - 1}: ${reply.message}`,
      );
    return reply;
  }

  async ask<R>(request: Request): Promise<R> {
    await this.ready;
    if (this.#dead !== undefined) throw this.#dead;
    this.#worker.ref(); // the process lives as long as an answer is awaited, not as long as the thread
    const { message, transfer } = packed(request);
    this.#worker.postMessage(message, transfer);
    return ((await this.#answer()) as { result: unknown }).result as R;
  }

  /** Asks for observations. */
  async observe<R>(request: Request): Promise<R> {
    return unbundled<R>(await this.ask<Bundle>(request));
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

/**
 * Environments in threads, each thread with a share of them in a `SyncVectorEnv`: for environments whose step takes
 * longer than a message (some 50 µs). Made by {@link makeWorkerVec}. Results are those of the `SyncVectorEnv` of the
 * same environments, whatever the number of threads.
 */
export class WorkerVectorEnv<O, A> implements VectorEnv<O, A> {
  readonly numEnvs: number;
  readonly observationSpace: Space<O>;
  readonly actionSpace: Space<A>;
  readonly autoreset: Autoreset;
  readonly spec?: EnvSpec;
  readonly render?: () => Promise<(NdArray | string)[]>;
  readonly snapshot?: () => Promise<Snapshot>;
  readonly restore?: (snapshot: Snapshot) => Promise<VectorResetResult<O>>;
  readonly #tasks: readonly WorkerTask[];
  readonly #crews: Crew[];
  readonly #onCrash: 'error' | 'replace';
  /** 1 for crews that took a dead one's place and whose environments have not been reset. */
  readonly #fresh: Uint8Array;
  #observations: O[] = [];
  #busy: string | undefined;
  #closed = false;

  private constructor(tasks: readonly WorkerTask[], crews: Crew[], ready: Ready, onCrash: 'error' | 'replace') {
    this.#tasks = tasks;
    this.#crews = crews;
    this.#onCrash = onCrash;
    this.#fresh = new Uint8Array(crews.length);
    this.numEnvs = tasks.reduce((sum, task) => sum + task.numEnvs, 0);
    this.autoreset = tasks[0]!.autoreset;
    this.observationSpace = spaceFromJson(ready.observationSpace) as Space<O>;
    this.actionSpace = spaceFromJson(ready.actionSpace) as Space<A>;
    if (ready.spec !== undefined) this.spec = ready.spec as EnvSpec;
    if (ready.renders)
      this.render = () => this.#alone('render', async () => (await this.#all<(NdArray | string)[]>('render')).flat());
    if (ready.snapshots) {
      this.snapshot = () => this.#alone('snapshot', () => this.#all<Snapshot>('snapshot'));
      this.restore = (snapshot) => this.#alone('restore', () => this.#restore(snapshot as Snapshot[]));
    }
  }

  /** Starts the threads and waits until all have made their environments. */
  static async start<O, A>(
    task: WorkerTask,
    workers: number,
    onCrash: 'error' | 'replace',
  ): Promise<WorkerVectorEnv<O, A>> {
    const shares = Array.from(
      { length: workers },
      (_, k) => Math.floor(((k + 1) * task.numEnvs) / workers) - Math.floor((k * task.numEnvs) / workers),
    );
    const tasks = shares.map((numEnvs) => ({ ...task, numEnvs }));
    let offset = 0;
    const crews = tasks.map((own) => {
      offset += own.numEnvs;
      return new Crew(own, offset - own.numEnvs);
    });
    try {
      const [ready] = await Promise.all(crews.map((crew) => crew.ready));
      return new WorkerVectorEnv<O, A>(tasks, crews, ready!, onCrash);
    } catch (error) {
      await Promise.all(crews.map((crew) => crew.end()));
      throw error instanceof Crash ? crashed(0, task.numEnvs, error) : error;
    }
  }

  /** Runs one call at a time. */
  async #alone<R>(call: string, run: () => Promise<R>): Promise<R> {
    if (this.#closed) throw new GymError('E_STATE', 'WorkerVectorEnv: it is closed; make another one.');
    if (this.#busy !== undefined)
      throw new GymError('E_STATE', `WorkerVectorEnv.${call}: ${this.#busy}() has not ended yet; await it first.`);
    this.#busy = call;
    try {
      return await run();
    } finally {
      this.#busy = undefined;
    }
  }

  /** Asks all crews at once; waits for all of them, so that none is left with an answer that nobody expects. */
  async #each<R>(ask: (crew: Crew, k: number) => Promise<R>): Promise<R[]> {
    const answers = await Promise.allSettled(this.#crews.map(ask));
    return answers.map((answer, k) => {
      if (answer.status === 'fulfilled') return answer.value;
      const { offset, numEnvs } = this.#crews[k]!;
      throw answer.reason instanceof Crash ? crashed(offset, numEnvs, answer.reason) : answer.reason;
    });
  }

  #all<R>(kind: 'render' | 'snapshot' | 'close'): Promise<R[]> {
    return this.#each((crew) => crew.ask<R>({ kind }));
  }

  /** The same as `SyncVectorEnv.reset`. */
  reset({ seed, options, mask }: VectorResetOptions = {}): Promise<VectorResetResult<O>> {
    return this.#alone('reset', async () => {
      const n = this.numEnvs;
      if (typeof seed === 'object' && seed.length !== n)
        throw new GymError(
          'E_VALUE',
          `WorkerVectorEnv.reset: ${seed.length} seeds for ${n} environments; give one each.`,
        );
      if (mask !== undefined && !(mask instanceof Uint8Array && mask.length === n && mask.includes(1)))
        throw new GymError('E_VALUE', `WorkerVectorEnv.reset: mask must be a Uint8Array of ${n} with at least one 1.`);
      if (mask?.includes(0) && this.#observations.length === 0)
        throw new GymError('E_STATE', 'WorkerVectorEnv.reset: the first reset must be of all; leave out the mask.');
      const results = await this.#each(async (crew, k): Promise<VectorResetResult<O>> => {
        const { offset, numEnvs } = crew;
        const own = mask?.slice(offset, offset + numEnvs);
        if (own !== undefined && !own.includes(1))
          return {
            observations: this.#observations.slice(offset, offset + numEnvs),
            infos: Array.from({ length: numEnvs }, () => ({})),
          };
        const seeds = typeof seed === 'number' ? seed + offset : seed?.slice(offset, offset + numEnvs);
        // a fresh crew has no episode yet that a mask could spare
        const result = await crew.observe<VectorResetResult<O>>({
          kind: 'reset',
          options: { seed: seeds, options, ...(own === undefined || this.#fresh[k] === 1 ? {} : { mask: own }) },
        });
        this.#fresh[k] = 0;
        return result;
      });
      return this.#started(results);
    });
  }

  #started(results: readonly VectorResetResult<O>[]): VectorResetResult<O> {
    const observations = results.flatMap((result) => result.observations);
    this.#observations = observations;
    return { observations: [...observations], infos: results.flatMap((result) => result.infos) };
  }

  /** The same as `SyncVectorEnv.step`. @throws GymError E_STATE, too, when a thread died and is not to be replaced. */
  step(actions: readonly A[]): Promise<VectorStepResult<O>> {
    return this.#alone('step', async () => {
      if (this.#observations.length === 0)
        throw new GymError('E_STATE', 'WorkerVectorEnv.step: no episode has begun; call reset() first.');
      if (actions.length !== this.numEnvs)
        throw new GymError(
          'E_VALUE',
          `WorkerVectorEnv.step: ${actions.length} actions for ${this.numEnvs} environments; hand in one each.`,
        );
      const parts = await this.#each((crew, k) =>
        this.#stepCrew(crew, k, actions.slice(crew.offset, crew.offset + crew.numEnvs)),
      );
      const out: VectorStepResult<O> = {
        observations: parts.flatMap((part) => part.observations),
        rewards: new Float64Array(this.numEnvs),
        terminated: new Uint8Array(this.numEnvs),
        truncated: new Uint8Array(this.numEnvs),
        infos: parts.flatMap((part) => part.infos),
      };
      parts.forEach((part, k) => {
        const { offset } = this.#crews[k]!;
        out.rewards.set(part.rewards, offset);
        out.terminated.set(part.terminated, offset);
        out.truncated.set(part.truncated, offset);
      });
      this.#observations = [...out.observations];
      return out;
    });
  }

  async #stepCrew(crew: Crew, k: number, actions: readonly A[]): Promise<VectorStepResult<O>> {
    const n = crew.numEnvs;
    const still = { rewards: new Float64Array(n), terminated: new Uint8Array(n), truncated: new Uint8Array(n) };
    if (this.#fresh[k] === 1) {
      if (this.autoreset === 'disabled')
        throw new GymError(
          'E_STATE',
          `WorkerVectorEnv.step: the episodes of environments ${crew.offset} to ${crew.offset + n - 1} have ended and autoreset is disabled; call reset({ mask }) with a 1 for each.`,
        );
      const begun = await crew.observe<VectorResetResult<O>>({ kind: 'reset', options: {} });
      this.#fresh[k] = 0;
      return { ...still, ...begun };
    }
    try {
      return await crew.observe<VectorStepResult<O>>({ kind: 'step', actions });
    } catch (error) {
      if (!(error instanceof Crash) || this.#onCrash === 'error') throw error;
      const next = new Crew(this.#tasks[k]!, crew.offset);
      this.#crews[k] = next;
      still.truncated.fill(1);
      const last = this.#observations.slice(crew.offset, crew.offset + n);
      const info: Info = { crashed: error.message };
      if (this.autoreset !== 'same-step') {
        await next.ready;
        this.#fresh[k] = 1;
        return { ...still, observations: last, infos: last.map(() => ({ ...info })) };
      }
      const { observations, infos } = await next.observe<VectorResetResult<O>>({ kind: 'reset', options: {} });
      return {
        ...still,
        observations,
        infos: infos.map((own, i) => ({ ...own, finalObservation: last[i], finalInfo: { ...info } })),
      };
    }
  }

  async #restore(snapshots: Snapshot[]): Promise<VectorResetResult<O>> {
    if (snapshots.length !== this.#crews.length)
      throw new GymError(
        'E_STATE',
        `WorkerVectorEnv.restore: the snapshot is of ${snapshots.length} threads, there are ${this.#crews.length}; make it with as many workers.`,
      );
    const results = await this.#each((crew, k) =>
      crew.observe<VectorResetResult<O>>({ kind: 'restore', snapshot: snapshots[k]! }),
    );
    this.#fresh.fill(0);
    return this.#started(results);
  }

  /** Closes the environments and ends the threads, also in the middle of a call. May be called again. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#busy === undefined) await Promise.allSettled(this.#crews.map((crew) => crew.ask({ kind: 'close' })));
    await Promise.all(this.#crews.map((crew) => crew.end()));
  }

  toString(): string {
    return `WorkerVectorEnv(${this.numEnvs}, ${this.spec?.id ?? ''}, ${this.#crews.length} workers, ${this.autoreset})`;
  }
}

function crashed(offset: number, numEnvs: number, cause: Crash): GymError {
  return new GymError(
    'E_STATE',
    `WorkerVectorEnv: the thread of environments ${offset} to ${offset + numEnvs - 1} died: ${cause.message}; with onCrash 'replace' another takes its place.`,
    { cause },
  );
}

/**
 * Makes environments in threads.
 * @param id as `make` takes it; for an environment of your own `module:Name-v0`, since a thread knows only what it
 *   imports (a package, or a path from the working directory that begins with . or /).
 * @param options must be plain data: they are sent to the threads.
 * @throws GymError as `make`, and E_CONFIG on options that cannot be sent.
 */
export async function makeWorkerVec<K extends string>(
  id: K,
  numEnvs: number,
  options?: K extends keyof KnownEnvs ? KnownEnvs[K]['options'] : Readonly<Record<string, unknown>>,
  make?: WorkerVectorOptions,
): Promise<VectorEnvOf<K> extends VectorEnv<infer O, infer A> ? WorkerVectorEnv<O, A> : never>;
export async function makeWorkerVec(
  id: string,
  numEnvs: number,
  options: Readonly<Record<string, unknown>> = {},
  { workers, autoreset = 'next-step', maxEpisodeSteps, onCrash = 'error' }: WorkerVectorOptions = {},
): Promise<WorkerVectorEnv<unknown, unknown>> {
  if (!Number.isInteger(numEnvs) || numEnvs < 1)
    throw new GymError(
      'E_VALUE',
      `makeWorkerVec ${id}: numEnvs must be an integer of at least 1, actual value ${numEnvs}.`,
    );
  const threads = Math.min(numEnvs, workers ?? availableParallelism());
  if (!Number.isInteger(threads) || threads < 1)
    throw new GymError(
      'E_VALUE',
      `makeWorkerVec ${id}: workers must be an integer of at least 1, actual value ${workers}.`,
    );
  if (onCrash !== 'error' && onCrash !== 'replace')
    throw new GymError(
      'E_CONFIG',
      `makeWorkerVec ${id}: onCrash must be 'error' or 'replace', actual value ${onCrash}.`,
    );
  try {
    structuredClone(options);
  } catch (error) {
    throw new GymError(
      'E_CONFIG',
      `makeWorkerVec ${id}: the options must be plain data, which can be sent to a thread: ${messageOf(error)}`,
      { cause: error },
    );
  }
  return WorkerVectorEnv.start({ id, numEnvs, options, maxEpisodeSteps, autoreset }, threads, onCrash);
}
