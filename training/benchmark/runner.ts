import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BackendName, useBackend } from '../../backend/index.js';
import { GymError } from '../../core/errors.js';
import { writeFileAtomic } from '../../core/files.js';
import { RunFolder } from '../run-folder/index.js';
import { provenance } from '../run-record.js';
import type { ChildMessage } from './child.js';
import { type Cell, cellsOf, type Matrix } from './matrix.js';
import { renderBenchmark } from './page.js';
import { type BenchmarkResults, comparisonsOf, outcomeOf, type RunOutcome, rowsOf } from './results.js';

/** How far a benchmark is. */
export interface BenchmarkProgress {
  readonly run: string;
  readonly state: 'running' | 'finished' | 'failed';
  readonly epoch?: number;
  readonly epochs?: number;
  readonly reward?: number | undefined;
  readonly message?: string;
  /** Runs that have ended, of all. */
  readonly done: number;
  readonly total: number;
}

export interface BenchmarkOptions extends Matrix {
  /** The folder of the benchmark: `runs/`, `results.json`, `results.csv`, `index.html`. */
  readonly out: string;
  /** How many runs at once, each in a process of its own that computes on one thread. */
  readonly jobs: number;
  readonly backend?: BackendName | undefined;
  /** The command line that made it, for the record. */
  readonly command: string;
  /** Aborted: runs stop, saved; the same call goes on with them. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: BenchmarkProgress) => void) | undefined;
}

/**
 * Trains every run of a matrix, each in a process of its own, and writes what they came to: after each run, so that a
 * benchmark that is stopped or killed has results, and goes on where it was when it is called again. A run that fails is
 * recorded as failed, and the others go on; it is tried again by the next call.
 */
export async function benchmark(options: BenchmarkOptions): Promise<BenchmarkResults> {
  const { out, command } = options;
  const cells = await cellsOf(options, out);
  const versions = await provenance();
  let results!: BenchmarkResults;
  await runCells(cells, {
    ...options,
    update: async (runs, backend) => {
      const updated = new Date().toISOString();
      results = { command, versions, backend, updated, runs, rows: rowsOf(runs), comparisons: comparisonsOf(runs) };
      await writeResults(out, results);
    },
  });
  return results;
}

export interface RunCellsOptions extends Pick<BenchmarkOptions, 'jobs' | 'backend' | 'signal' | 'onProgress'> {
  /** Told after each run, and at the end, what all have come to. It is not called again before it has ended. */
  update(runs: readonly RunOutcome[], backend: BackendName): Promise<void>;
}

/** Does those runs of a benchmark that are not finished, each in a process of its own; see {@link benchmark}. */
export async function runCells(cells: readonly Cell[], options: RunCellsOptions): Promise<void> {
  const { jobs, signal, onProgress, update } = options;
  const { name: backend } = await useBackend(options.backend);
  const failures = new Map<string, string>();
  let done = 0;

  let writing = Promise.resolve();
  const write = () => {
    writing = writing.then(async () =>
      update(await Promise.all(cells.map((cell) => outcomeOf(cell, folderOf(cell), failures.get(cell.name)))), backend),
    );
    return writing;
  };

  const waiting: Cell[] = [];
  for (const cell of cells) {
    if (await isFinished(cell)) done++;
    else waiting.push(cell);
  }
  const work = async () => {
    for (let cell = waiting.shift(); cell !== undefined && !signal?.aborted; cell = waiting.shift()) {
      const { name: run } = cell;
      const failure = await runCell(cell, backend, signal, (epoch, epochs, reward) =>
        onProgress?.({ run, state: 'running', epoch, epochs, reward, done, total: cells.length }),
      );
      if (signal?.aborted) return;
      if (failure !== undefined) failures.set(run, failure);
      done++;
      const state = failure === undefined ? 'finished' : 'failed';
      onProgress?.({ run, state, ...(failure && { message: failure }), done, total: cells.length });
      await write();
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, jobs) }, work));
  await write();
}

/** Where a run's folder is. */
export function folderOf({ config }: Cell): string {
  return join(config.runs, config.name);
}

/** Whether a run was finished before. */
async function isFinished(cell: Cell): Promise<boolean> {
  try {
    return (await RunFolder.open(folderOf(cell)).status())?.state === 'finished';
  } catch {
    return false;
  }
}

/** Does one run in a process of its own. @returns why it failed, if it did. */
function runCell(
  { config }: Cell,
  backend: BackendName,
  signal: AbortSignal | undefined,
  onEpoch: (epoch: number, epochs: number, reward: number | undefined) => void,
): Promise<string | undefined> {
  const source = import.meta.url.endsWith('.ts');
  const child: ChildProcess = fork(fileURLToPath(new URL(`./child.${source ? 'ts' : 'js'}`, import.meta.url)), {
    // One thread a process: the processes are what uses the cores.
    env: { ...process.env, DENOISE_GYM_BACKEND: backend, TF_NUM_INTRAOP_THREADS: '1' },
    execArgv: source ? ['--no-warnings', '--import', new URL('../../register.mjs', import.meta.url).href] : [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const stop = () => child.kill('SIGINT');
  signal?.addEventListener('abort', stop);
  let said = '';
  child.stderr!.on('data', (chunk) => {
    said = `${said}${chunk}`.slice(-2000);
  });
  return new Promise<string | undefined>((resolve, reject) => {
    let ended: { failure: string | undefined } | undefined;
    child.on('message', (message: ChildMessage) => {
      if (message.kind === 'epoch') onEpoch(message.epoch, message.epochs, message.reward);
      else ended = { failure: message.kind === 'failed' ? message.message : undefined };
    });
    child.on('error', reject);
    child.on('close', (code, killed) => {
      signal?.removeEventListener('abort', stop);
      resolve(
        ended
          ? ended.failure
          : `its process ended by ${killed ?? `exit code ${code}`}${said === '' ? '' : `: ${said.trim()}`}`,
      );
    });
    child.send({ ...config, backend, ...('workers' in config && { workers: 0 }) }, (error) => {
      if (error) reject(new GymError('E_STATE', `benchmark: ${config.name} cannot be started: ${error.message}`));
    });
  });
}

/** Writes `results.json`, `results.csv` and `index.html`. */
async function writeResults(out: string, results: BenchmarkResults): Promise<void> {
  await writeFileAtomic(join(out, 'results.json'), `${JSON.stringify(results, null, 1)}\n`);
  const cell = (value: unknown) => {
    const text = value === undefined ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const columns = [
    'env',
    'agent',
    'seed',
    'state',
    'score',
    'before',
    'envSteps',
    'rewardQueries',
    'seconds',
    'varied',
  ] as const;
  const lines = results.runs.map((run) => columns.map((column) => cell(run[column])).join(','));
  await writeFileAtomic(join(out, 'results.csv'), `${[columns.join(','), ...lines].join('\n')}\n`);
  await writeFileAtomic(join(out, 'index.html'), await renderBenchmark(results));
}
