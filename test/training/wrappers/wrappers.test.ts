import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../../backend/index.js';
import type { NdArray } from '../../../core/ndarray.js';
import { Bandit } from '../../../envs/classic/bandit.js';
import { SyncVectorEnv } from '../../../envs/sync-vector-env.js';
import type { VectorEnv } from '../../../envs/vector-env.js';
import { makeWorkerVec } from '../../../envs/worker-vector-env.js';
import { parseConfig } from '../../../training/config/index.js';
import type { ComposeOptions } from '../../../training/families/family.js';
import { compose } from '../../../training/families/index.js';
import { codeOf } from '../../../training/trust.js';
import { listWrappers, parseWrappers, type WrapperEntry } from '../../../training/wrappers/index.js';
import { Counter } from '../../envs/counter.js';

const scale = join(import.meta.dirname, 'scale-wrapper.ts');

let folder: string;
beforeAll(async () => {
  await useBackend('wasm');
  folder = await mkdtemp(join(tmpdir(), 'wrappers-'));
});
afterAll(() => rm(folder, { recursive: true }));

const problems = (...entries: WrapperEntry[]) => parseWrappers(entries).problems;

/** The environments of a run with these wrappers, for as long as a function looks at them. */
async function within<T>(
  wrappers: readonly WrapperEntry[],
  look: (envs: { training: VectorEnv<unknown, unknown>; evaluation: VectorEnv<unknown, unknown> }) => T | Promise<T>,
  { env, environment = 'CartPole-v1', ...more }: Pick<ComposeOptions, 'env'> & Record<string, unknown> = {},
): Promise<T> {
  const config = parseConfig({ env: environment, numEnvs: 2, policy: { hidden: [4] }, wrappers, ...more });
  const parts = await compose(config, { env });
  try {
    return await look({ training: parts.envs[0]!, evaluation: parts.evaluationEnvs[0]! });
  } finally {
    await parts.close();
  }
}

const layers = (wrappers: readonly WrapperEntry[], more?: Pick<ComposeOptions, 'env'> & Record<string, unknown>) =>
  within(wrappers, ({ training, evaluation }) => [String(training), String(evaluation)], more);

describe('the option wrappers', () => {
  it('takes names, names with options, one option alone, and files', () => {
    const entries: WrapperEntry[] = [
      { timeLimit: { maxSteps: 9 } },
      { frameStackObservation: 4 },
      'clipAction',
      { './mine.ts': { a: 1 } },
    ];
    const { steps } = parseWrappers(entries) as Extract<ReturnType<typeof parseWrappers>, { steps: unknown }>;
    expect(
      steps.map((step) => ('file' in step ? [step.file, step.options] : [step.wrapper.name, step.options])),
    ).toEqual([
      ['timeLimit', { maxSteps: 9 }],
      ['frameStackObservation', { size: 4, padding: 'reset' }],
      ['clipAction', {}],
      ['./mine.ts', { a: 1 }],
    ]);
  });

  it.each<[string, WrapperEntry, RegExp]>([
    [
      'an unknown name',
      'normaliseReward',
      /wrappers\[0\]: unknown wrapper `normaliseReward`\. Did you mean `normalizeReward`\?/,
    ],
    [
      'an unknown option',
      { normalizeReward: { gama: 1 } },
      /wrappers\[0\]\.normalizeReward\.gama: no such option.*Did you mean `gamma`\?/,
    ],
    [
      'a value out of range',
      { timeLimit: 0 },
      /wrappers\[0\]\.timeLimit\.maxSteps: must be at least 1, actual value 0/,
    ],
    [
      'an option that is missing',
      'repeatAction',
      /wrappers\[0\]\.repeatAction\.times: must be a.* number, actual value nothing/,
    ],
    ['a value where there are no options', { clipAction: 3 }, /needs its options by name/],
    ['two in one entry', { clipAction: {}, clipReward: {} }, /give each wrapper an entry of its own/],
    ['one that takes a function', 'transformReward', /takes a function: write a wrapper of your own/],
    ['one that is there already', 'autoresetWrapper', /resets environments by itself/],
  ])('refuses %s', (_, entry, message) => {
    expect(problems(entry)).toEqual([expect.stringMatching(message)]);
    expect(() => parseConfig({ env: 'CartPole-v1', wrappers: [entry] })).toThrow(message);
  });

  it('is none of Denoising-v0', () => {
    expect(() => parseConfig({ wrappers: ['clipReward'] })).toThrow(/wrappers: no such option/);
  });

  it('counts as code where it names files, which a stranger must trust', () => {
    expect(codeOf({ wrappers: ['timeLimit', { './a.ts': {} }, './b.js', 3] })).toEqual([
      { purpose: 'wrapper', module: join(process.cwd(), 'a.ts') },
      { purpose: 'wrapper', module: join(process.cwd(), 'b.js') },
    ]);
    expect(codeOf({ wrappers: 'no list' })).toEqual([]);
  });

  it('has a summary of each wrapper, and of each of its options', () => {
    for (const { summary, options } of listWrappers()) {
      expect(summary).toBeTruthy();
      for (const field of Object.values(options.shape))
        expect((field as { description?: string }).description).toBeTruthy();
    }
  });
});

