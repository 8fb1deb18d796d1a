import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BackendInfo, useBackend } from '../backend/index.js';
import { GymError } from '../core/errors.js';
import { Random } from '../core/random.js';
import { nameOfReward } from '../core/score.js';
import { completeConfig, type RunConfig, type RunConfigInput } from './config/index.js';
import { evaluationCallback } from './evaluation/index.js';
import type { ComposeOptions } from './families/family.js';
import { compose } from './families/index.js';
import { writeReport } from './report.js';
import { RunFolder } from './run-folder.js';
import { provenance, type RunRecord, readRunRecord } from './run-record.js';
import { type Callback, type TrainEvent, type TrainProgress, train } from './train.js';

export interface RunOptions extends ComposeOptions {
  /** Go on with the run of that name. */
  readonly resume?: boolean;
  /** Start afresh, and lose the run of that name. */
  readonly overwrite?: boolean;
  /** Aborted: the run stops within the present step, micro-batch or call of the user's code, and can be resumed. */
  readonly signal?: AbortSignal;
  readonly onBackend?: (backend: BackendInfo) => void;
  readonly onEvent?: (event: TrainEvent) => void;
  readonly onProgress?: (progress: TrainProgress) => void;
  /** More of them, beside the evaluation that the configuration asks for. */
  readonly callbacks?: readonly Callback<unknown, unknown>[];
}

export interface RunResult {
  readonly folder: RunFolder;
  /** Path of the report. */
  readonly report: string;
  /** Finished epochs. */
  readonly epoch: number;
  readonly epochs: number;
  readonly reason: 'finished' | 'stopped';
}

/** What may be another than the run was started with: it changes how far or how fast a run goes, not its numbers. */
const changeable = new Set([
  'runs',
  'name',
  'epochs',
  'overlap',
  'backend',
  'checkpointEvery',
  'keepCheckpoints',
  'rewardTimeout',
  'evaluation',
]);

/** @throws GymError E_CONFIG that lists what differs. */
function checkSame(stored: RunConfig, given: RunConfig, path: string): void {
  const differing: string[] = [];
  const visit = (a: unknown, b: unknown, at: string) => {
    if (changeable.has(at) || JSON.stringify(a) === JSON.stringify(b)) return;
    if (typeof a === 'object' && typeof b === 'object' && a && b && !Array.isArray(a))
      for (const key of new Set([...Object.keys(a), ...Object.keys(b)]))
        visit(
          (a as Record<string, unknown>)[key],
          (b as Record<string, unknown>)[key],
          at === '' ? key : `${at}.${key}`,
        );
    else differing.push(`  ${at}: ${JSON.stringify(a)} there, ${JSON.stringify(b)} now`);
  };
  visit(stored, given, '');
  if (differing.length > 0)
    throw new GymError(
      'E_CONFIG',
      `resume ${path}: the run was started with other options:\n${differing.join('\n')}\nOnly ${[...changeable].slice(2).join(', ')} may change; resume by \`train ${path} --resume\` to take them as they were.`,
    );
}

/**
 * A whole run: backend, parts, folder, training, report. The folder can be read, reported and resumed at any moment.
 * @param given a configuration, complete or not.
 * @param options what a program brings along: an agent, an environment or a reward of its own, listeners, a signal.
 * @throws GymError for what is wrong with the configuration, the model or the reward; the run is then saved and resumable.
 */
export async function runTraining(given: RunConfigInput | RunConfig, options: RunOptions = {}): Promise<RunResult> {
  // The record says what was used, also where it is an object or a function that was handed in.
  const config = await completeConfig(
    {
      ...given,
      ...(options.env && given.env === undefined && { env: 'own-environment' }),
      ...(options.agent && { agent: { ...agentOptionsOf(given.agent), name: options.agent.name } }),
      ...(options.reward && { reward: nameOfReward(options.reward) }),
    },
    'configuration',
    { agent: options.agent },
  );
  const path = join(config.runs, config.name);
  const { resume = false, overwrite = false } = options;
  const opened = resume ? await RunFolder.resume(path) : undefined;
  const stored = opened && (await readRunRecord(opened.folder));
  if (stored) {
    checkSame(stored.config, config, path);
    const done = opened?.checkpoint?.state.epoch ?? 0;
    if (config.epochs < done)
      throw new GymError('E_CONFIG', `resume ${path}: epochs is ${config.epochs}, but ${done} are done; ask for more.`);
    // So that a resume without options goes on with what this one was told.
    const { runs, name } = stored.config;
    await opened!.folder.writeRecord({ ...stored, config: { ...config, runs, name } });
  }
  const backend = await useBackend(config.backend === 'auto' ? undefined : config.backend);
  options.onBackend?.(backend);
  let epoch = opened?.checkpoint?.state.epoch ?? 0;
  let folder = opened?.folder;
  const warn = (message: string) => {
    options.warn?.(message);
    // A lost line of the log must not stop a run.
    if (folder) appendFile(join(folder.path, 'log.txt'), `epoch ${epoch + 1}: ${message}\n`).catch(() => {});
  };
  if (stored && stored.backend.name !== backend.name)
    warn(
      `this run was started on the ${stored.backend.name} backend and goes on with ${backend.name}: the last digits of its numbers will differ from those of an uninterrupted run.`,
    );
  const { agent, env, reward, prompts } = options;
  const parts = await compose(config, { agent, env, reward, prompts, warn });
  try {
    if (!folder) {
      const record: RunRecord = { config, versions: await provenance(), backend, started: new Date().toISOString() };
      folder = await RunFolder.create(path, record, { overwrite });
    }
    const { samples, every, explore, maxSteps } = config.evaluation;
    const evaluation = evaluationCallback({
      envs: parts.evaluationEnvs,
      samples,
      every,
      pictures: parts.pictures ?? 0,
      explore,
      maxSteps,
      warn,
      // Of its own, so that runs with other seeds are asked the same.
      random: new Random('evaluation'),
      decode: parts.decode,
    });
    let reason: RunResult['reason'] = 'stopped';
    for await (const event of train({
      agent: parts.agent,
      envs: parts.envs,
      epochs: config.epochs,
      seed: config.seed,
      folder,
      checkpoint: opened?.checkpoint,
      checkpointEvery: config.checkpointEvery,
      keepCheckpoints: config.keepCheckpoints,
      callbacks: [...(samples > 0 ? [evaluation] : []), ...(options.callbacks ?? [])],
      signal: options.signal,
      onProgress: options.onProgress,
      warn,
    })) {
      epoch = event.epoch;
      if (event.type === 'end') reason = event.reason;
      options.onEvent?.(event);
    }
    return { folder, report: await writeReport(folder.path), epoch, epochs: config.epochs, reason };
  } finally {
    await parts.close();
  }
}

function agentOptionsOf(agent: RunConfigInput['agent']): object {
  return typeof agent === 'object' ? agent : {};
}
