import { existsSync } from 'node:fs';
import { appendFile, mkdir, readdir, readFile, rm, stat, truncate } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { GymError, messageOf } from '../core/errors.js';
import { readJson, writeFileAtomic, writeFolderAtomic } from '../core/files.js';
import type { Snapshot } from '../core/snapshot.js';
import type { Metrics } from '../core/types.js';
import { fromJson, toJson } from './snapshot-json.js';

/** How a run stands, as its folder says. */
export interface RunStatus {
  readonly state: 'running' | 'finished' | 'stopped' | 'failed';
  /** Finished epochs. */
  readonly epoch: number;
  readonly epochs: number;
  /** ISO time of the last change. */
  readonly updated: string;
  /** Why it failed. */
  readonly message?: string;
  /** The process that runs it. */
  readonly process?: ProcessIdentity;
}

interface ProcessIdentity {
  readonly pid: number;
  readonly host: string;
  /** When the process started, as the system counts: a reused process number differs in it. */
  readonly started?: string;
}

async function startOf(pid: number): Promise<string | undefined> {
  // proc(5): the 22nd field of /proc/PID/stat; the name in parentheses may hold blanks.
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')[19];
}

async function isAlive(process_: ProcessIdentity): Promise<boolean> {
  if (process_.host !== hostname() || process_.pid === process.pid) return false;
  try {
    process.kill(process_.pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  return process_.started === undefined || process_.started === (await startOf(process_.pid));
}

/** Everything beside the agent that a run needs to go on. */
export interface CheckpointState {
  /** Finished epochs. */
  readonly epoch: number;
  /** Bytes of metrics.jsonl that belong to them. */
  readonly metricsBytes: number;
  readonly counters: Readonly<Record<string, number>>;
  readonly collector: Snapshot;
  readonly callbacks: Readonly<Record<string, Snapshot>>;
}

/** Non-finite numbers, which JSON lacks, as text: they are just what one wants to see in a log. */
export function metricsLine(metrics: Metrics): string {
  return `${JSON.stringify(metrics, (_, value) => (typeof value === 'number' && !Number.isFinite(value) ? String(value) : value))}\n`;
}

/** The lines of a metrics.jsonl; a last line that a killed process left unfinished is no line. */
export function parseMetrics(text: string): Metrics[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line, i) => {
      let raw: Record<string, number | string>;
      try {
        raw = JSON.parse(line);
      } catch (error) {
        throw new GymError(
          'E_FILE',
          `metrics.jsonl:${i + 1}: not valid JSON (${messageOf(error)}); take the line out.`,
        );
      }
      return Object.fromEntries(Object.entries(raw).map(([key, value]) => [key, Number(value)]));
    });
}

const checkpointName = /^epoch-(\d+)$/;

/**
 * The folder of one run: `config.json`, `status.json`, `metrics.jsonl` (one line an epoch), `samples/`, `checkpoints/`
 * (one folder each, renamed when complete) and `report.html`. At any moment, a kill included, it can be read and resumed.
 */
