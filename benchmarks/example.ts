import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { BackendName } from '../backend/index.js';
import { useBackend } from '../backend/index.js';
import { standardDeviation } from '../core/statistics.js';
import { epochLine, loadConfig, readEvaluations, runTraining } from '../training/index.js';
import { print } from './print.js';

export interface ExampleOptions {
  seeds: number[];
  runs: string;
  backend?: BackendName;
  json?: boolean;
}

/**
 * Runs a configuration file with one seed after the other; a run that was killed goes on, one that is finished is only
 * read. For the reward and each of its terms: the mean over the run's fixed prompts and noises before and after, the rise
 * in standard deviations of the samples before, and the share of the gap to 1 that was closed (of use where 1 is the best).
 */
export async function example(file: string, { seeds, runs, backend, json }: ExampleOptions): Promise<void> {
  const info = await useBackend(backend);
  const rows = [];
  for (const seed of seeds) {
    const { name: stem } = await loadConfig(file);
    const name = `${stem}-seed-${seed}`;
    const config = await loadConfig(file, { name, runs, seed });
    const started = performance.now();
    await runTraining(config, {
      resume: existsSync(join(runs, name, 'config.json')),
      onEvent: (event) => {
        if (event.type === 'epoch')
          process.stderr.write(`seed ${seed}: ${epochLine(event.epoch, event.epochs, event.metrics)}\n`);
      },
      warn: (message) => process.stderr.write(`${message}\n`),
    });
    const seconds = (performance.now() - started) / 1000;
    const evaluations = await readEvaluations(join(runs, name));
    const [first, last] = [evaluations[0]!, evaluations.at(-1)!];
    const row = (measured: string, before: number, after: number, values: number[]) => ({
      seed,
      measured,
      before,
      after,
      'rise in std': (after - before) / standardDeviation(values),
      'gap to 1 closed': (after - before) / (1 - before),
      seconds,
    });
    rows.push(
      row(
        'reward',
        first.mean,
        last.mean,
        first.samples.map(({ reward }) => reward),
      ),
    );
    for (const term of Object.keys(first.terms)) {
      const values = first.samples.map(({ terms }) => terms![term]!);
      rows.push(row(term, first.terms[term]!, last.terms[term]!, values));
    }
  }
  print('example', info, { file }, rows, json);
}
