import { existsSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { agentNamed } from '../agents/registry.js';
import { type BackendInfo, useBackend } from '../backend/index.js';
import { GymError, messageOf } from '../core/errors.js';
import { Random } from '../core/random.js';
import { nameOfReward } from '../core/score.js';
import type { Awaitable } from '../core/types.js';
import { loadCallbackFiles, withConfiguredCallbacks } from './callbacks/index.js';
import { changedCode, checkConfig, checkInputs, checkSame, codeDigests, inputDigests } from './changes.js';
import { completeConfig, type RunConfig, type RunConfigInput } from './config/index.js';
import { evaluationCallback } from './evaluation/index.js';
import type { ComposeOptions, Composition } from './families/family.js';
import { compose } from './families/index.js';
import { configuredLoggers } from './loggers/index.js';
import { writeReport } from './report.js';
import { type Checkpoint, RunFolder } from './run-folder/index.js';
import { provenance, type RunRecord, readRunRecord } from './run-record.js';
import { type Callback, type TrainEvent, type TrainProgress, train } from './train.js';
import { signatureOf } from './trust.js';
import { whileUnfinished } from './unfinished.js';
import { watchCallback } from './watch/index.js';

export interface RunOptions extends ComposeOptions {
  /** Go on with the run of that name. */
  readonly resume?: boolean;
  /** The epoch of the checkpoint to resume from, of which later ones are removed. Default: the latest. */
  readonly fromCheckpoint?: number | undefined;
  /** The code that the run to be resumed names is trusted, though the run was not made by this user: see `docs/runs.md`. */
  readonly trust?: boolean | undefined;
  /** Start afresh, and lose the run of that name. */
  readonly overwrite?: boolean;
  /** Aborted: the run stops within the present step, micro-batch or call of the user's code, and can be resumed. */
  readonly signal?: AbortSignal;
  readonly onBackend?: (backend: BackendInfo) => void;
  /** Told what the policy computes on, where that is not tensors of the backend alone: a line. */
  readonly onEngine?: (line: string) => void;
  /** Awaited: a {@link Logger} can stand here. */
  readonly onEvent?: (event: TrainEvent) => Awaitable<void>;
  readonly onProgress?: (progress: TrainProgress) => void;
  /** Told that the rival's run begins, where the configuration names one; its events and progress follow. */
  readonly onRival?: (agent: string) => void;
  /** More of them, after those that the configuration asks for. */
  readonly callbacks?: readonly Callback<unknown, unknown>[];
}

export interface RunResult {
  readonly folder: RunFolder;
  /** Path of the report. */
  readonly report: string;
  /** Finished epochs. */
  readonly epoch: number;
  readonly epochs: number;
  readonly reason: 'finished' | 'stopped';
  /** What ended it before its last epoch, where a callback did. */
  readonly why?: string | undefined;
}

/**
 * A whole run: backend, parts, folder, training, report. The folder can be read, reported and resumed at any moment.
 * @param given a configuration, complete or not.
 * @param options what a program brings along: an agent, an environment or a reward of its own, listeners, a signal.
 * @throws GymError for what is wrong with the configuration, the model or the reward; the run is then saved and resumable.
 */
export async function runTraining(given: RunConfigInput | RunConfig, options: RunOptions = {}): Promise<RunResult> {
  // The record says what was used, also where it is an object or a function that was handed in.
  const config = await completeConfig(
    {
      ...given,
      ...(options.env && given.env === undefined && { env: 'own-environment' }),
      ...(options.agent && { agent: { ...agentOptionsOf(given.agent), name: options.agent.name } }),
      ...(options.reward && { reward: nameOfReward(options.reward) }),
    },
    'configuration',
    { agent: options.agent },
  );
  const run = new Run(join(config.runs, config.name), options);
  const done = whileUnfinished((status) => run.leave(status));
  try {
    return await run.start(config);
  } finally {
    run.close();
    done();
  }
}

/** Where a run that is resumed goes on. */
interface Resumed {
  readonly record: RunRecord;
  readonly checkpoint: Checkpoint | undefined;
}

/** One run while it goes on. */
class Run {
  readonly #path: string;
  readonly #options: RunOptions;
  #folder: RunFolder | undefined;
  /** Finished epochs. */
  #epoch = 0;
  /** Those of them that are in a checkpoint. */
  #saved = 0;
  #epochs = 0;
  /** Whether the folder says that the run goes on. */
  #running = false;

  constructor(path: string, options: RunOptions) {
    this.#path = path;
    this.#options = options;
  }

  async start(given: RunConfig): Promise<RunResult> {
    const { resume = false, overwrite = false, env, reward, prompts, signal } = this.#options;
    const resumed = resume ? await this.#resume(given) : undefined;
    const config = this.#withSchedule(given, resumed?.record.config);
    this.#epochs = config.epochs;
    const inputs = await inputDigests(config);
    const code = await codeDigests(config);
    if (resumed?.checkpoint) {
      checkInputs(this.#path, resumed.checkpoint, inputs);
      const change = changedCode(resumed.checkpoint, code);
      if (change !== undefined) this.#warn(change);
    }
    const backend = await useBackend(config.backend === 'auto' ? undefined : config.backend);
    this.#options.onBackend?.(backend);
    if (resumed) this.#compareBackend(resumed.record.backend, backend);
    const ownCallbacks = await loadCallbackFiles(config.callbacks);
    const parts = await compose(config, {
      agent: this.#options.agent,
      env,
      reward,
      prompts,
      signal,
      warn: (message) => this.#warn(message),
    });
    if (parts.engine !== undefined) this.#options.onEngine?.(parts.engine);
    const agent = this.#options.agent ?? agentNamed(config.agent.name);
    try {
      let end: Pick<RunResult, 'reason' | 'why'>;
      try {
        this.#folder ??= await RunFolder.create(this.#path, await this.#newRecord(config, backend, parts.engine), {
          overwrite,
        });
        this.#folder.origin = { config, inputs, code };
        end = await this.#train(config, parts, ownCallbacks, resumed);
      } finally {
        // Before anything else that takes time: what a reward or an environment still does is nobody's concern.
        await parts.close();
      }
      if (typeof config.rival === 'string' && end.reason === 'finished') await this.#trainRival(config, config.rival);
      const report = await writeReport(this.#path, { agent });
      return { folder: this.#folder, report, epoch: this.#epoch, epochs: config.epochs, ...end };
    } catch (error) {
      // The error matters more than a report that cannot be written either.
      if (GymError.is(error) && error.code === 'E_DIVERGED') await writeReport(this.#path, { agent }).catch(() => {});
      throw error;
    }
  }

  /**
   * Another agent with its defaults on the same environment, for comparison: a run of its own in this one's folder, of
   * which callbacks of the user's own are not told.
   */
  async #trainRival({ rival: _, callbacks: __, ...config }: RunConfig, rival: string): Promise<void> {
    const { signal, onProgress, onEvent, onRival } = this.#options;
    onRival?.(rival);
    await runTraining(
      { ...config, agent: rival, runs: this.#path, name: 'rival' },
      {
        resume: existsSync(join(this.#path, 'rival', 'config.json')),
        signal,
        onProgress,
        onEvent,
        warn: (message) => this.#warn(`rival: ${message}`),
      },
    );
  }

  /** Gives the folder back. */
  close(): void {
    this.#folder?.close();
  }

  /** The process ends in the middle of the run; nothing can be awaited. @param status the exit status that it ends with. */
  leave(status: number): void {
    const interrupted = status === 130 || status === 143;
    const why = `the process ended with exit status ${status} in the middle of the run`;
    if (this.#running)
      try {
        this.#folder?.writeStatusSync({
          state: interrupted ? 'stopped' : 'failed',
          epoch: this.#saved,
          epochs: this.#epochs,
          ...(!interrupted && { message: why }),
        });
      } catch {
        // The process is about to end, and a status that says `running` without a process is understood, too.
      }
    if (status === 0)
      this.#options.warn?.(
        `${why}: something has called process.exit, or waits for what never comes. The run is saved up to epoch ${this.#saved} of ${this.#epochs} in ${this.#path}.`,
      );
  }

  #warn(message: string): void {
    this.#options.warn?.(message);
    // A lost line of the log must not stop a run.
    if (this.#folder) appendFile(join(this.#path, 'log.txt'), `epoch ${this.#epoch + 1}: ${message}\n`).catch(() => {});
  }

  /** Locks the run and makes sure that it can go on, and as what it was; nothing in its folder is changed. */
  async #resume(config: RunConfig): Promise<Resumed> {
    const { fromCheckpoint: from, trust, warn, agent } = this.#options;
    const { folder, checkpoint } = await RunFolder.resume(this.#path, { from });
    this.#folder = folder;
    const record = await readRunRecord(folder, { trust, warn, agent });
    checkSame(record.config, config, this.#path);
    if (checkpoint === undefined) return { record, checkpoint };
    checkConfig(this.#path, checkpoint, record.config, { agent });
    const done = checkpoint.state.epoch;
    if (config.epochs < done)
      throw new GymError(
        'E_CONFIG',
        `resume ${this.#path}: epochs is ${config.epochs}, but ${done} are done; ask for more.`,
      );
    this.#epoch = this.#saved = done;
    if (!(await folder.hasMetricsOf(checkpoint)))
      this.#warn(
        `metrics.jsonl was changed since checkpoint ${checkpoint.path} was written; the run goes on all the same.`,
      );
    return { record, checkpoint };
  }

  /**
   * Schedules (of the learning rate) refer to the epochs that the run was started with, unless told otherwise: a run that
   * is made longer afterwards keeps the numbers that it has.
   */
  #withSchedule(config: RunConfig, stored: RunConfig | undefined): RunConfig {
    if (stored === undefined) return { ...config, scheduleEpochs: config.scheduleEpochs ?? config.epochs };
    const before = stored.scheduleEpochs ?? stored.epochs;
    const now = config.scheduleEpochs ?? before;
    if (now !== before)
      this.#warn(
        `schedules now refer to ${now} epochs instead of ${before} (scheduleEpochs): from here on, the numbers are not those of the run as it was started.`,
      );
    else if (config.epochs !== stored.epochs)
      this.#warn(
        `the run has ${config.epochs} epochs instead of ${stored.epochs}; schedules (of the learning rate, say) still refer to ${before}. Say \`--schedule-epochs ${config.epochs}\` if they are to change, too.`,
      );
    return { ...config, scheduleEpochs: now };
  }

  #compareBackend(then: BackendInfo, now: BackendInfo): void {
    if (then.name !== now.name)
      this.#warn(
        `this run was started on the ${then.name} backend and goes on with ${now.name}: the last digits of its numbers will differ from those of an uninterrupted run.`,
      );
  }

  async #newRecord(config: RunConfig, backend: BackendInfo, engine: string | undefined): Promise<RunRecord> {
    const signature = await signatureOf(config).catch((error: unknown) =>
      this.#warn(`${messageOf(error)} To resume, evaluate or export this run, --trust will be needed.`),
    );
    return {
      config,
      versions: await provenance(),
      backend,
      ...(engine !== undefined && { engine }),
      started: new Date().toISOString(),
      ...(typeof signature === 'string' && { signature }),
    };
  }

  async #train(
    config: RunConfig,
    parts: Composition,
    ownCallbacks: readonly Callback<unknown, unknown>[],
    resumed: Resumed | undefined,
  ): Promise<Pick<RunResult, 'reason' | 'why'>> {
    const { signal, onProgress, onEvent, callbacks = [] } = this.#options;
    const folder = this.#folder!;
    const warn = (message: string) => this.#warn(message);
    const { samples, every, explore, maxSteps } = config.evaluation;
    const loggers = configuredLoggers(config, folder, warn);
    const evaluation = evaluationCallback({
      envs: parts.evaluationEnvs,
      samples,
      every,
      pictures: parts.pictures ?? 0,
      explore,
      maxSteps,
      warn,
      // Of its own, so that runs with other seeds are asked the same.
      random: new Random('evaluation'),
      decode: parts.decode,
    });
    const watch = parts.watch && watchCallback({ ...parts.watch, warn });
    let end: Pick<RunResult, 'reason' | 'why'> = { reason: 'stopped' };
    try {
      for await (const event of train({
        agent: parts.agent,
        envs: parts.envs,
        epochs: config.epochs,
        scheduleEpochs: config.scheduleEpochs,
        seed: config.seed,
        folder,
        checkpoint: resumed?.checkpoint,
        checkpointEvery: config.checkpointEvery,
        keepCheckpoints: config.keepCheckpoints,
        callbacks: withConfiguredCallbacks(config, {
          evaluation,
          watch,
          callbacks: [...(parts.callbacks ?? []), ...ownCallbacks, ...callbacks],
          rewardThreshold: parts.envs[0]?.spec?.rewardThreshold,
        }),
        signal,
        onProgress,
        warn,
      })) {
        this.#epoch = event.epoch;
        if (event.type === 'start') {
          this.#running = true;
          // So that a resume without options goes on with what this one was told.
          if (resumed) {
            const { runs, name } = resumed.record.config;
            await folder.writeRecord({ ...resumed.record, config: { ...config, runs, name } });
          }
        }
        if (event.type === 'checkpoint') this.#saved = event.epoch;
        if (event.type === 'end') end = { reason: event.reason, ...(event.why !== undefined && { why: event.why }) };
        for (const log of loggers) await log(event);
        await onEvent?.(event);
      }
    } finally {
      this.#running = false;
    }
    return end;
  }
}

function agentOptionsOf(agent: RunConfigInput['agent']): object {
  return typeof agent === 'object' ? agent : {};
}