describe('the wrappers of a run', () => {
  it('are put around in their order: single environments before the first normalisation, the vector after it', async () => {
    const cartPole = '<OrderEnforcing<TimeLimit<CartPole<CartPole-v1>>>>';
    const single = `<FrameStackObservation<TimeLimit${cartPole}>>`;
    const stack: WrapperEntry[] = [
      { timeLimit: 20 },
      { frameStackObservation: 2 },
      'normalizeObservation',
      'normalizeReward',
      { clipReward: { low: -1, high: 1 } },
      { delayObservation: 1 },
    ];
    expect(await layers(stack)).toEqual([
      `<DelayObservation<ClipReward<NormalizeReward<RecordReturn<NormalizeObservationSyncVectorEnv(2, ${single}, next-step)>>>>>`,
      `<DelayObservation<NormalizeObservationSyncVectorEnv(2, ${single}, next-step)>>`,
    ]);
    expect(await layers([{ clipReward: { high: 0.5 } }, 'normalizeReward'])).toEqual([
      `<NormalizeReward<RecordReturn<ClipRewardSyncVectorEnv(2, ${cartPole}, next-step)>>>`,
      `<ClipRewardSyncVectorEnv(2, ${cartPole}, next-step)>`,
    ]);
  });

  it.each<[string, WrapperEntry, string]>([
    ['repeatAction', { repeatAction: 3 }, 'CartPole-v1'],
    ['maxAndSkipObservation', 'maxAndSkipObservation', 'CartPole-v1'],
    ['rescaleObservation', { rescaleObservation: { low: [0, 0, -1], high: [1, 1, 1] } }, 'Pendulum-v1'],
    ['dtypeObservation', { dtypeObservation: 'float64' }, 'Pendulum-v1'],
    ['discretizeObservation', { discretizeObservation: [2, 3, 4] }, 'Pendulum-v1'],
    ['reshapeObservation', { reshapeObservation: [3, 1] }, 'Pendulum-v1'],
    ['flattenObservation', 'flattenObservation', 'Identity-v0'],
    ['timeAwareObservation', { timeAwareObservation: { normalize: true } }, 'CartPole-v1'],
    ['stickyAction', { stickyAction: { probability: 0.5, duration: [1, 3] } }, 'CartPole-v1'],
    ['clipAction', 'clipAction', 'Pendulum-v1'],
    ['rescaleAction', { rescaleAction: { low: -1, high: 1 } }, 'Pendulum-v1'],
    ['discretizeAction', { discretizeAction: 5 }, 'Pendulum-v1'],
    ['recordEpisodeStatistics', 'recordEpisodeStatistics', 'CartPole-v1'],
  ])('take %s', async (name, entry, env) => {
    await within(
      [entry],
      async ({ training }) => {
        const { observations } = await training.reset({ seed: 1 });
        expect(training.observationSpace.contains(observations[0])).toBe(true);
        await training.step([training.actionSpace.sample(), training.actionSpace.sample()]);
        const singles = (training as SyncVectorEnv<unknown, unknown>).envs;
        const text = `${String(training)} ${String(singles?.[0] ?? '')}`.toLowerCase();
        expect(text).toContain(name.toLowerCase());
      },
      { environment: env },
    );
  });

  it('take pictures, in order, until a small network could see them', async () => {
    const wrappers: WrapperEntry[] = ['addRenderObservation', 'grayscaleObservation', { resizeObservation: [36, 48] }];
    await within([...wrappers, { frameStackObservation: 4 }, 'flattenObservation'], async ({ training }) => {
      const { observations } = await training.reset({ seed: 1 });
      expect((observations[0] as NdArray).shape).toEqual([4 * 36 * 48]);
    });
  });

  it('take a picture beside the observation, and parts of both', async () => {
    await within([{ addRenderObservation: { renderOnly: false } }, { filterObservation: ['state'] }], ({ training }) =>
      expect(String(training.observationSpace)).toMatch(/^Dict.*state/),
    );
  });

  it('record videos of the first environment in training only', async () => {
    const videos = join(folder, 'videos');
    await within([{ recordVideo: { folder: videos, every: 1, shrink: 8 } }], async ({ training, evaluation }) => {
      for (const env of [training, evaluation]) {
        await env.reset({ seed: 1 });
        for (let t = 0; t < 3; t++) await env.step([0, 0]);
      }
    });
    expect(await readdir(videos)).toEqual(['rl-video-episode-0.webp']);
  });

  it('that go around single environments must stand before a normalisation', async () => {
    await expect(layers(['normalizeObservation', { timeLimit: 3 }])).rejects.toThrow(
      /`timeLimit` goes around single environments, and stands after `normalizeObservation`.*put it before/,
    );
  });

  it('go around environments that a program hands in, single or vector, but into none that has threads', async () => {
    const more = { policy: { hidden: [4] } };
    expect((await layers([{ timeLimit: 3 }], { ...more, env: () => new Bandit({ arms: [0, 1] }) }))[0]).toContain(
      '<TimeLimit<',
    );
    const sync = () => new SyncVectorEnv([new Counter(4), new Counter(4)], { autoreset: 'same-step' });
    await within([{ repeatAction: 2 }], ({ training }) => expect(training.autoreset).toBe('same-step'), { env: sync });
    const threads = (n: number) => makeWorkerVec('CartPole-v1', n, {}, { workers: 1 });
    await expect(layers([{ timeLimit: 3 }], { env: threads })).rejects.toThrow(
      /`timeLimit` goes around single environments, and .* is natively a vector environment \(threads among them\)/,
    );
  });

  it('leave the reward of an episode as the environment gave it, in every mode of autoreset', async () => {
    for (const autoreset of ['next-step', 'same-step', 'disabled'] as const) {
      const { Collector } = await import('../../../training/collect/index.js');
      const env = () => new SyncVectorEnv([new Counter(3), new Counter(3)], { autoreset });
      await within(
        ['normalizeReward'],
        async ({ training }) => {
          const collector = new Collector({
            envs: [training],
            seed: 1,
            agent: {
              collect: { steps: 9 },
              act: (observations) => ({ actions: observations.map(() => 0) }),
              learn: () => ({}),
              save: async () => {},
              restore: async () => {},
              dispose: () => {},
            },
          });
          const { episodes } = await collector.collect();
          expect(episodes.length).toBeGreaterThan(2);
          expect(episodes.map(({ reward }) => reward)).toEqual(episodes.map(() => 6)); // 1 + 2 + 3
        },
        { env },
      );
    }
  });
});

