import { availableParallelism } from 'node:os';
import { GymError, messageOf } from '../core/errors.js';
import type { NdArray } from '../core/ndarray.js';
import type { Snapshot } from '../core/snapshot.js';
import type { Info } from '../core/types.js';
import {
  checkNumEnvs,
  checkVectorReset,
  snapshotFlags,
  snapshotList,
  snapshotParts,
  stillEnded,
  wrongActions,
} from './checks.js';
import type { EnvSpec } from './env.js';
import type { KnownEnvs } from './registration.js';
import type { MakeOptions, VectorEnvOf } from './registry.js';
import { spaceFromJson } from './spaces/json.js';
import type { Space } from './spaces/space.js';
import type { Autoreset, VectorEnv, VectorResetOptions, VectorResetResult, VectorStepResult } from './vector-env.js';
import { Crash, WorkerHandle } from './worker-handle.js';
import type { Ready, WorkerTask } from './worker-protocol.js';

export interface WorkerVectorOptions extends Pick<MakeOptions, 'maxEpisodeSteps'> {
  /** The number of threads. Default: as many as there are cores, but at most one for each environment. */
  workers?: number | undefined;
  /** When environments whose episodes have ended are reset. Default 'next-step'. */
  autoreset?: Autoreset | undefined;
  /**
   * What follows when a thread dies, for instance because its environment ends the process. (An error that an
   * environment throws is told, and kills nothing.) Default 'error'.
   * - `error`: the call fails, and this object cannot be used any more.
   * - `replace`: at the next step, reset or restore another thread takes its place. A step that finds episodes lost
   *   truncates them: it returns their last observation, reward 0 and `info.crashed` (under `same-step`
   *   `info.finalInfo.crashed`). They begin anew as after any end.
   */
  onCrash?: 'error' | 'replace' | undefined;
}

/** In one call a thread is replaced at most so many times in a row: what kills them all would kill the next one too. */
const mostCrashes = 3;
/** More threads than any machine has cores are a mistake. */
const mostThreads = 1024;

