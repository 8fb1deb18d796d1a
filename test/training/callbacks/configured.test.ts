import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withConfiguredCallbacks } from '../../../training/callbacks/index.js';
import { parseConfig, type RunConfigInput } from '../../../training/config/index.js';
import { runTraining } from '../../../training/run.js';
import type { Callback, TrainEvent } from '../../../training/train.js';
import { openCheckpoint } from '../../../training/trained.js';

let runs: string;
beforeEach(async () => {
  runs = await mkdtemp(join(tmpdir(), 'configured-test-'));
});
afterEach(() => rm(runs, { recursive: true }));

const small = (more: RunConfigInput): RunConfigInput => ({
  env: 'CartPole-v1',
  backend: 'cpu',
  numEnvs: 2,
  runs,
  name: 'run',
  agent: { name: 'ppo', collect: { steps: 16 }, innerEpochs: 1, minibatches: 1 },
  evaluation: { samples: 2, every: 1, maxSteps: 20 },
  ...more,
});

describe('what a configuration asks for', () => {
  const names = (more: RunConfigInput, rewardThreshold?: number) =>
    withConfiguredCallbacks(parseConfig(small(more)), {
      evaluation: { name: 'evaluation' },
      callbacks: [{ name: 'own' } satisfies Callback<unknown, unknown>],
      rewardThreshold,
    }).map(({ name }) => name);

  it('stands before the evaluation where it watches training, and after it where it watches the evaluation', () => {
    expect(names({})).toEqual(['evaluation', 'own']);
    expect(names({ keepBest: 'reward/mean', patience: 2 })).toEqual(['keepBest', 'evaluation', 'patience', 'own']);
    expect(names({ stopAtReward: 5 })).toEqual(['evaluation', 'stopAtReward', 'own']);
    expect(names({ stopAtReward: 5, evaluation: { every: 0 } })).toEqual(['stopAtReward', 'evaluation', 'own']);
    expect(names({ stopAtReward: 'auto', evaluation: { samples: 0 } }, 475)).toEqual(['stopAtReward', 'own']);
  });

  it('is refused where it cannot be had', () => {
    expect(() => names({ stopAtReward: 'auto' })).toThrow(
      /stopAtReward: `auto` .* CartPole-v1 says none; give a number/,
    );
    const refused = (more: RunConfigInput) => () => parseConfig(small(more));
    expect(refused({ patience: 1, evaluation: { every: 0 } })).toThrow(
      /patience: needs evaluations.*evaluation\.every/,
    );
    expect(refused({ keepBest: 'eval/mean', evaluation: { samples: 0, every: 1 } })).toThrow(
      /keepBest: eval\/mean needs evaluations.*evaluation\.every and evaluation\.samples/,
    );
    expect(refused({ loggers: ['tensorbord' as 'tensorboard'] })).toThrow(
      /loggers\.0: .* Did you mean `tensorboard`\?/,
    );
    expect(refused({ trackio: { url: 'file:///etc' } })).toThrow(/trackio\.url: must be an address such as/);
  });
});

it('a run keeps its best agent, ends at a reward, and writes what its loggers write', async () => {
  const events: TrainEvent[] = [];
  const result = await runTraining(
    small({ epochs: 9, stopAtReward: 1, keepBest: 'eval/mean', loggers: ['csv', 'tensorboard'] }),
    { onEvent: (event) => void events.push(event) },
  );
  expect(result).toMatchObject({ epoch: 1, epochs: 9, reason: 'finished' });
  expect(result.why).toMatch(/^eval\/mean has reached .* 1 were asked for \(stopAtReward\)$/);
  expect(events.at(-1)).toMatchObject({ type: 'end', why: result.why });
  const files = await readdir(join(runs, 'run'));
  expect(files).toContain('metrics.csv');
  expect(files.filter((name) => name.includes('tfevents'))).toHaveLength(1);
  const best = await openCheckpoint(join(runs, 'run'), { best: true });
  expect(best.epoch).toBe(1);
  expect(existsSync(join(best.path, 'agent.json'))).toBe(true);

  // These options may change: they say how far a run goes, not what its numbers are.
  const more = await runTraining(small({ epochs: 3, patience: 9, loggers: ['csv'] }), { resume: true });
  expect(more).toMatchObject({ epoch: 3, reason: 'finished' });
  expect(more.why).toBeUndefined();
});

it('a run that ends at the reward of its training is evaluated once more', async () => {
  const result = await runTraining(
    small({
      epochs: 40,
      stopAtReward: 1,
      agent: { name: 'ppo', collect: { steps: 128 }, innerEpochs: 1, minibatches: 1 },
      evaluation: { samples: 2, every: 0, maxSteps: 20 },
    }),
  );
  expect(result.epoch).toBeLessThan(40);
  expect(result.why).toContain('reward/rolling');
  const metrics = await result.folder.metrics();
  expect(metrics.map((m) => m['eval/mean'] !== undefined)).toEqual(metrics.map((m) => m.epoch === result.epoch));
});

it('a logger that cannot write does not stop the run, and is told of once', async () => {
  const warnings: string[] = [];
  const result = await runTraining(small({ epochs: 2, loggers: ['csv'], evaluation: { samples: 0 } }), {
    onEvent: async (event) => {
      // A folder stands where the file is to be written anew.
      if (event.type !== 'start') return;
      await rm(join(runs, 'run', 'metrics.csv'));
      await mkdir(join(runs, 'run', 'metrics.csv', 'inside'), { recursive: true });
    },
    warn: (message) => warnings.push(message),
  });
  expect(result.reason).toBe('finished');
  expect(warnings.filter((message) => message.startsWith('the logger csv has failed'))).toHaveLength(1);
});
