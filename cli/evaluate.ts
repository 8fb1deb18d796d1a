import { join } from 'node:path';
import { writeFileAtomic } from '../core/files.js';
import { Random } from '../core/random.js';
import { compose } from '../training/compose.js';
import { loadConfig, parseConfig, setPath } from '../training/config.js';
import { type EvaluationRecord, evaluateWithPictures } from '../training/evaluation.js';
import { number } from '../training/progress.js';
import { latestCheckpoint } from '../training/sample.js';
import { startBackend } from './backend.js';
import { givenFlags } from './flags.js';
import { table } from './table.js';

interface EvaluateCommandOptions {
  run?: string;
  samples: number;
  out?: string;
  json?: boolean;
}

export async function evaluateCommand(
  file: string | undefined,
  options: EvaluateCommandOptions & Record<string, unknown>,
): Promise<void> {
  const flags: Record<string, unknown> = { 'evaluation.samples': options.samples, ...givenFlags(options) };
  const trained = options.run === undefined ? undefined : await latestCheckpoint(options.run);
  let config = await loadConfig(file, trained ? {} : flags);
  if (trained) {
    const input = structuredClone(trained.config) as Record<string, unknown>;
    for (const [path, value] of Object.entries(flags)) setPath(input, path, value);
    config = parseConfig(input, options.run);
  }
  await startBackend(config.backend);
  const parts = await compose(config);
  try {
    const results: { name: string; record: EvaluationRecord }[] = [];
    const measure = async (name: string, epoch: number) => {
      const { record, png, webp } = await evaluateWithPictures(parts.agent, epoch, {
        ...config.evaluation,
        envs: parts.evaluationEnvs,
        // The one that runs are evaluated with: the same prompts and noises.
        random: new Random('evaluation'),
        pictures: options.out === undefined ? 0 : config.evaluation.pictures,
        decode: parts.decode,
      });
      if (options.out !== undefined && png) await writeFileAtomic(join(options.out, `${name}.png`), png);
      if (options.out !== undefined && webp) await writeFileAtomic(join(options.out, `${name}.webp`), webp);
      results.push({ name, record });
    };
    await measure(trained ? 'before' : 'model', 0);
    if (trained) {
      await parts.agent.restore(trained.path);
      await measure(`epoch-${trained.epoch}`, trained.epoch);
    }
    if (options.json) {
      const numbers = results.map(({ name, record: { samples, grid: _, animation: __, ...record } }) => ({
        name,
        ...record,
        samples: samples.length,
        rewards: samples.map((sample) => sample.reward),
      }));
      process.stdout.write(`${JSON.stringify({ reward: config.reward, results: numbers })}\n`);
      return;
    }
    const terms = Object.keys(results[0]!.record.terms);
    process.stdout.write(
      `${table([
        ['', 'mean', 'standard error', 'standard deviation', 'lowest', 'highest', ...terms],
        ...results.map(({ name, record }) => [
          name,
          number(record.mean),
          `±${number(record.se)}`,
          number(record.std),
          number(record.min),
          number(record.max),
          ...terms.map((term) => number(record.terms[term])),
        ]),
      ])}\n`,
    );
  } finally {
    await parts.close();
  }
}
