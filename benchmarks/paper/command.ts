import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { BackendName } from '../../backend/index.js';
import { sayProgress } from '../../cli/benchmark-progress.js';
import { onInterrupt } from '../../cli/interrupt.js';
import { table } from '../../cli/table.js';
import { readJson } from '../../core/files.js';
import type { PaperBenchmark, PaperResults } from './definition.js';
import { runPaper, writePage } from './run.js';

export interface PaperCommandOptions {
  readonly only?: readonly string[];
  /** Only runs whose name has one of these texts in it. */
  readonly runs?: readonly string[];
  readonly seeds?: readonly number[];
  readonly out?: string;
  /** The folder of data that do not come with the package. */
  readonly data?: string;
  readonly jobs?: number;
  readonly backend?: BackendName;
  readonly json?: boolean;
  /** Only the page is made again. */
  readonly page?: boolean;
}

/** `npm run bench -- NAME`: trains what is missing of a benchmark after a paper, and prints its findings. */
export async function paperCommand(definition: PaperBenchmark, options: PaperCommandOptions): Promise<void> {
  const {
    only,
    runs,
    seeds = definition.seeds,
    out = join('benchmarks', definition.name),
    backend,
    json,
    page,
  } = options;
  const abort = new AbortController();
  const unwatch = onInterrupt(() => {
    process.stderr.write('stopping: each run is saved; the same command goes on\n');
    abort.abort();
  });
  try {
    let results: PaperResults;
    if (page) {
      results = (await readJson(join(out, 'results.json'))) as PaperResults;
      await writePage(definition, results, out);
    } else
      results = await runPaper(definition, {
        ...{
          only,
          runs,
          seeds,
          out,
          backend,
          data: options.data,
          jobs: options.jobs ?? availableParallelism(),
          signal: abort.signal,
        },
        command: ['npm run --silent bench --', ...process.argv.slice(2)].join(' '),
        onProgress: sayProgress(),
        onMissing: (message) => void process.stderr.write(`${message}\n`),
        onPrepare: (message) => void process.stderr.write(`${message}\n`),
      });
    if (abort.signal.aborted) process.exitCode = 130;
    else if (results.runs.some(({ state }) => state !== 'finished')) process.exitCode = 1;
    const findings = definition.findings(results.runs);
    process.stdout.write(
      json
        ? `${JSON.stringify({ ...results, findings })}\n`
        : `${table([['verdict', 'statement', 'measured'], ...findings.map((f) => [f.verdict, f.statement, f.evidence])])}\n${join(out, 'findings.md')}\n`,
    );
  } finally {
    unwatch();
  }
}