describe('maxEpisodeSteps', () => {
  const lengthOf = (maxEpisodeSteps: number | null | undefined, env?: ComposeOptions['env']) =>
    within(
      [],
      async ({ training }) => {
        await training.reset({ seed: 1 });
        for (let t = 1; ; t++) if ((await training.step([0, 0])).truncated[0] === 1 || t === 300) return t;
      },
      { maxEpisodeSteps, ...(env ? { env } : { environment: 'MountainCar-v0' }) },
    );

  it("takes the place of the environment's own limit, and null takes it away", async () => {
    expect(await lengthOf(undefined)).toBe(200);
    expect(await lengthOf(250)).toBe(250);
    expect(await lengthOf(null)).toBe(300);
  });

  it('limits environments that a program hands in, where these are single ones', async () => {
    expect(await lengthOf(7, () => new Counter(1000))).toBe(7);
    const vector = () => new SyncVectorEnv([new Counter(3), new Counter(3)]);
    await expect(lengthOf(7, vector)).rejects.toThrow(/hands in a vector environment, whose episodes maxEpisodeSteps/);
  });

  it('must be a number of steps or null', () => {
    expect(() => parseConfig({ env: 'CartPole-v1', maxEpisodeSteps: 0 })).toThrow(
      /maxEpisodeSteps: must be at least 1/,
    );
  });
});

