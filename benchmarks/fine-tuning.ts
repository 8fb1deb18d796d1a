import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { BackendName } from '../backend/index.js';
import { useBackend } from '../backend/index.js';
import { epochLine, parseConfig, readEvaluations, runTraining } from '../training/index.js';
import { print } from './print.js';

export interface FineTuningOptions {
  reward: string;
  kinds: string[];
  seeds: number[];
  epochs: number;
  samples: number;
  agent: string;
  learningRate?: number;
  runs: string;
  backend?: BackendName;
  json?: boolean;
}

/** One run a seed, with the defaults; a run that was killed goes on, one that is finished is only read. */
export async function fineTuning(options: FineTuningOptions): Promise<void> {
  const { reward, kinds, seeds, epochs, samples, agent, learningRate, runs, backend, json } = options;
  const info = await useBackend(backend);
  const rows = [];
  for (const seed of seeds) {
    const name = `${reward}-${agent}${learningRate === undefined ? '' : `-${learningRate}`}-seed-${seed}`;
    const config = parseConfig(
      {
        name,
        runs,
        reward,
        prompts: { kind: 'shapes', kinds },
        agent: { name: agent, learningRate },
        evaluation: { samples, pictures: 64 },
        epochs,
        seed,
        checkpointEvery: 10,
      },
      'benchmark',
    );
    const started = performance.now();
    await runTraining(config, {
      resume: existsSync(join(runs, name, 'config.json')),
      onEvent: (event) => {
        if (event.type === 'epoch')
          process.stderr.write(`seed ${seed}: ${epochLine(event.epoch, event.epochs, event.metrics)}\n`);
      },
      warn: (message) => process.stderr.write(`${message}\n`),
    });
    const evaluations = await readEvaluations(join(runs, name));
    const before = evaluations[0]!;
    const after = evaluations.at(-1)!;
    rows.push({
      seed,
      before: before.mean,
      after: after.mean,
      'gap closed': (after.mean - before.mean) / (1 - before.mean),
      'shape before': before.terms.shape ?? Number.NaN,
      'shape after': after.terms.shape ?? Number.NaN,
      minutes: (performance.now() - started) / 60_000,
    });
  }
  print('fine-tuning', info, { reward, kinds, epochs, samples, agent }, rows, json);
}