/**
 * Environments in worker threads. Each thread has a share of them in a `SyncVectorEnv`. The results are those of one
 * `SyncVectorEnv` of all these environments, whatever the number of threads. It pays for environments whose step takes
 * longer than a message to a thread, which takes some 50 µs. {@link makeWorkerVec} makes it.
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
  readonly #handles: WorkerHandle[];
  readonly #onCrash: 'error' | 'replace';
  /** 1 for each environment whose episode has ended and that was not reset since. */
  readonly #ended: Uint8Array;
  #observations: O[] = [];
  #busy: string | undefined;
  #closed = false;

  private constructor(
    tasks: readonly WorkerTask[],
    handles: WorkerHandle[],
    ready: Ready,
    onCrash: 'error' | 'replace',
  ) {
    this.#tasks = tasks;
    this.#handles = handles;
    this.#onCrash = onCrash;
    this.numEnvs = tasks.reduce((sum, task) => sum + task.numEnvs, 0);
    this.#ended = new Uint8Array(this.numEnvs);
    this.autoreset = tasks[0]!.autoreset;
    this.observationSpace = spaceFromJson(ready.observationSpace) as Space<O>;
    this.actionSpace = spaceFromJson(ready.actionSpace) as Space<A>;
    if (ready.spec !== undefined) this.spec = ready.spec as EnvSpec;
    if (ready.renders)
      this.render = () => this.#alone('render', async () => (await this.#all<(NdArray | string)[]>('render')).flat());
    if (ready.snapshots) {
      this.snapshot = () =>
        this.#alone('snapshot', async () => ({
          workers: await this.#all<Snapshot>('snapshot'),
          ended: [...this.#ended],
        }));
      this.restore = (snapshot) => this.#alone('restore', () => this.#restore(snapshot));
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
    const handles = tasks.map((own) => {
      offset += own.numEnvs;
      return new WorkerHandle(own, offset - own.numEnvs);
    });
    try {
      const [ready] = await Promise.all(handles.map((handle) => handle.ready));
      if (onCrash === 'replace' && !ready!.replaceable)
        throw new GymError(
          'E_CONFIG',
          `makeWorkerVec ${task.id}: it is natively a vector environment, whose threads cannot be replaced; leave out onCrash.`,
        );
      return new WorkerVectorEnv<O, A>(tasks, handles, ready!, onCrash);
    } catch (error) {
      await Promise.all(handles.map((handle) => handle.dismiss('it could not begin')));
      throw error instanceof Crash
        ? new GymError('E_STATE', `makeWorkerVec ${task.id}: a thread died as it began: ${error.message}`, {
            cause: error,
          })
        : error;
    }
  }

  #needOpen(): void {
    if (this.#closed) throw new GymError('E_STATE', 'WorkerVectorEnv: it is closed; make another one.');
  }

  /** Runs a call, and refuses it while another one runs. */
  async #alone<R>(call: string, run: () => Promise<R>): Promise<R> {
    this.#needOpen();
    if (this.#busy !== undefined)
      throw new GymError('E_STATE', `WorkerVectorEnv.${call}: ${this.#busy}() has not ended yet; await it first.`);
    this.#busy = call;
    try {
      return await run();
    } finally {
      this.#busy = undefined;
    }
  }

  /**
   * Asks all threads at once. Waits for all, also where one fails, so that no thread answers when nobody expects it.
   */
  async #each<R>(ask: (handle: WorkerHandle, k: number) => Promise<R>): Promise<R[]> {
    const answers = await Promise.allSettled(this.#handles.map(ask));
    return answers.map((answer, k) => {
      if (answer.status === 'fulfilled') return answer.value;
      if (!(answer.reason instanceof Crash)) throw answer.reason;
      this.#needOpen(); // Where close() has ended the threads they did not crash.
      const { offset, numEnvs } = this.#handles[k]!;
      throw new GymError(
        'E_STATE',
        `WorkerVectorEnv: the thread of environments ${offset} to ${offset + numEnvs - 1} died: ${answer.reason.message}; ${
          this.#onCrash === 'error'
            ? "with onCrash 'replace' another takes its place."
            : 'the next step() or reset() puts another in its place.'
        }`,
        { cause: answer.reason },
      );
    });
  }

  #all<R>(kind: 'render' | 'snapshot' | 'close'): Promise<R[]> {
    return this.#each((handle) => handle.ask<R>({ kind }));
  }

  /**
   * Asks all threads at once. Where threads are to be replaced, another one takes the place of each that has died, and
   * is asked what `again` says.
   */
  #eachAlive<R>(
    ask: (handle: WorkerHandle, k: number) => Promise<R>,
    again: (handle: WorkerHandle, k: number, crash: Crash) => Promise<R>,
  ): Promise<R[]> {
    return this.#each(async (handle, k) => {
      let answer = ask(handle, k);
      for (let crashes = 1; ; crashes++) {
        try {
          return await answer;
        } catch (error) {
          if (!(error instanceof Crash) || this.#onCrash === 'error' || this.#closed) throw error;
          if (crashes > mostCrashes) throw new Crash(`${error.message}, and so did ${mostCrashes} before it`);
          const next = new WorkerHandle(this.#successor(k), handle.offset);
          this.#handles[k] = next;
          answer = again(next, k, error);
        }
      }
    });
  }

  /** The task of the thread that takes the place of thread k. */
  #successor(k: number): WorkerTask {
    const { offset, numEnvs } = this.#handles[k]!;
    const begun = this.#observations.length > 0;
    return { ...this.#tasks[k]!, ...(begun && { last: this.#observations.slice(offset, offset + numEnvs) }) };
  }

  /** The same as `SyncVectorEnv.reset`. */
  reset(reset: VectorResetOptions = {}): Promise<VectorResetResult<O>> {
    return this.#alone('reset', async () => {
      checkVectorReset('WorkerVectorEnv', this.numEnvs, reset, this.#observations.length > 0);
      const { seed, options, mask = new Uint8Array(this.numEnvs).fill(1) } = reset;
      const ask = async (handle: WorkerHandle): Promise<VectorResetResult<O>> => {
        const { offset, end } = handle;
        const own = mask.slice(offset, end);
        if (!own.includes(1)) return { observations: this.#observations.slice(offset, end), infos: none(own.length) };
        const seeds = typeof seed === 'number' ? seed + offset : seed?.slice(offset, end);
        const part = own.includes(0) ? { mask: own } : {};
        return handle.observe({ kind: 'reset', options: { seed: seeds, options, ...part } });
      };
      const results = await this.#eachAlive(ask, async (handle, _, crash) => {
        const result = await ask(handle);
        // Episodes that the mask leaves alone are lost all the same. With this thread ended too, the next step finds
        // that out and says so.
        const spares = mask
          .subarray(handle.offset, handle.end)
          .some((one, i) => one === 0 && !this.#ended[handle.offset + i]);
        if (spares) await handle.dismiss(crash.message);
        return result;
      });
      mask.forEach((one, i) => {
        if (one === 1) this.#ended[i] = 0;
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
      if (actions?.length !== this.numEnvs) throw wrongActions('WorkerVectorEnv', this.numEnvs, actions);
      if (this.autoreset === 'disabled' && this.#ended.includes(1)) throw stillEnded('WorkerVectorEnv', this.#ended);
      const parts = await this.#eachAlive(
        (handle) =>
          handle.observe<VectorStepResult<O>>({ kind: 'step', actions: actions.slice(handle.offset, handle.end) }),
        (handle, _, crash) => this.#cutOff(handle, crash),
      );
      const out: VectorStepResult<O> = {
        observations: parts.flatMap((part) => part.observations),
        rewards: new Float64Array(this.numEnvs),
        terminated: new Uint8Array(this.numEnvs),
        truncated: new Uint8Array(this.numEnvs),
        infos: parts.flatMap((part) => part.infos),
      };
      parts.forEach((part, k) => {
        const { offset } = this.#handles[k]!;
        out.rewards.set(part.rewards, offset);
        out.terminated.set(part.terminated, offset);
        out.truncated.set(part.truncated, offset);
      });
      this.#observations = [...out.observations];
      if (this.autoreset !== 'same-step')
        for (let i = 0; i < this.numEnvs; i++) this.#ended[i] = out.terminated[i]! | out.truncated[i]!;
      return out;
    });
  }

  /**
   * What a step returns for the environments of a thread that died in it. Their episodes are truncated at the last
   * observation; environments that were due to be reset in this step are reset, in the thread that has taken its place.
   */
  async #cutOff(handle: WorkerHandle, crash: Crash): Promise<VectorStepResult<O>> {
    const { offset, end, numEnvs } = handle;
    const last = this.#observations.slice(offset, end);
    const due = this.#ended.slice(offset, end);
    const same = this.autoreset === 'same-step';
    const mask = same ? new Uint8Array(numEnvs).fill(1) : due;
    await handle.ready;
    const { observations, infos } = mask.includes(1)
      ? await handle.observe<VectorResetResult<O>>({ kind: 'reset', options: { mask } })
      : { observations: last, infos: none(numEnvs) };
    const crashed: Info = { crashed: crash.message };
    return {
      observations,
      rewards: new Float64Array(numEnvs),
      terminated: new Uint8Array(numEnvs),
      truncated: due.map((one) => 1 - one),
      infos: infos.map((info, i) => {
        if (same) return { ...info, finalObservation: last[i], finalInfo: { ...crashed } };
        return due[i] === 1 ? info : { ...crashed };
      }),
    };
  }

  async #restore(snapshot: Snapshot): Promise<VectorResetResult<O>> {
    const { workers, ended } = snapshotParts('WorkerVectorEnv', snapshot, ['workers', 'ended']);
    const snapshots = snapshotList('WorkerVectorEnv', workers);
    if (snapshots.length !== this.#handles.length)
      throw new GymError(
        'E_STATE',
        `WorkerVectorEnv.restore: the snapshot is of ${snapshots.length} threads, there are ${this.#handles.length}; make it with as many workers.`,
      );
    const ends = snapshotFlags('WorkerVectorEnv', ended, this.numEnvs);
    const ask = (handle: WorkerHandle, k: number) =>
      handle.observe<VectorResetResult<O>>({ kind: 'restore', snapshot: snapshots[k]! });
    const results = await this.#eachAlive(ask, ask);
    this.#ended.set(ends);
    return this.#started(results);
  }

  /** Closes the environments and ends the threads, also while a call runs. Closing again does nothing. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#busy === undefined)
      await Promise.allSettled(this.#handles.map((handle) => handle.ask({ kind: 'close' })));
    await Promise.all(this.#handles.map((handle) => handle.dismiss('it was closed')));
  }

  toString(): string {
    return `WorkerVectorEnv(${this.numEnvs}, ${this.spec?.id ?? ''}, ${this.#handles.length} workers, ${this.autoreset})`;
  }
}

function none(n: number): Info[] {
  return Array.from({ length: n }, () => ({}));
}

/**
 * Makes environments in worker threads.
 * @param id as `make` takes it. An environment of your own must be named with its module, as in `./my-env.ts:Mine-v0`:
 *   a thread knows only the environments that it has imported.
 * @param options of the environments. They are sent to the threads, so they must be plain data.
 * @throws GymError as `make`, and E_CONFIG on options that cannot be sent, wrappers among them.
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
  make: WorkerVectorOptions = {},
): Promise<WorkerVectorEnv<unknown, unknown>> {
  const { workers, autoreset = 'next-step', maxEpisodeSteps, onCrash = 'error' } = make;
  if ('wrappers' in make)
    throw new GymError(
      'E_CONFIG',
      `makeWorkerVec ${id}: \`wrappers\` are functions, which cannot be sent to a thread; put them around the environment in the \`create\` of a module of your own, or use wrap() on the result.`,
    );
  checkNumEnvs(`makeWorkerVec ${id}`, numEnvs);
  const threads = Math.min(numEnvs, workers ?? availableParallelism());
  if (!(Number.isInteger(threads) && threads >= 1 && threads <= mostThreads))
    throw new GymError(
      'E_VALUE',
      `makeWorkerVec ${id}: workers must be an integer of 1 to ${mostThreads}, actual value ${workers}.`,
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
