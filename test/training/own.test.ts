import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Agent, defineAgent, registerAgent, z } from '../../agents/index.js';
import { Bandit } from '../../envs/classic/bandit.js';
import { Box } from '../../envs/spaces/box.js';
import { Discrete } from '../../envs/spaces/discrete.js';
import { Sequence } from '../../envs/spaces/sequence.js';
import { runTraining } from '../../training/index.js';

// A program brings its own agent and its own environment, as objects or by a name that it has registered.

let runs: string;
beforeAll(async () => {
  runs = await mkdtemp(join(tmpdir(), 'own-'));
});
afterAll(() => rm(runs, { recursive: true }));

/** A rule: always the same arm. It asks for no policy, and none is made. */
const pull = defineAgent({
  name: 'pull',
  options: z.strictObject({ arm: z.int().min(0).describe('which one') }),
  defaults: { network: { arm: 2 } },
  make: ({ options }): Agent<unknown, unknown> => ({
    collect: 'nothing',
    act: (observations) => ({ actions: observations.map(() => options.arm) }),
    learn: () => ({}),
    save: async () => {},
    restore: async () => {},
    dispose: () => {},
  }),
});

const config = { epochs: 2, numEnvs: 2, evaluation: { samples: 4 } };

describe('runTraining', () => {
  it('takes an agent and an environment as they are', async () => {
    const { folder, report } = await runTraining(
      { ...config, runs, name: 'objects' },
      { agent: pull, env: () => new Bandit({ arms: [0, 1, 7] }) },
    );
    const metrics = await folder.metrics();
    expect(metrics.map((m) => m['reward/mean'])).toEqual([7, 7]);
    expect(metrics[1]!['eval/mean']).toBe(7);
    expect(await folder.config()).toMatchObject({
      config: { env: 'own-environment', agent: { name: 'pull', arm: 2 } },
    });
    expect(await readFile(report, 'utf8')).toContain('pull');
  });

  it('gives the agent the options of the configuration, and refuses others', async () => {
    const env = () => new Bandit({ arms: [0, 1, 7] });
    const { folder } = await runTraining({ ...config, runs, name: 'options', agent: { arm: 1 } }, { agent: pull, env });
    expect((await folder.metrics())[0]!['reward/mean']).toBe(1);
    await expect(
      runTraining({ ...config, runs, name: 'wrong', agent: { amr: 1 } }, { agent: pull, env }),
    ).rejects.toThrow(/agent\.amr: no such option of the agent `pull`\. Did you mean `arm`\?/);
  });

  it('takes an agent by a name that was registered, and on an environment that no policy suits', async () => {
    registerAgent(pull);
    expect(() => registerAgent(pull)).toThrow(/agent `pull`: this name is already registered/);
    const { folder } = await runTraining({ ...config, runs, name: 'by-name', env: 'Bandit-v0', agent: 'pull' });
    expect((await folder.metrics())[0]!['reward/mean']).toBe(1);
  });

  it('asks for a policy only where the agent reads it', async () => {
    class Odd {
      observationSpace = new Box(0, 1, [1]);
      actionSpace = new Sequence(new Discrete(2));
      reset() {
        return { observation: this.observationSpace.sample(), info: {} };
      }
      step() {
        return { observation: this.observationSpace.sample(), reward: 2, terminated: true, truncated: false, info: {} };
      }
    }
    const env = () => new Odd();
    await expect(runTraining({ ...config, runs, name: 'odd-ppo' }, { env })).rejects.toThrow(
      /policy: no network suits the action space Sequence.*Discrete, MultiDiscrete/,
    );
    const { folder } = await runTraining({ ...config, runs, name: 'odd-rule' }, { env, agent: pull });
    expect((await folder.metrics())[0]!['reward/mean']).toBe(2);
  });

  it('says what an object lacks that is no agent', async () => {
    const none = defineAgent({ name: 'none', make: () => ({ act: () => ({ actions: [] }) }) as never });
    await expect(runTraining({ ...config, runs, name: 'none', env: 'Bandit-v0' }, { agent: none })).rejects.toThrow(
      /agent `none`: .*lacks `collect`, `learn`, `save`, `restore`, `dispose`/,
    );
    expect(() => defineAgent({ name: 'a b', make: () => undefined as never })).toThrow(/`name` must be letters/);
    expect(() => defineAgent({ name: 'ab' } as never)).toThrow(/`ab` has no function `make`/);
  });
});
