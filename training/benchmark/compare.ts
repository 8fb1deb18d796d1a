import { basename } from 'node:path';
import { RunFolder } from '../run-folder/index.js';
import type { RunRecord } from '../run-record.js';
import { provenance } from '../run-record.js';
import { renderBenchmark } from './page.js';
import { type BenchmarkResults, comparisonsOf, outcomeOf, rowsOf } from './results.js';

/**
 * Lays any runs over each other: those of one agent and one environment, which differ in their seeds, are one algorithm.
 * @param paths folders of runs, finished or not. Nothing that they name is executed.
 * @returns the numbers, and the page.
 * @throws GymError E_FILE when there is no run in a folder.
 */
export async function compareRuns(paths: readonly string[]): Promise<{ results: BenchmarkResults; page: string }> {
  const records = await Promise.all(
    paths.map(async (path) => ({ path, record: (await RunFolder.open(path).config()) as RunRecord })),
  );
  // What runs of the same agent and environment differ in, beside the seed, tells them apart.
  const runs = await Promise.all(
    records.map(({ path, record: { config } }) => {
      const alike = records.filter(
        ({ record: { config: other } }) => other.env === config.env && other.agent.name === config.agent.name,
      );
      const varied = Object.fromEntries(
        differing(alike.map(({ record }) => flat(record.config))).flatMap((option) => {
          const value = flat(config)[option];
          return value === undefined ? [] : [[option, value]];
        }),
      );
      const { env, agent, seed } = config;
      return outcomeOf({ name: basename(path), env, agent: agent.name, seed, varied }, path);
    }),
  );
  const results: BenchmarkResults = {
    command: `compare ${paths.join(' ')}`,
    versions: await provenance(),
    backend: [...new Set(records.map(({ record }) => record.backend.name))].join(' and '),
    updated: new Date().toISOString(),
    runs,
    rows: rowsOf(runs),
    comparisons: comparisonsOf(runs),
  };
  return { results, page: await renderBenchmark(results, 'comparison') };
}

/** Options that say nothing of what is learned. */
const beside =
  /^(name|runs|seed|backend|workers|overlap|checkpointEvery|keepCheckpoints|keepBest|loggers|trackio\..*|evaluation\..*)$/;

/** A configuration as a list of options by dotted path. */
function flat(value: unknown, path = ''): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return beside.test(path) ? {} : { [path]: value };
  return Object.assign(
    {},
    ...Object.entries(value).map(([key, part]) => flat(part, path === '' ? key : `${path}.${key}`)),
  ) as Record<string, unknown>;
}

/** The options whose values are not the same in all. */
function differing(configs: readonly Record<string, unknown>[]): string[] {
  const all = new Set(configs.flatMap((config) => Object.keys(config)));
  return [...all].filter((option) => new Set(configs.map((config) => JSON.stringify(config[option]))).size > 1);
}
