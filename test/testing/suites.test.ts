import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { CartPole, make, makeVec } from '../../envs/index.js';
import { makeReward } from '../../rewards/index.js';
import {
  describeAgent,
  describeEnv,
  describeReward,
  describeVectorEnv,
  envChecks,
  type Runner,
} from '../../testing/index.js';

// here they are suites of the project's own
describeEnv('CartPole-v1', () => make('CartPole-v1'), { describe, it });
describeVectorEnv('3 of CartPole-v1', () => makeVec('CartPole-v1', 3), {
  describe,
  it,
  single: () => make('CartPole-v1'),
});
describeReward(
  'jpeg-compressibility',
  { make: () => makeReward('jpeg-compressibility') },
  { describe, it, warnings: true },
);
const rule = {
  collect: 'nothing' as const,
  act: (observations: readonly unknown[]) => ({ actions: observations.map(() => 0) }),
  learn: () => ({}),
  save: async () => {},
  restore: async () => {},
  dispose: () => {},
};
describeAgent(
  'a rule',
  () => rule,
  () => make('CartPole-v1'),
  { describe, it },
);

/** A runner that keeps what it is told. */
function recorder() {
  const suites: string[] = [];
  const tests = new Map<string, () => Promise<void>>();
  const runner: Runner = {
    describe: (name, body) => {
      suites.push(name);
      body();
    },
    it: (name, body) => tests.set(name, body),
  };
  return { suites, tests, runner };
}

describe('a suite', () => {
  it('has one test a check, of which the one fails whose check finds an error', async () => {
    const { suites, tests, runner } = recorder();
    const broken = () => Object.assign(new CartPole(), { render: () => '' });
    describeEnv('broken', broken, runner);
    expect(suites).toEqual(['broken']);
    expect([...tests.keys()]).toEqual(envChecks.map(({ name, title }) => `${name}: ${title}`));
    const failed: string[] = [];
    for (const [name, test] of tests)
      await test().catch((error) =>
        failed.push(`${name.split(':')[0]} ${error.code}: ${error.message.split('\n')[1]}`),
      );
    expect(failed).toEqual(['render E_CHECK: error [render] render(): the text is empty; actual: ""']);
  });

  it('counts warnings where it is told to, and leaves out what is skipped', async () => {
    const { tests, runner } = recorder();
    describeEnv('strict', () => new CartPole(), { ...runner, warnings: true, skip: ['render', 'close'] });
    expect(tests.size).toBe(envChecks.length - 2);
    await expect([...tests.values()][1]!()).rejects.toThrow(/warning \[spaces\] observationSpace: a bound is infinite/);
  });

  it('says so where there is no runner', () => {
    expect(() => describeEnv('none', () => new CartPole(), {})).toThrow(/`describe` and `it` are no globals/);
    const globals = globalThis as { describe?: unknown; it?: unknown };
    const { tests, runner } = recorder();
    Object.assign(globals, runner);
    try {
      describeEnv('globals', () => new CartPole());
    } finally {
      delete globals.describe;
      delete globals.it;
    }
    expect(tests.size).toBe(envChecks.length);
  });

  it('runs in node:test', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'suite-'));
    try {
      const file = join(folder, 'suite.test.mjs');
      const url = (path: string) => pathToFileURL(path).href;
      await writeFile(
        file,
        `import { describe, it } from 'node:test';
import { Bandit } from '${url('envs/index.ts')}';
import { describeEnv } from '${url('testing/index.ts')}';
describeEnv('bandit', () => new Bandit(), { describe, it });
describeEnv('mute', () => Object.assign(new Bandit(), { render: () => '' }), { describe, it });
`,
      );
      const output = await new Promise<string>((resolve) => {
        const args = ['--import', url('register.mjs'), '--test', '--test-reporter=tap', file];
        execFile(process.execPath, args, { env: { ...process.env, NODE_TEST_CONTEXT: undefined } }, (_, stdout) =>
          resolve(stdout),
        );
      });
      expect(output).toMatch(new RegExp(`# pass ${2 * envChecks.length - 1}\n# fail 1\n`));
      expect(output.match(/not ok .*render: /g)).toHaveLength(1);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
