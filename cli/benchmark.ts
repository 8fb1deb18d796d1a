import { availableParallelism } from 'node:os';
import { GymError } from '../core/errors.js';
import { benchmark } from '../training/benchmark/runner.js';
import { parseYaml } from '../training/config/index.js';
import { number } from '../training/progress.js';
import { sayProgress } from './benchmark-progress.js';
import { givenFlags } from './flags.js';
import { onInterrupt } from './interrupt.js';
import { table } from './table.js';

interface BenchmarkCommandOptions {
  agents: string;
  envs: string;
  seeds: string;
  vary?: string[];
  out: string;
  jobs?: number;
  json?: boolean;
}

function list(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** `5` is the seeds 0 to 4; `3,7` are these two. */
function seedsOf(text: string): number[] {
  const seeds = list(text).map(Number);
  if (seeds.length === 0 || !seeds.every((seed) => Number.isSafeInteger(seed) && seed >= 0))
    throw new GymError(
      'E_CONFIG',
      `benchmark: --seeds must be a number of them or a list (0,1,2), actual value ${text}.`,
    );
  if (seeds.length > 1 || text.includes(',')) return seeds;
  if (seeds[0]! < 1 || seeds[0]! > 1000)
    throw new GymError('E_CONFIG', `benchmark: --seeds ${text}: give a number of 1 to 1000, or a list with a comma.`);
  return Array.from({ length: seeds[0]! }, (_, i) => i);
}

/** `agent.klCoefficient=0,0.1` is a dimension with two values; a YAML list keeps commas together. */
function dimension(text: string): [string, unknown[]] {
  const at = text.indexOf('=');
  const values = at < 0 ? undefined : parseYaml(`[${text.slice(at + 1)}]`, `--vary ${text}`);
  if (!Array.isArray(values) || values.length === 0)
    throw new GymError('E_CONFIG', `benchmark: --vary must be option=value,value, actual value ${text}.`);
  const path = text.slice(0, at).replace(/-([a-z])/g, (_, c: string) => c.toUpperCase());
  return [path, values];
}

export async function benchmarkCommand(options: BenchmarkCommandOptions & Record<string, unknown>): Promise<void> {
  const abort = new AbortController();
  const unwatch = onInterrupt(() => {
    process.stderr.write('stopping: each run is saved; the same command goes on\n');
    abort.abort();
  });
  const { agent: _, env: __, seed: ___, ...flags } = await givenFlags(options);
  try {
    const results = await benchmark({
      agents: list(options.agents),
      envs: list(options.envs),
      seeds: seedsOf(options.seeds),
      vary: Object.fromEntries((options.vary ?? []).map(dimension)),
      options: flags,
      out: options.out,
      jobs: options.jobs ?? availableParallelism(),
      command: ['benchmark', ...process.argv.slice(3)]
        .map((word) => (/[\s"']/.test(word) ? JSON.stringify(word) : word))
        .join(' '),
      signal: abort.signal,
      onProgress: sayProgress(),
    });
    if (abort.signal.aborted) process.exitCode = 130;
    else if (results.runs.some(({ state }) => state !== 'finished')) process.exitCode = 1;
    if (options.json) {
      process.stdout.write(`${JSON.stringify(results)}\n`);
      return;
    }
    process.stdout.write(
      `${table([
        ['environment', 'algorithm', 'iqm', '95 % from', 'to', 'mean', 'lowest', 'highest', 'runs'],
        ...results.rows.map((row) => [
          row.env,
          row.algorithm,
          ...[row.iqm?.value, row.iqm?.low, row.iqm?.high, row.mean, row.min, row.max].map(number),
          row.failed > 0 ? `${row.runs} (${row.failed} not finished)` : String(row.runs),
        ]),
      ])}\n${options.out}/index.html\n`,
    );
  } finally {
    unwatch();
  }
}
