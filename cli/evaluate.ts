import { join } from 'node:path';
import { GymError } from '../core/errors.js';
import { writeFileAtomic } from '../core/files.js';
import { Random } from '../core/random.js';
import { completeConfig, loadConfig, withFlags } from '../training/config/index.js';
import { type EvaluationRecord, evaluateWithPictures } from '../training/evaluation/index.js';
import { compose } from '../training/families/index.js';
import { number, progressReporter } from '../training/progress.js';
import { openCheckpoint } from '../training/trained.js';
import { announceLine, startBackend } from './backend.js';
import { givenFlags } from './flags.js';
import { onInterrupt } from './interrupt.js';
import { type RunAgentOptions, refuseWithoutRun } from './run-agent.js';
import { table } from './table.js';

interface EvaluateCommandOptions extends RunAgentOptions {
  trust?: boolean;
  samples: number;
  out?: string;
  json?: boolean;
}

export async function evaluateCommand(
  file: string | undefined,
  options: EvaluateCommandOptions & Record<string, unknown>,
): Promise<void> {
  const flags: Record<string, unknown> = { 'evaluation.samples': options.samples, ...(await givenFlags(options)) };
  const { run, fromCheckpoint: from, best, trust } = options;
  refuseWithoutRun('evaluate', options);
  const trained = run === undefined ? undefined : await openCheckpoint(run, { from, best, trust, warn: announceLine });
  if (trained && file !== undefined)
    throw new GymError(
      'E_CONFIG',
      `evaluate: a run (${options.run}) has its own configuration; leave out the file ${file}, or evaluate that one without a run.`,
    );
  const config = trained
    ? await completeConfig(withFlags(trained.config, flags), options.run)
    : await loadConfig(file, flags);
  await startBackend(config.backend);
  const bar = progressReporter();
  const warn = (message: string) => bar.say(`warning: ${message}`);
  const abort = new AbortController();
  const unwatch = onInterrupt(() => abort.abort(new GymError('E_STATE', 'evaluate: stopped.')));
  const parts = await compose(config, { warn, signal: abort.signal });
  try {
    const { explore, maxSteps, samples } = config.evaluation;
    const results: { name: string; record: EvaluationRecord }[] = [];
    const measure = async (name: string, epoch: number) => {
      const { record, png, webp } = await evaluateWithPictures(parts.agent, epoch, {
        explore,
        maxSteps,
        samples,
        warn,
        signal: abort.signal,
        onProgress: (done, total) => bar.onProgress({ epoch, epochs: epoch, phase: `evaluating ${name}`, done, total }),
        envs: parts.evaluationEnvs,
        // The one that runs are evaluated with: the same prompts and noises.
        random: new Random('evaluation'),
        pictures: options.out === undefined ? 0 : (parts.pictures ?? 0),
        decode: parts.decode,
      });
      if (options.out !== undefined && png) await writeFileAtomic(join(options.out, `${name}.png`), png);
      if (options.out !== undefined && webp) await writeFileAtomic(join(options.out, `${name}.webp`), webp);
      results.push({ name, record });
    };
    await measure(trained ? 'before' : config.agent.name, 0);
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
      const { env, agent, reward } = config;
      const what = { env, agent: agent.name, ...(reward !== undefined && { reward }) };
      bar.close();
      process.stdout.write(`${JSON.stringify({ ...what, results: numbers })}\n`);
      return;
    }
    bar.close();
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
  } catch (error) {
    // What was going on may fail because of the signal.
    throw abort.signal.aborted ? abort.signal.reason : error;
  } finally {
    bar.close();
    unwatch();
    await parts.close();
  }
}
