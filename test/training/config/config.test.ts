import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { listAgents } from '../../../agents/registry.js';
import { optionsOf } from '../../../core/schema.js';
import { loadConfig, parseConfig, parseYaml, type RunConfigInput, runOptions } from '../../../training/config/index.js';

describe('parseConfig', () => {
  it('fills in every default', () => {
    const config = parseConfig({});
    expect(config).toMatchObject({
      env: 'Denoising-v0',
      samplesPerEpoch: 64,
      agent: { name: 'ppo', learningRate: 1e-4 },
    });
    expect(parseConfig({ agent: 'reinforce' }).agent.name).toBe('reinforce');
  });

  it("takes an agent's own defaults, for the kind of policy that the environment has", () => {
    const agent = (input: RunConfigInput) => parseConfig(input).agent;
    expect(agent({ agent: 'reinforce', env: 'Bandit-v0' })).toMatchObject({
      advantage: 'reward-to-go',
      collect: { episodes: 16 },
    });
    expect(agent({ agent: 'a2c', env: 'Bandit-v0' })).toMatchObject({ advantage: 'gae', gaeLambda: 1 });
    expect(agent({ agent: 'ppo', env: 'Bandit-v0' })).toMatchObject({ clipRange: 0.2, innerEpochs: 8 });
    expect(agent({ agent: 'ddpo-is' })).toMatchObject({ clipRange: 1e-3, collect: { episodes: 64 } });
    expect(agent({ agent: 'ppo', samplesPerEpoch: 96 })).toMatchObject({ collect: { episodes: 96 } });
  });

  it('wants whole groups, for an agent that compares them', () => {
    const wrong = (input: RunConfigInput) => () => parseConfig({ agent: 'grpo', ...input });
    expect(wrong({ samplesPerEpoch: 96, agent: { name: 'grpo', groupSize: 5 } })).toThrow(
      /agent\.collect: must be a multiple of agent\.groupSize \(5\) episodes.*actual value 96/,
    );
    expect(wrong({ env: 'CartPole-v1', numEnvs: 4 })).toThrow(
      /numEnvs: must be a multiple of agent\.groupSize \(8\).*actual value 4/,
    );
    expect(wrong({ env: 'CartPole-v1', agent: { name: 'grpo', collect: { steps: 64 } } })).toThrow(
      /agent\.collect: must be \{episodes: n\}/,
    );
    expect(wrong({ agent: 'ppo', sampling: { sharedNoise: true } })).toThrow(
      /sampling\.sharedNoise: has no effect, because the agent `ppo` compares no groups/,
    );
  });

  it('is complete: parsed again it is the same', () => {
    for (const input of [
      {},
      { env: 'CartPole-v1' },
      { agent: { collect: { steps: 20 } }, numEnvs: 48 },
      { env: 'CartPole-v1', agent: 'a2c' },
      { agent: { name: 'grpo', window: { size: 4, stride: 1, every: 25 } }, sampling: { sharedNoise: true } },
      { agent: 'reinforce', samplesPerEpoch: 32 },
    ] satisfies RunConfigInput[]) {
      const config = parseConfig(input);
      expect(parseConfig(JSON.parse(JSON.stringify(config)))).toEqual(config);
    }
  });

  it('names a run by what is trained, by what, for what', () => {
    expect(parseConfig({}).name).toBe('Denoising-v0-ppo-jpeg-incompressibility');
    expect(parseConfig({ reward: './rewards/my-reward.ts' }).name).toBe('Denoising-v0-ppo-my-reward');
    expect(parseConfig({ reward: '0.7*jpeg-incompressibility + 0.3*shapes' }).name).toBe(
      'Denoising-v0-ppo-0.7-jpeg-incompressibility-0.3-shapes',
    );
    expect(parseConfig({ env: './my-env.ts:Corridor-v0' }).name).toBe('Corridor-v0-ppo');
    expect(parseConfig({ env: 'CartPole-v1', agent: 'reinforce' }).name).toBe('CartPole-v1-reinforce');
  });

  it.each([
    [{ agnt: 1 }, /^configuration: agnt: no such option\. Did you mean `agent`\?/],
    [
      { agent: { learningRat: 1 } },
      /agent\.learningRat: no such option of the agent `ppo`\. Did you mean `learningRate`\? Known here: collect, /,
    ],
    [{ agent: { name: 'reinforce', clipRange: 0.1 } }, /agent\.clipRange: no such option of the agent `reinforce`/],
    [{ agent: 'a2c' }, /agent: `a2c` is not made for denoising policies.*ppo, reinforce/],
    [{ agent: 'pop' }, /unknown agent `pop`.*`ppo`/],
    [{ env: 'CartPole-v1', reward: 'shapes' }, /reward: no such option\. It belongs to Denoising-v0/],
    [{ env: 'CartPole-v1', sampling: { steps: 3 } }, /sampling: no such option\. It belongs to Denoising-v0/],
    [{ env: 'CartPole-v1', evaluation: { pictures: 3 } }, /evaluation\.pictures: no such option\. It belongs/],
    [{ env: 'CartPole-v1', samplesPerEpoch: 64 }, /samplesPerEpoch: no such option/],
    [{ policy: { hidden: [8] } }, /policy: no such option\. It belongs to Environments with a small network/],
    [
      { samplesPerEpoch: 32, agent: { collect: { episodes: 64 } } },
      /samplesPerEpoch: has no effect, because agent\.collect says it/,
    ],
    [{ agent: { learningRate: 'abc' } }, /agent\.learningRate: must be number \| \{from, to\}, actual value "abc"/],
    [
      { agent: { clipRange: { from: 1 } } },
      /agent\.clipRange: must be number \| \{from, to\}, actual value \{"from":1\}/,
    ],
    [{ backend: 'wsm' }, /backend: must be one of auto, native, wasm, cpu, actual value "wsm"\. Did you mean `wasm`\?/],
    [{ epochs: 0 }, /epochs: must be at least 1, actual value 0/],
    [{ epochs: 1.5 }, /epochs: must be a whole number, actual value 1\.5/],
    [{ sampling: { eta: 2 } }, /sampling\.eta: must be at most 1, actual value 2/],
    [{ sampling: { eta: 0 } }, /sampling\.eta: must be more than 0/],
    [{ sampling: 5 }, /sampling: must be an object, actual value 5/],
    [{ prompts: { kind: 'list' } }, /prompts\.list: needed because prompts\.kind is list/],
    [{ prompts: { kind: 'list', list: [] } }, /prompts\.list: must not be empty, actual value \[\]/],
    [{ prompts: { path: 'a.txt' } }, /prompts\.path: given, but prompts\.kind is shapes/],
    [{ numEnvs: 48 }, /samplesPerEpoch: must be a multiple of numEnvs \(48\).*actual value 64/],
    [{ name: '../x' }, /name: letters, digits.*actual value|name: .*letters, digits/],
  ])('%j: names the field, what is allowed and what is there', (input, message) => {
    expect(() => parseConfig(input)).toThrow(message);
  });

  it('lists all problems at once', () => {
    expect(() => parseConfig({ epochs: 0, seed: -1 }, 'a.yaml')).toThrow(/^a\.yaml:\n {2}epochs: .*\n {2}seed: /);
  });
});