export class RunFolder {
  readonly path: string;
  #metricsBytes = 0;
  #identity: ProcessIdentity | undefined;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Makes the folder of a new run. One that ended before its first epoch had nothing to lose and is replaced.
   * @param overwrite true removes any run that is already there.
   * @throws GymError E_FILE when a run of that name exists and `overwrite` is not true, or is running now.
   */
  static async create(path: string, config: unknown, { overwrite = false } = {}): Promise<RunFolder> {
    const folder = new RunFolder(path);
    if (existsSync(join(path, 'config.json'))) {
      await folder.#refuseRunning();
      const empty = (await folder.metrics()).length === 0 && (await folder.checkpoints()).length === 0;
      if (!overwrite && !empty)
        throw new GymError(
          'E_FILE',
          `run ${path}: exists already; go on with it by --resume, start it afresh by --overwrite (its results are then lost), or give this one another --name.`,
        );
    } else if (existsSync(path) && (await readdir(path)).length > 0)
      throw new GymError('E_FILE', `run ${path}: a folder with other files has this name; choose another --name.`);
    // Whole or not at all: a process killed here leaves the old run or none, never a part of one.
    await writeFolderAtomic(path, async (temporary) => {
      const created = new RunFolder(temporary);
      await writeFileAtomic(created.#metrics, '');
      await created.writeRecord(config);
    });
    return folder;
  }

  /** Opens a run to read it. @throws GymError E_FILE when there is none. */
  static open(path: string): RunFolder {
    if (!existsSync(join(path, 'config.json')))
      throw new GymError('E_FILE', `run ${path}: there is no run here (no config.json); check the path.`);
    return new RunFolder(path);
  }

  /**
   * Opens a run to go on with it: metrics are cut to its last checkpoint (to nothing where there is none).
   * @throws GymError E_FILE when there is none or it is running now.
   */
  static async resume(
    path: string,
  ): Promise<{ folder: RunFolder; checkpoint?: { path: string; state: CheckpointState } }> {
    const folder = RunFolder.open(path);
    await folder.#refuseRunning();
    await folder.#removeLeftovers();
    const epoch = (await folder.checkpoints()).at(-1);
    if (epoch === undefined) {
      await writeFileAtomic(folder.#metrics, '');
      return { folder };
    }
    const at = folder.checkpointPath(epoch);
    const state = fromJson(await readJson(join(at, 'state.json'))) as unknown as CheckpointState;
    const { size } = await stat(folder.#metrics);
    if (size < state.metricsBytes)
      throw new GymError(
        'E_FILE',
        `run ${path}: metrics.jsonl has ${size} bytes, but checkpoint ${at} was made at ${state.metricsBytes}; it was changed: restore it, or start again with --overwrite.`,
      );
    await truncate(folder.#metrics, state.metricsBytes);
    folder.#metricsBytes = state.metricsBytes;
    return { folder, checkpoint: { path: at, state } };
  }

  get #metrics(): string {
    return join(this.path, 'metrics.jsonl');
  }

  /** Bytes of metrics written so far. */
  get metricsBytes(): number {
    return this.#metricsBytes;
  }

  async #refuseRunning(): Promise<void> {
    const status = await this.status();
    if (status?.state === 'running' && status.process && (await isAlive(status.process)))
      throw new GymError(
        'E_STATE',
        `run ${this.path}: process ${status.process.pid} is running it now; stop that one first (Ctrl-C saves it).`,
      );
  }

  /** What a killed process left half-written. */
  async #removeLeftovers(): Promise<void> {
    for (const folder of [this.path, join(this.path, 'checkpoints'), join(this.path, 'samples')])
      for (const name of await readdir(folder).catch(() => [])) {
        if (/^\..*\.tmp$/.test(name)) await rm(join(folder, name), { recursive: true, force: true });
      }
  }

  /** Adds one line. @throws GymError E_FILE (disk full); what was there stays. */
  async appendMetrics(metrics: Metrics): Promise<void> {
    const line = metricsLine(metrics);
    try {
      await appendFile(this.#metrics, line);
    } catch (error) {
      await truncate(this.#metrics, this.#metricsBytes).catch(() => {});
      throw new GymError('E_FILE', `cannot write ${this.#metrics}: ${messageOf(error)}; check the disk.`, {
        cause: error,
      });
    }
    this.#metricsBytes += Buffer.byteLength(line);
  }

  /** The metrics so far, one entry an epoch. */
  async metrics(): Promise<Metrics[]> {
    return parseMetrics(await readFile(this.#metrics, 'utf8').catch(() => ''));
  }

  /** Writes `config.json`: what the run was started with, or goes on with. */
  async writeRecord(record: unknown): Promise<void> {
    await writeFileAtomic(join(this.path, 'config.json'), `${JSON.stringify(record, null, 2)}\n`);
  }

  /** The configuration the run was started with. */
  async config(): Promise<unknown> {
    return await readJson(join(this.path, 'config.json'));
  }

  async status(): Promise<RunStatus | undefined> {
    const path = join(this.path, 'status.json');
    return existsSync(path) ? ((await readJson(path)) as RunStatus) : undefined;
  }

  /** Whether a run that says it is running has lost its process (it was killed). */
  async wasKilled(): Promise<boolean> {
    const status = await this.status();
    return (
      status?.state === 'running' &&
      !(status.process?.pid === process.pid && status.process.host === hostname()) &&
      !(status.process && (await isAlive(status.process)))
    );
  }

  /** Says how the run stands; while it runs, who runs it. */
  async writeStatus(status: Omit<RunStatus, 'updated' | 'process'>): Promise<void> {
    this.#identity ??= { pid: process.pid, host: hostname(), started: await startOf(process.pid) };
    const full: RunStatus = {
      ...status,
      updated: new Date().toISOString(),
      ...(status.state === 'running' && { process: this.#identity }),
    };
    await writeFileAtomic(join(this.path, 'status.json'), `${JSON.stringify(full, null, 2)}\n`);
  }

  /** The epochs that have a checkpoint, oldest first. */
  async checkpoints(): Promise<number[]> {
    const names = await readdir(join(this.path, 'checkpoints')).catch(() => []);
    return names
      .flatMap((name) => checkpointName.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
  }

  checkpointPath(epoch: number): string {
    return join(this.path, 'checkpoints', `epoch-${String(epoch).padStart(6, '0')}`);
  }

  /**
   * Writes a checkpoint, whole or not at all, and then removes all but the latest `keep`.
   * @param saveAgent writes the agent into the folder it is given.
   */
  async writeCheckpoint(
    state: Omit<CheckpointState, 'metricsBytes'>,
    saveAgent: (folder: string) => Promise<void>,
    keep = 2,
  ): Promise<string> {
    const path = this.checkpointPath(state.epoch);
    await writeFolderAtomic(path, async (folder) => {
      await mkdir(join(folder, 'agent'));
      await saveAgent(join(folder, 'agent'));
      const full: CheckpointState = { ...state, metricsBytes: this.#metricsBytes };
      await writeFileAtomic(join(folder, 'state.json'), JSON.stringify(toJson(full as unknown as Snapshot)));
    });
    for (const epoch of (await this.checkpoints()).slice(0, -keep))
      await rm(this.checkpointPath(epoch), { recursive: true, force: true });
    return path;
  }
}
