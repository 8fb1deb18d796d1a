import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Agent, Decision } from '../../../agents/agent.js';
import { useBackend } from '../../../backend/index.js';
import { writeFileAtomic } from '../../../core/files.js';
import type { Info, Metrics } from '../../../core/types.js';
import type { Space } from '../../../envs/spaces/space.js';
import type { VectorEnv } from '../../../envs/vector-env.js';
import { parseConfig } from '../../../training/config/index.js';
import { runTraining } from '../../../training/run.js';
import { RunFolder } from '../../../training/run-folder/index.js';
import { type TrainEvent, train } from '../../../training/train.js';
import { guardTerm, readWatch, watchCallback, watchFiles } from '../../../training/watch/index.js';
import { saveTinyDenoiser } from '../tiny-denoiser.js';

const anything = { kind: 'Anything' } as unknown as Space<number>;

/** Episodes of one step. An action is a level: the reward is that, the guard falls by what it is above 2, and the picture has its grey. */
class Levels implements VectorEnv<number, number> {
  readonly #slope: number;
  constructor(slope: number) {
    this.#slope = slope;
  }
  readonly observationSpace = anything;
  readonly actionSpace = anything;
  readonly numEnvs = 4;
  readonly autoreset = 'disabled';
  readonly horizon = 1;
  reset() {
    return { observations: [0, 1, 2, 3], infos: [{}, {}, {}, {}] as Info[] };
  }
  step(actions: readonly number[]) {
    const grey = (level: number, i: number) => ({
      data: new Uint8Array(48).fill(20 * level + i),
      shape: [4, 4, 3],
    });
    return {
      observations: [0, 1, 2, 3],
      rewards: Float64Array.from(actions, (level) => this.#slope * level),
      terminated: new Uint8Array(4).fill(1),
      truncated: new Uint8Array(4),
      infos: actions.map((level, i) => ({
        image: grey(level, i),
        prompt: i < 2 ? 'a' : 'b',
        rewardTerms: { [guardTerm]: 10 + (i % 2) - Math.max(0, level - 2) },
      })),
    };
  }
}

/** Its level rises by one with each `learn`; without noise it decides for half of it. */
class Climber implements Agent<number, number> {
  readonly collect = { episodes: 4 };
  level = 0;
  act(observations: readonly number[], { explore = true }: { explore?: boolean } = {}): Decision<number> {
    return { actions: observations.map(() => (explore ? this.level : this.level / 2)) };
  }
  learn() {
    this.level++;
    return {};
  }
  async save(folder: string) {
    await writeFileAtomic(join(folder, 'level.json'), String(this.level));
  }
  async restore(folder: string) {
    this.level = Number(await readFile(join(folder, 'level.json'), 'utf8'));
  }
  dispose() {}
}

let path: string;
beforeEach(async () => {
  path = join(await mkdtemp(join(tmpdir(), 'watch-test-')), 'run');
});
afterEach(() => rm(join(path, '..'), { recursive: true }));

type Rule = 'warn' | 'stop' | 'rollback';

interface Case {
  /** Of the reward with the level. Default 1. */
  slope?: number;
  epochs?: number;
  stopAfter?: number;
  resume?: boolean;
  every?: number;
  tolerance?: number;
}

async function run(
  rule: Rule,
  { slope = 1, epochs = 8, stopAfter = epochs, resume = false, every = 1, tolerance = 1 }: Case = {},
) {
  const agent = new Climber();
  const warnings: string[] = [];
  const { folder, checkpoint } = resume
    ? await RunFolder.resume(path)
    : { folder: await RunFolder.create(path, {}), checkpoint: undefined };
  const abort = new AbortController();
  const events: TrainEvent[] = [];
  const watch = watchCallback<number, number>({
    envs: [new Levels(slope)],
    samples: 4,
    every,
    rule,
    tolerance,
    // On the line that stands at 1: the cosines follow from the grey.
    features: (images) => images.map(({ data }) => [1, data[0]!]),
    kl: (_, actions) => actions.map((level) => level / 4),
    warn: (message) => warnings.push(message),
  });
  const options = { agent, envs: [new Levels(slope)], epochs, seed: 0, folder, checkpoint, signal: abort.signal };
  for await (const event of train({ ...options, callbacks: [watch] })) {
    events.push(event);
    if (event.type === 'epoch' && event.epoch === stopAfter) abort.abort(new Error('stopped'));
  }
  return { agent, warnings, end: events.at(-1) as TrainEvent & { type: 'end' } };
}

describe('a watch', () => {
  it('logs and keeps what it sees, from before the first epoch on', async () => {
    await run('warn', { epochs: 3, every: 2 });
    const metrics = await RunFolder.open(path).metrics();
    expect(metrics.map((m) => m['watch/reward'])).toEqual([undefined, 2, 3]);
    expect(metrics[2]).toMatchObject({
      'watch/rewardDeterministic': 1.5,
      // 10 and 11 by turns, less 1; the level without noise is 1.5, for which the guard is as before.
      'watch/guard': 9.5,
      'watch/guardDeterministic': 10.5,
      'watch/kl': 0.75,
      'watch/blank': 1,
      'watch/saturation': 0,
    });
    // Grey of 60, 61, 62 and 63.
    expect(metrics[2]!['watch/brightness']).toBeCloseTo(61.5 / 255, 9);
    expect(metrics[2]!['watch/diversity']).toBeCloseTo(1 / 255, 9);
    expect((await readWatch(path)).map(({ epoch }) => epoch)).toEqual([0, 2, 3]);
    expect((await readFile(watchFiles(path, 3).png)).subarray(1, 4).toString()).toBe('PNG');
  });

  it('compares features: of one prompt with each other, and their means with those before the first epoch', async () => {
    const distance = (a: number, b: number) => 1 - (1 + a * b) / Math.sqrt((1 + a * a) * (1 + b * b));
    await run('warn', { epochs: 3, stopAfter: 1 });
    await run('warn', { epochs: 3, resume: true });
    const seen = await readWatch(path);
    // Greys 0 and 1 of one prompt, 2 and 3 of the other; after two epochs, 40 more each.
    expect(seen[0]!.featureDrift).toBe(0);
    expect(seen[0]!.featureDiversity).toBeCloseTo((distance(0, 1) + distance(2, 3)) / 2, 12);
    expect(seen[2]!.featureDiversity).toBeCloseTo((distance(40, 41) + distance(42, 43)) / 2, 12);
    expect(seen.map((look) => look.featureDrift)).toEqual(
      [0, 20, 40, 60].map((grey) => expect.closeTo(distance(1.5, 1.5 + grey), 12)),
    );
  });

  it('says once that the guard falls while the reward rises, where that is all it is to do', async () => {
    const { agent, warnings, end } = await run('warn');
    expect(end).toMatchObject({ reason: 'finished', epoch: 8 });
    expect(agent.level).toBe(8);
    expect(warnings).toEqual([
      // Its deviation is .5: a fall by 1 at level 3 is the first that is more.
      'watch: the trained reward has risen by 3 while the guard fell by 1 (from 10.5 to 9.5; 0.5 is tolerated): look at the pictures, and lower the learning rate, or hold the policy by a KL.',
    ]);
  });

  it('ends the run', async () => {
    const { agent, end } = await run('stop');
    expect(end).toMatchObject({ reason: 'finished', epoch: 3 });
    expect(end.why).toMatch(/has risen by 3 while the guard fell by 1 .*\(watch\.rule\)$/);
    expect(agent.level).toBe(3);
  });

  it('ends a run whose guard falls by more than its spread, though the reward has not risen', async () => {
    // At level 4 the guard has fallen by 2; its spread is .5, of which twice as much is tolerated here.
    const { end } = await run('stop', { slope: -1, tolerance: 2 });
    expect(end).toMatchObject({ reason: 'finished', epoch: 4 });
    expect(end.why).toMatch(
      /^the guard fell by 2 \(from 10.5 to 8.5; 1 is tolerated\), and the trained reward has not risen/,
    );
  });

  it('ends the run with the agent of the last look at which nothing was wrong', async () => {
    const { agent, end } = await run('rollback');
    expect(end.why).toMatch(/the agent is that of epoch 2 again \(watch\.rule\)$/);
    expect(agent.level).toBe(2);
    const again = new Climber();
    await again.restore(join((await RunFolder.open(path).readCheckpoint())!.path, 'agent'));
    expect(again.level).toBe(2);
  });

  it.each<Rule>([
    'stop',
    'rollback',
  ])('%s: a run that is resumed comes to the same end, and stays there', async (rule) => {
    const whole = await run(rule);
    await rm(path, { recursive: true });
    await run(rule, { stopAfter: 2 });
    const resumed = await run(rule, { resume: true });
    expect([resumed.end, resumed.agent.level]).toEqual([whole.end, whole.agent.level]);
    expect((await run(rule, { resume: true })).end).toEqual(whole.end);
  });
});

it('changes no number of the run, and is seen in its report', { timeout: 60_000 }, async () => {
  await useBackend();
  const model = join(path, '..', 'model');
  await saveTinyDenoiser(model);
  const small = { model, reward: 'jpeg-compressibility', epochs: 2, numEnvs: 4, samplesPerEpoch: 8, workers: 0 };
  const more = { runs: join(path, '..'), sampling: { steps: 2 }, evaluation: { samples: 4 } };
  await runTraining({ ...small, ...more, name: 'without' });
  const watch = {
    every: 1,
    samples: 8,
    guard: 'jpeg-incompressibility',
    rule: 'rollback',
    tolerance: 9,
    features: true,
  };
  const { report } = await runTraining({ ...small, ...more, name: 'with', watch });
  const [without, watched] = await Promise.all(
    ['without', 'with'].map(async (name) => await RunFolder.open(join(path, '..', name)).metrics()),
  );
  const own = (metrics: readonly Metrics[]) =>
    metrics.map((m) => Object.fromEntries(Object.entries(m).filter(([key]) => !/^(time|watch)\//.test(key))));
  expect(own(watched!)).toEqual(own(without!));
  expect(watched![1]!['watch/kl']).toBeGreaterThan(0);
  // By the network of nsfwjs: pictures of noise that differ little.
  expect(watched![1]!['watch/featureDiversity']).toBeGreaterThan(0);
  expect(watched![1]!['watch/featureDiversity']).toBeLessThan(1);
  expect(await readFile(report, 'utf8')).toContain('Watch: features');
});

it('sees the KL of an agent that measures how far its steps have moved', { timeout: 60_000 }, async () => {
  await useBackend();
  const model = join(path, '..', 'model');
  await saveTinyDenoiser(model);
  await runTraining({
    ...{ model, reward: 'jpeg-compressibility', epochs: 1, numEnvs: 4, samplesPerEpoch: 8, workers: 0 },
    ...{ runs: join(path, '..'), sampling: { steps: 2 }, evaluation: { samples: 4 }, name: 'grouped' },
    ...{ agent: { name: 'grpo', groupSize: 4 }, watch: { every: 1, samples: 8 } },
  });
  const [metrics] = await RunFolder.open(join(path, '..', 'grouped')).metrics();
  expect(metrics!['watch/kl']).toBeGreaterThan(0);
  expect(metrics!['train/divergence']).toBeGreaterThanOrEqual(0);
});

it('needs a guard for a rule, and whole prompts', () => {
  const wrong = (watch: object) => () => parseConfig({ env: 'Denoising-v0', watch });
  expect(wrong({ every: 5, rule: 'stop' })).toThrow(/watch\.guard: needed, because watch\.rule is stop/);
  expect(wrong({ guard: 'shapes' })).toThrow(/watch: there is none, because watch\.every is 0/);
  expect(wrong({ every: 1, samples: 10 })).toThrow(/watch\.samples: must be a multiple of watch\.perPrompt \(4\)/);
});
