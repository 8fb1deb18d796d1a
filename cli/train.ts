import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { agentNamed } from '../agents/registry.js';
import { GymError } from '../core/errors.js';
import { recoverFolder } from '../core/files.js';
import { completeConfig, loadConfig, type RunConfig, withFlags } from '../training/config/index.js';
import { familyOf } from '../training/families/index.js';
import { profileText, RunProfiler } from '../training/profile.js';
import { progressReporter, rewardSummary } from '../training/progress.js';
import { type RunResult, runTraining } from '../training/run.js';
import { RunFolder } from '../training/run-folder/index.js';
import { readRunRecord } from '../training/run-record.js';
import type { TrustOptions } from '../training/trust.js';
import { announce, announceLine } from './backend.js';
import { givenFlags } from './flags.js';
import { onInterrupt } from './interrupt.js';

interface TrainCommandOptions {
  resume?: boolean;
  fromCheckpoint?: number;
  trust?: boolean;
  overwrite?: boolean;
  profile?: boolean;
  json?: boolean;
}

/** A run's folder stands for the configuration that it was started with. */
async function readConfig(
  file: string | undefined,
  flags: Record<string, unknown>,
  options: TrustOptions,
): Promise<RunConfig> {
  if (file !== undefined) recoverFolder(file);
  if (file === undefined || !existsSync(join(file, 'config.json'))) return await loadConfig(file, flags);
  const { config } = await readRunRecord(RunFolder.open(file), options);
  // The folder may have been moved since.
  const input = { ...config, runs: dirname(file), name: basename(file) };
  return await completeConfig(withFlags(input, flags), file);
}

async function summary({ folder, report, epoch, epochs, reason, why }: RunResult): Promise<Record<string, unknown>> {
  const metrics = await folder.metrics();
  const rewards = metrics.flatMap((m) => m['reward/mean'] ?? []);
  return {
    run: folder.path,
    report,
    epoch,
    epochs,
    reason,
    ...(why !== undefined && { why }),
    ...(rewards.length > 0 && { first: { reward: rewards[0] }, last: { reward: rewards.at(-1) } }),
  };
}

export async function trainCommand(
  file: string | undefined,
  options: TrainCommandOptions & Record<string, unknown>,
): Promise<void> {
  if (options.fromCheckpoint !== undefined && !options.resume)
    throw new GymError(
      'E_CONFIG',
      `train: --from-checkpoint ${options.fromCheckpoint} says where a run goes on; add --resume.`,
    );
  const { trust } = options;
  const profiler = options.profile ? new RunProfiler() : undefined;
  const flags = await givenFlags(options);
  const config = await readConfig(file, flags, { trust, warn: announceLine });
  if (profiler && Number(config.workers ?? 0) > 0)
    announceLine('warning: --profile sees the main thread alone; with workers: 0 it sees everything.');
  const profiled = profiler && config.workers === 'auto' ? { ...config, workers: 0 } : config;
  const path = join(config.runs, config.name);
  const bar = progressReporter(process.stderr, {
    metrics: agentNamed(config.agent.name).metrics,
    words: familyOf(config.env).words,
  });
  const abort = new AbortController();
  const unwatch = onInterrupt(() => {
    bar.say('stopping; Ctrl-C again: without waiting for what is going on');
    abort.abort();
  });
  try {
    const result = await runTraining(profiled, {
      resume: options.resume,
      fromCheckpoint: options.fromCheckpoint,
      trust,
      overwrite: options.overwrite,
      signal: abort.signal,
      onBackend: (backend) => {
        announce(backend);
        announceLine(`run: ${path}`);
        profiler?.start();
      },
      onEngine: announceLine,
      onEvent: (event) => {
        bar.onEvent(event);
        profiler?.onEvent(event);
      },
      onRival: (agent) => bar.say(`its rival: ${agent}`),
      onProgress: (progress) => {
        bar.onProgress(progress);
        profiler?.onProgress(progress);
      },
      warn: (message) => bar.say(`warning: ${message}`),
    });
    bar.close();
    if (result.reason === 'stopped') {
      process.stderr.write(
        `stopped after epoch ${result.epoch} of ${result.epochs}, saved; go on by: train ${path} --resume\n`,
      );
      process.exitCode = 130;
    }
    if (result.why !== undefined)
      process.stderr.write(`ended after epoch ${result.epoch} of ${result.epochs}: ${result.why}\n`);
    if (profiler) {
      const profile = profiler.stop();
      await profiler.write(path, profile);
      process.stderr.write(`${profileText(profile)}\nprofile: ${join(path, 'profile.json')}, trace.json\n`);
    }
    const rewards = rewardSummary(await result.folder.metrics());
    if (rewards !== undefined) process.stderr.write(`${rewards}\n`);
    process.stdout.write(options.json ? `${JSON.stringify(await summary(result))}\n` : `${result.report}\n`);
  } finally {
    bar.close();
    unwatch();
  }
}
