import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { loadConfig, parseConfig, type RunConfig, setPath } from '../training/config.js';
import { number, progressReporter } from '../training/progress.js';
import { type RunResult, runTraining } from '../training/run.js';
import { RunFolder } from '../training/run-folder.js';
import { readRunRecord } from '../training/run-record.js';
import { announce } from './backend.js';
import { givenFlags } from './flags.js';
import { onInterrupt } from './interrupt.js';

interface TrainCommandOptions {
  resume?: boolean;
  overwrite?: boolean;
  json?: boolean;
}

/** A run's folder stands for the configuration that it was started with. */
async function readConfig(file: string | undefined, flags: Record<string, unknown>): Promise<RunConfig> {
  if (file === undefined || !existsSync(join(file, 'config.json'))) return await loadConfig(file, flags);
  const { config } = await readRunRecord(RunFolder.open(file));
  // The folder may have been moved since.
  const input: Record<string, unknown> = { ...structuredClone(config), runs: dirname(file), name: basename(file) };
  for (const [path, value] of Object.entries(flags)) setPath(input, path === 'agent' ? 'agent.name' : path, value);
  return parseConfig(input, file);
}

async function summary({ folder, report, epoch, epochs, reason }: RunResult): Promise<Record<string, unknown>> {
  const metrics = await folder.metrics();
  const [first, last] = [metrics[0], metrics.at(-1)];
  return {
    run: folder.path,
    report,
    epoch,
    epochs,
    reason,
    ...(first && last && { first: { reward: first['reward/mean'] }, last: { reward: last['reward/mean'] } }),
  };
}

export async function trainCommand(
  file: string | undefined,
  options: TrainCommandOptions & Record<string, unknown>,
): Promise<void> {
  const config = await readConfig(file, givenFlags(options));
  const path = join(config.runs, config.name);
  const bar = progressReporter();
  const abort = new AbortController();
  const unwatch = onInterrupt(() => {
    abort.abort();
    bar.say('stopping: this epoch is finished and saved first (Ctrl-C again: stop now, at the last checkpoint)');
  });
  try {
    const result = await runTraining(config, {
      resume: options.resume,
      overwrite: options.overwrite,
      signal: abort.signal,
      onBackend: (backend) => {
        announce(backend);
        process.stderr.write(`run: ${path}\n`);
      },
      onEvent: (event) => bar.onEvent(event),
      onProgress: (progress) => bar.onProgress(progress),
      warn: (message) => bar.say(`warning: ${message}`),
    });
    bar.close();
    if (result.reason === 'stopped') {
      process.stderr.write(
        `stopped after epoch ${result.epoch} of ${result.epochs}, saved; go on by: train ${path} --resume\n`,
      );
      process.exitCode = 130;
    }
    const metrics = await result.folder.metrics();
    if (metrics.length > 0)
      process.stderr.write(
        `mean reward: ${number(metrics[0]!['reward/mean'])} in the first epoch, ${number(metrics.at(-1)!['reward/mean'])} in the last\n`,
      );
    process.stdout.write(options.json ? `${JSON.stringify(await summary(result))}\n` : `${result.report}\n`);
  } finally {
    bar.close();
    unwatch();
  }
}