describe('a wrapper of a file', () => {
  const file = async (name: string, source: string) => {
    const path = join(folder, name);
    await writeFile(path, source);
    return path;
  };
  const firstRewards = (wrappers: WrapperEntry[]) =>
    within(wrappers, async ({ training, evaluation }) => {
      await training.reset({ seed: 1 });
      await evaluation.reset({ seed: 1 });
      return [(await training.step([0, 0])).rewards[0], (await evaluation.step([0, 0])).rewards[0]];
    });

  it('is given its options, and goes around single environments or, after a normalisation, around the vector', async () => {
    expect(await firstRewards([{ [scale]: { scale: 3 } }])).toEqual([3, 3]);
    expect(await firstRewards([scale])).toEqual([1, 1]);
    const [normal] = await firstRewards(['normalizeReward']);
    expect(await firstRewards(['normalizeReward', { [scale]: { scale: 3 } }])).toEqual([3 * normal!, 3]);
  });

  it('that is missing, or none, is an error that says what to write', async () => {
    await expect(firstRewards(['./no-such-wrapper.ts'])).rejects.toThrow(
      /wrapper \.\/no-such-wrapper\.ts: there is no such file/,
    );
    const rejects = async (name: string, source: string, message: RegExp) =>
      await expect(firstRewards([await file(name, source)])).rejects.toThrow(message);
    await rejects(
      'a.mjs',
      'export const wrapper = 1;',
      /its default export is undefined, no function; write `export default/,
    );
    await rejects('b.mjs', 'export default (env) => ({ env });', /called with its options it gives .*, no function/);
    await rejects('c.mjs', 'export default () => () => 3;', /what it returns: needs an environment/);
    await rejects('d.mjs', 'export default () => { throw new Error("oh"); };', /wrapper .*d\.mjs: oh/);
    const single = await file('e.mjs', 'export default () => ({ envs }) => envs[0];');
    await expect(firstRewards(['normalizeReward', single])).rejects.toThrow(/wrapper .*e\.mjs: /);
    const shrunk = await file(
      'f.mjs',
      'export default () => (env) => ({ ...env, numEnvs: undefined, reset() {}, step() {} });',
    );
    await expect(firstRewards(['normalizeReward', shrunk])).rejects.toThrow(
      /it was handed .*, a vector of 2 environments, and returned none of that size/,
    );
  });
});
