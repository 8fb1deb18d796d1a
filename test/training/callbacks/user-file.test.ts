import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadCallbackFiles, withConfiguredCallbacks } from '../../../training/callbacks/index.js';
import { loadConfig, parseConfig, type RunConfigInput } from '../../../training/config/index.js';
import { runTraining } from '../../../training/run.js';
import type { Callback } from '../../../training/train.js';

let folder: string;
const before = process.env.XDG_STATE_HOME;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callback-file-test-'));
  process.env.XDG_STATE_HOME = join(folder, 'state');
});
afterEach(async () => {
  if (before === undefined) delete process.env.XDG_STATE_HOME;
  else process.env.XDG_STATE_HOME = before;
  await rm(folder, { recursive: true });
});

async function write(name: string, source: string): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, source);
  return file;
}

const small = (more: RunConfigInput): RunConfigInput => ({
  env: 'Bandit-v0',
  backend: 'cpu',
  numEnvs: 4,
  runs: folder,
  name: 'run',
  agent: { name: 'reinforce', collect: { episodes: 4 } },
  evaluation: { samples: 2, every: 1 },
  ...more,
});

/** A callback that counts epochs, which only works if its state goes along; it sees the metrics of those before it. */
const counting = `
  import type { Callback } from 'denoise-gym/training';
  export default async (): Promise<Callback<unknown, unknown>> => {
    let count = 0;
    return {
      name: 'counting',
      epoch: (_, metrics) => {
        if (!('eval/mean' in metrics)) throw new Error('the evaluation comes later');
        return { 'own/count': ++count };
      },
      state: () => count,
      restore: (state) => { count = state as number; },
    };
  };`;
const ending = `export default {
  name: 'ending',
  epoch(_, metrics) { this.count = metrics['own/count']; return { 'own/double': 2 * this.count }; },
  stop() { return this.count >= 3 ? 'three are enough' : undefined; },
};`;

describe("a run's callbacks from files", () => {
  it('are told in their order after its own, keep their state over a resume, and can end it', async () => {
    const callbacks = [await write('counting.ts', counting), await write('ending.mjs', ending)];
    await runTraining(small({ callbacks, epochs: 2 }));
    const told: string[] = [];
    const program: Callback<unknown, unknown> = {
      name: 'program',
      epoch: (_, metrics) => {
        told.push(...Object.keys(metrics));
        return undefined;
      },
    };
    const {
      epoch,
      why,
      folder: run,
    } = await runTraining(small({ callbacks, epochs: 9 }), {
      resume: true,
      callbacks: [program],
    });
    expect([epoch, why]).toEqual([3, 'three are enough']);
    expect(told.slice(-2)).toEqual(['own/count', 'own/double']);
    const metrics = await run.metrics();
    expect(metrics.map((m) => [m['own/count'], m['own/double']])).toEqual([
      [1, 2],
      [2, 4],
      [3, 6],
    ]);
    expect(JSON.parse(await readFile(join(folder, 'run', 'config.json'), 'utf8')).config.callbacks).toEqual(callbacks);
  });

  it('begin anew with each run where a function makes them', async () => {
    const callbacks = [await write('anew.ts', counting)];
    for (const name of ['first', 'second']) {
      const { folder: run } = await runTraining(small({ name, callbacks, epochs: 1 }));
      expect((await run.metrics()).map((m) => m['own/count'])).toEqual([1]);
    }
  });

  it('are named by a configuration file or by flags, which win', async () => {
    const yaml = await write('run.yaml', 'env: Bandit-v0\ncallbacks: [./a.ts, ./b.js]\n');
    expect((await loadConfig(yaml)).callbacks).toEqual(['./a.ts', './b.js']);
    expect((await loadConfig(yaml, { callbacks: ['./c.ts'] })).callbacks).toEqual(['./c.ts']);
    expect(parseConfig({}).callbacks).toEqual([]);
    expect(() => parseConfig({ callbacks: ['./a.ts', 'keepBest'] })).toThrow(
      /callbacks\.1: must be the path of a file, such as \.\/my-callback\.ts, actual value "keepBest"/,
    );
    expect(() => parseConfig({ callbacks: './a.ts' })).toThrow(/callbacks: /);
  });

  it('cannot be others on a resume, and leave no run behind when they cannot be loaded', async () => {
    await runTraining(small({ epochs: 1 }));
    const callbacks = [await write('later.mjs', ending)];
    await expect(runTraining(small({ callbacks, epochs: 2 }), { resume: true })).rejects.toThrow(
      /started with other options:\n {2}callbacks: /,
    );
    await expect(runTraining(small({ name: 'none', callbacks: [join(folder, 'latr.mjs')] }))).rejects.toThrow(
      /callback .*latr\.mjs: there is no such file.*did you mean later\.mjs/,
    );
    await expect(readFile(join(folder, 'none', 'config.json'))).rejects.toThrow('ENOENT');
  });
});

it.each(
  [
    ['export const a = 1;', /it has no default export; write `export default \(\) => \(\{ name: "wrong-0"/],
    ['export default class { name = "a"; epoch() {} };', /its default export is a class/],
    ['export default 3;', /its default export is 3, no callback/],
    ['export default () => null;', /what its function makes is null, no callback/],
    ['export default () => { throw new Error("no key"); };', /callback .*: no key/],
    ['export default { epoch() {} };', /the `name` of its default export is undefined/],
    ['export default { name: "a", epoch: 3 };', /`epoch` of its default export is 3, no function/],
    ['export default { name: "a", onEpoch() {} };', /none of the functions `start`, `epoch` and `stop`/],
  ].map(([source, message], i) => [`wrong-${i}.mjs`, source as string, message as RegExp] as const),
)('%s is refused: %s', async (name, source, message) => {
  await expect(loadCallbackFiles([await write(name, source)])).rejects.toMatchObject({
    code: 'E_FILE',
    message: expect.stringMatching(message),
  });
});

it('two callbacks whose states would take the same place are refused', () => {
  const all = (...callbacks: { name: string; state?: () => number }[]) =>
    withConfiguredCallbacks(parseConfig(small({ keepBest: 'reward/mean' })), {
      evaluation: { name: 'evaluation' },
      callbacks,
      rewardThreshold: undefined,
    }).length;
  const state = () => 1;
  expect(all({ name: 'a', state }, { name: 'a' }, { name: 'b' }, { name: 'b' })).toBe(6);
  expect(() => all({ name: 'a', state }, { name: 'a', state })).toThrow(/two are called "a"/);
  expect(() => all({ name: 'keepBest', state })).toThrow(/two are called "keepBest"/);
});
