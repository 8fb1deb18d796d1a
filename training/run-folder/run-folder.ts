import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { appendFile, mkdir, readdir, readFile, rename, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { GymError, messageOf } from '../../core/errors.js';
import {
  fileError,
  readJson,
  recoverFolder,
  removeFolderAtomic,
  removeLeftovers,
  useTemporaryFolder,
  writeFileAtomic,
  writeFolderAtomic,
} from '../../core/files.js';
import type { Metrics } from '../../core/types.js';
import {
  type Checkpoint,
  type CheckpointState,
  type Origin,
  readCheckpoint,
  writeCheckpointFiles,
} from './checkpoint.js';
import { digestOf } from './digests.js';
import { nonFiniteWeights } from './finite.js';
import { RunLock } from './lock.js';
import { metricsLine, parseMetrics } from './metrics.js';
import { type RunStatus, readStatus, writeStatus, writeStatusSync } from './status.js';

/** What a run's folder may hold. A folder with nothing else in it is a run's, though it may lack its configuration. */
const ownNames =
  /^(config\.json|status\.json|metrics\.jsonl|log\.txt|report\.html|metrics\.csv|events\.out\.tfevents\..*|trackio\.json|lock|samples|checkpoints|best|rival|\..*\.(tmp|old))$/;

/** A checkpoint's epoch; `-finite` is added to the last one before a run diverged, which is never removed. */
const checkpointName = /^epoch-(\d+)(-finite)?$/;

/**
 * The folder of one run: `config.json`, `status.json`, `metrics.jsonl` (one line an epoch), `samples/`, `checkpoints/`
 * (one folder each, renamed when complete), `report.html`, `rival/` (the run of another agent beside it), what its loggers write, `best/`, and, while a process works on it, `lock`. At any moment, a kill
 * included, it can be read and resumed.
 *
 * Only {@link create} and {@link resume} give a folder that can be written; it is this process's alone until
 * {@link close}.
 */
export class RunFolder {
  readonly path: string;
  /** What the checkpoints from now on say of what they depend on. */
  origin: Origin = {};
  readonly #lock: RunLock | undefined;
  #metricsBytes = 0;
  /** Of the metrics so far. */
  #metricsHash = createHash('sha256');

  private constructor(path: string, lock?: RunLock) {
    this.path = path;
    this.#lock = lock;
  }

  /**
   * Makes the folder of a new run, and locks it. One that ended before its first epoch had nothing to lose and is replaced.
   * @param record what `config.json` says of the run.
   * @param options.overwrite true removes any run that is already there.
   * @throws GymError E_FILE when a run of that name exists and `overwrite` is not true, or another folder does; E_STATE
   *   when it is running now.
   */
  static async create(path: string, record: unknown, { overwrite = false } = {}): Promise<RunFolder> {
    recoverFolder(path);
    const replaced = existsSync(path) ? await RunFolder.#lockReplaceable(path, overwrite) : undefined;
    let lock: RunLock | undefined;
    try {
      // Whole or not at all: a process killed here leaves the old run or none, never a part of one.
      await writeFolderAtomic(
        path,
        async (temporary) => {
          await writeFileAtomic(join(temporary, 'metrics.jsonl'), '');
          await writeRecord(temporary, record);
          lock = RunLock.prepare(temporary, path);
        },
        // Where nothing was there, another process may have made it meanwhile.
        { replace: replaced !== undefined },
      );
    } catch (error) {
      lock?.release();
      throw error;
    } finally {
      replaced?.release();
    }
    return new RunFolder(path, lock);
  }

  /** Locks what has the name of a new run, if it may be replaced. An empty folder needs no lock, and none is returned. */
  static async #lockReplaceable(path: string, overwrite: boolean): Promise<RunLock | undefined> {
    let names: string[];
    try {
      names = await readdir(path);
    } catch (error) {
      throw fileError('cannot read', path, error);
    }
    if (names.length === 0) return undefined;
    if (!names.includes('config.json') && !names.every((name) => ownNames.test(name)))
      throw new GymError('E_FILE', `run ${path}: a folder with other files has this name; choose another --name.`);
    const lock = RunLock.take(path);
    try {
      const old = new RunFolder(path);
      const isEmpty = (await old.checkpoints()).length === 0 && !(await old.#metricsText()).includes('\n');
      if (!overwrite && !isEmpty)
        throw new GymError(
          'E_FILE',
          `run ${path}: exists already; go on with it by --resume, start it afresh by --overwrite (its results are then lost), or give this one another --name.`,
        );
      return lock;
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** Opens a run to read it. @throws GymError E_FILE when there is none. */
  static open(path: string): RunFolder {
    recoverFolder(path);
    if (!existsSync(join(path, 'config.json')))
      throw new GymError('E_FILE', `run ${path}: there is no run here (no config.json); check the path.`);
    return new RunFolder(path);
  }

  /**
   * Locks a run and reads where it goes on. Nothing is changed until {@link begin}.
   * @param options.from the epoch of the checkpoint to go on from; default: the latest.
   * @returns no checkpoint where the run has none yet: it starts from its beginning.
   * @throws GymError E_FILE when there is no run, or its checkpoint or its metrics are damaged; E_STATE when it is running
   *   now.
   */
  static async resume(
    path: string,
    { from }: { readonly from?: number | undefined } = {},
  ): Promise<{ folder: RunFolder; checkpoint?: Checkpoint }> {
    RunFolder.open(path);
    const folder = new RunFolder(path, RunLock.take(path));
    try {
      const checkpoint = await folder.readCheckpoint(from);
      if (checkpoint) await folder.#checkMetrics(checkpoint);
      return { folder, ...(checkpoint && { checkpoint }) };
    } catch (error) {
      folder.close();
      throw error;
    }
  }

  get #metrics(): string {
    return join(this.path, 'metrics.jsonl');
  }

  /** Bytes of metrics written so far. */
  get metricsBytes(): number {
    return this.#metricsBytes;
  }

  /** Gives the run back to whoever wants to write to it next. May be called again. */
  close(): void {
    this.#lock?.release();
  }

  /** @throws GymError E_STATE when the folder is not this process's own. */
  #needLock(): void {
    if (this.#lock === undefined)
      throw new GymError(
        'E_STATE',
        `run ${this.path}: it was opened to be read; open it by RunFolder.resume to write to it.`,
      );
    this.#lock.check();
  }

  /** The part of the metrics that belongs to a checkpoint. */
  async #metricsOf({ path, state: { metricsBytes } }: Checkpoint): Promise<Buffer> {
    let bytes: Buffer;
    try {
      bytes = await readFile(this.#metrics);
    } catch (error) {
      throw fileError('cannot read', this.#metrics, error);
    }
    if (bytes.length < metricsBytes)
      throw new GymError(
        'E_FILE',
        `run ${this.path}: metrics.jsonl has ${bytes.length} bytes, but checkpoint ${path} was made at ${metricsBytes}; it was changed: restore it, or start again with --overwrite.`,
      );
    return bytes.subarray(0, metricsBytes);
  }

  async #checkMetrics(checkpoint: Checkpoint): Promise<void> {
    const text = (await this.#metricsOf(checkpoint)).toString();
    const lines = parseMetrics(text, this.#metrics).length;
    const { epoch } = checkpoint.state;
    if (lines !== epoch || (text !== '' && !text.endsWith('\n')))
      throw new GymError(
        'E_FILE',
        `run ${this.path}: metrics.jsonl has ${lines} lines for the ${epoch} epochs of checkpoint ${checkpoint.path}; it was changed: restore it, or start again with --overwrite.`,
      );
  }

  /** Whether the metrics of a checkpoint's epochs are still those that it was made with. */
  async hasMetricsOf(checkpoint: Checkpoint): Promise<boolean> {
    return digestOf(await this.#metricsOf(checkpoint)) === checkpoint.metricsDigest;
  }

  /**
   * Makes the folder what it was when a checkpoint was written: later metrics and later checkpoints are removed, and what
   * a killed process left half-written.
   * @param checkpoint undefined: as it was before the first epoch.
   */
  async begin(checkpoint: Checkpoint | undefined): Promise<void> {
    this.#needLock();
    for (const part of ['.', 'checkpoints', 'samples', 'best']) removeLeftovers(join(this.path, part));
    const kept = checkpoint === undefined ? Buffer.alloc(0) : await this.#metricsOf(checkpoint);
    // The latest first, and metrics last: a process killed here leaves no checkpoint that is ahead of the metrics.
    for (const { epoch, name } of (await this.#checkpointNames()).reverse())
      if (epoch > (checkpoint?.state.epoch ?? 0)) await this.#remove(name);
    try {
      await appendFile(this.#metrics, '');
      await truncate(this.#metrics, kept.length);
    } catch (error) {
      throw fileError('cannot write', this.#metrics, error);
    }
    this.#metricsBytes = kept.length;
    this.#metricsHash = createHash('sha256').update(kept);
  }

  /** Adds one line. @throws GymError E_FILE (disk full); what was there stays. */
  async appendMetrics(metrics: Metrics): Promise<void> {
    this.#needLock();
    const line = metricsLine(metrics);
    try {
      await appendFile(this.#metrics, line);
    } catch (error) {
      await truncate(this.#metrics, this.#metricsBytes).catch(() => {});
      throw fileError('cannot write', this.#metrics, error);
    }
    this.#metricsBytes += Buffer.byteLength(line);
    this.#metricsHash.update(line);
  }

  #metricsText(): Promise<string> {
    return readFile(this.#metrics, 'utf8').catch(() => '');
  }

  /** The metrics so far, one entry an epoch. @throws GymError E_FILE that names the first line that is damaged. */
  async metrics(): Promise<Metrics[]> {
    return parseMetrics(await this.#metricsText(), this.#metrics);
  }

  /** Writes `config.json`: what the run was started with, or goes on with. */
  async writeRecord(record: unknown): Promise<void> {
    this.#needLock();
    await writeRecord(this.path, record);
  }

  /** What `config.json` says. @throws GymError E_FILE. */
  async config(): Promise<unknown> {
    return await readJson(join(this.path, 'config.json'));
  }

  /** How the run stands; undefined where `status.json` does not say, because it is missing or damaged. */
  status(): Promise<RunStatus | undefined> {
    return readStatus(this.path);
  }

  /** Whether a run that says it is running has lost its process (it was killed). */
  async wasKilled(): Promise<boolean> {
    return (await this.status())?.state === 'running' && !RunLock.isHeld(this.path);
  }

  /** Says how the run stands. */
  async writeStatus(status: Omit<RunStatus, 'updated'>): Promise<void> {
    this.#needLock();
    await writeStatus(this.path, status);
  }

  /** The same at the end of the process, when nothing can be awaited any more. */
  writeStatusSync(status: Omit<RunStatus, 'updated'>): void {
    this.#needLock();
    writeStatusSync(this.path, status);
  }

  async #checkpointNames(): Promise<{ epoch: number; name: string; finite: boolean }[]> {
    const names = await readdir(join(this.path, 'checkpoints')).catch(() => []);
    return names
      .flatMap((name) => {
        const [, epoch, finite] = checkpointName.exec(name) ?? [];
        return epoch === undefined ? [] : [{ epoch: Number(epoch), name, finite: finite !== undefined }];
      })
      .sort((a, b) => a.epoch - b.epoch);
  }

  #remove(checkpoint: string): Promise<void> {
    return removeFolderAtomic(join(this.path, 'checkpoints', checkpoint));
  }

  /** The epochs that have a checkpoint, oldest first. */
  async checkpoints(): Promise<number[]> {
    return [...new Set((await this.#checkpointNames()).map(({ epoch }) => epoch))];
  }

  /** Where the checkpoint of an epoch lies, or would. */
  checkpointPath(epoch: number): string {
    const path = join(this.path, 'checkpoints', `epoch-${String(epoch).padStart(6, '0')}`);
    return !existsSync(path) && existsSync(`${path}-finite`) ? `${path}-finite` : path;
  }

  /**
   * Reads a checkpoint and makes sure that it is whole.
   * @param epoch which; default: the latest.
   * @returns undefined where the run has none, and none was asked for.
   * @throws GymError E_FILE when the run has no checkpoint of that epoch, or it is damaged: then older ones that are whole
   *   are named.
   */
  async readCheckpoint(epoch?: number): Promise<Checkpoint | undefined> {
    const epochs = await this.checkpoints();
    const wanted = epoch ?? epochs.at(-1);
    if (wanted === undefined) return undefined;
    if (!epochs.includes(wanted))
      throw new GymError(
        'E_FILE',
        `run ${this.path}: it has no checkpoint of epoch ${wanted}; it has ${epochs.length > 0 ? `those of epochs ${epochs.join(', ')}` : 'none yet'}.`,
      );
    const path = this.checkpointPath(wanted);
    try {
      return await readCheckpoint(path);
    } catch (error) {
      // The run goes on meanwhile, and has removed it for a later one.
      if (epoch === undefined && !existsSync(path)) return await this.readCheckpoint();
      throw new GymError('E_FILE', `run ${this.path}: ${messageOf(error)}. ${await this.#wayOut(wanted)}`, {
        cause: error,
      });
    }
  }

  /** What to do where a checkpoint cannot be used. */
  async #wayOut(broken: number): Promise<string> {
    const whole: number[] = [];
    for (const epoch of await this.checkpoints())
      if (epoch < broken && (await readCheckpoint(this.checkpointPath(epoch)).catch(() => undefined)))
        whole.push(epoch);
    const latest = whole.at(-1);
    return latest === undefined
      ? 'No older one is kept: restore it from a copy, or start again with --overwrite.'
      : `An older one is kept: use it by --from-checkpoint ${latest}, or restore this one from a copy.`;
  }

  /**
   * Writes a checkpoint, whole or not at all, and then removes all but the latest `keep`.
   * @param saveAgent writes the agent into the folder it is given.
   * @throws GymError E_DIVERGED when the agent's weights are infinite or NaN: then nothing is written, and nothing removed.
   */
  async writeCheckpoint(
    state: Omit<CheckpointState, 'metricsBytes'>,
    saveAgent: (folder: string) => Promise<void>,
    keep = 2,
  ): Promise<string> {
    this.#needLock();
    const path = this.checkpointPath(state.epoch);
    await writeFolderAtomic(path, async (folder) => {
      await saveFinite(join(folder, 'agent'), saveAgent);
      await writeCheckpointFiles(folder, {
        state: { ...state, metricsBytes: this.#metricsBytes },
        origin: this.origin,
        metricsDigest: this.#metricsHash.copy().digest('hex'),
      });
    });
    const ordinary = (await this.#checkpointNames()).filter(({ finite }) => !finite);
    for (const { name } of ordinary.slice(0, -keep)) await this.#remove(name);
    return path;
  }

  /**
   * Looks whether an agent could be saved, and keeps nothing of it.
   * @throws GymError E_DIVERGED when its weights are infinite or NaN.
   */
  async checkFinite(saveAgent: (folder: string) => Promise<void>): Promise<void> {
    await useTemporaryFolder(join(this.path, 'checkpoints', 'look'), (folder) =>
      saveFinite(join(folder, 'agent'), saveAgent),
    );
  }

  /** Keeps the latest checkpoint for good, because the run has diverged after it. @returns its path, if there is one. */
  async keepFinite(): Promise<string | undefined> {
    this.#needLock();
    const latest = (await this.#checkpointNames()).at(-1);
    if (latest === undefined) return undefined;
    const path = this.checkpointPath(latest.epoch);
    if (latest.finite) return path;
    await rename(path, `${path}-finite`);
    return `${path}-finite`;
  }
}

async function writeRecord(folder: string, record: unknown): Promise<void> {
  await writeFileAtomic(join(folder, 'config.json'), `${JSON.stringify(record, null, 2)}\n`);
}

async function saveFinite(folder: string, saveAgent: (folder: string) => Promise<void>): Promise<void> {
  await mkdir(folder);
  await saveAgent(folder);
  const broken = await nonFiniteWeights(folder);
  if (broken !== undefined)
    throw new GymError('E_DIVERGED', `the weights are infinite or NaN (agent/${broken}), and are not saved.`);
}
