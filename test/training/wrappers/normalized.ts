import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunConfigInput } from '../../../training/config/index.js';
import { type RunOptions, type RunResult, runTraining } from '../../../training/run.js';
import { RunFolder } from '../../../training/run-folder/index.js';

/** What {@link normalized} takes beside what every run takes. */
export interface NormalizedOptions extends RunOptions {
  readonly collect?: { steps: number } | { episodes: number };
  readonly more?: RunConfigInput;
}

/** PPO on eight CartPoles that are cut in the middle of their episodes, with normalisation of observations and rewards. */
export function normalized(
  runs: string,
  name: string,
  epochs: number | undefined,
  { collect = { steps: 16 }, more, ...options }: NormalizedOptions = {},
): Promise<RunResult> {
  return runTraining(
    {
      runs,
      name,
      epochs,
      scheduleEpochs: 20,
      env: 'CartPole-v1',
      numEnvs: 8,
      seed: 5,
      backend: 'wasm',
      policy: { hidden: [8] },
      agent: { name: 'ppo', collect, innerEpochs: 2 },
      evaluation: { samples: 3, every: 2, maxSteps: 40 },
      wrappers: [
        { timeLimit: 60 },
        { stickyAction: 0.1 },
        'normalizeObservation',
        { normalizeReward: { gamma: 0.9, clip: 5 } },
        { frameStackObservation: 2 },
      ],
      ...more,
    },
    { warn: () => {}, ...options },
  );
}

/** Everything that a run's numbers show, without the time that it took: its metrics, and its last checkpoint bit for bit. */
export async function bitsOf(path: string): Promise<unknown> {
  const folder = RunFolder.open(path);
  const metrics = (await folder.metrics()).map((line) =>
    Object.fromEntries(Object.entries(line).filter(([key]) => !key.startsWith('time/'))),
  );
  const checkpoint = folder.checkpointPath((await folder.checkpoints()).at(-1)!);
  const names = (await readdir(checkpoint, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && entry.name !== 'digests.json')
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const files: [string, string][] = [];
  for (const file of names) {
    const isState = file.endsWith('state.json');
    const bytes = await readFile(file);
    // The metrics tell times, so their length in bytes is not always the same.
    const text = isState ? bytes.toString().replace(/"metricsBytes":\d+/, '') : bytes.toString('base64');
    files.push([file.slice(checkpoint.length), isState ? text : createHash('sha256').update(text).digest('hex')]);
  }
  return { metrics, files };
}