it('flags win over the file, and the file gives the name', async () => {
  const config = await loadConfig('examples/quickstart.yaml', { 'agent.learningRate': 3e-4, seed: 7 });
  expect(config).toMatchObject({
    name: 'quickstart',
    seed: 7,
    agent: { name: 'grpo', learningRate: 3e-4, minibatches: 4 },
  });
  // The file's options are those of its agent.
  await expect(loadConfig('examples/quickstart.yaml', { agent: 'reinforce' })).rejects.toThrow(
    /quickstart\.yaml:[\s\S]*agent\.minibatches: no such option/,
  );
  const other = await loadConfig(undefined, { agent: 'reinforce', 'agent.learningRate': { from: 1, to: 0 } });
  expect(other.agent).toMatchObject({ name: 'reinforce', learningRate: { from: 1, to: 0 } });
  await expect(loadConfig('nowhere.yaml')).rejects.toThrow(/cannot read nowhere\.yaml/);
});

it('says where YAML is wrong', () => {
  expect(() => parseYaml('a: [1,\nb: 2', 'x.yaml')).toThrow(/x\.yaml: not valid YAML: .*line 2/s);
});

it('documents every option, of runs and of agents', () => {
  const options = runOptions();
  expect(options.length).toBeGreaterThan(30);
  for (const option of options) expect(option.description, option.path).not.toBe('');
  for (const agent of listAgents())
    for (const option of optionsOf(agent.options!)) {
      expect(option.description, `${agent.name} ${option.path}`).not.toBe('');
      expect(option.default, `${agent.name} ${option.path}: defaults stand in \`defaults\` alone`).toBeUndefined();
    }
});

it('every agent describes itself in full', () => {
  for (const agent of listAgents()) {
    expect(agent.summary).toBeTruthy();
    expect(agent.paper).toBeTruthy();
    expect(Object.keys(agent.metrics!).length).toBeGreaterThan(0);
    for (const kind of ['denoising', 'network'] as const) {
      const defaults = agent.defaults?.[kind];
      if (defaults === undefined) continue;
      const known = Object.keys(agent.options!.shape);
      expect(known).toEqual(expect.arrayContaining(Object.keys(defaults)));
      // What is left open follows from the run.
      const open = known.filter((key) => !(key in defaults));
      expect(open).toEqual(kind === 'denoising' ? ['collect'] : []);
    }
  }
});

it('descriptions load no TensorFlow.js', async () => {
  const program = `
    await import('./training/config/index.js');
    await import('./agents/registry.js');
    const { createRequire } = await import('node:module');
    const cache = Object.keys(createRequire(import.meta.url).cache);
    if (cache.some((path) => path.includes('@tensorflow'))) throw new Error('TensorFlow.js was loaded');`;
  const run = promisify(execFile)(process.execPath, [
    '--import',
    './register.mjs',
    '--input-type=module',
    '-e',
    program,
  ]);
  await expect(run).resolves.toMatchObject({ stderr: '' });
}, 30_000);
