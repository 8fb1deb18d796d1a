import { describe, expect, it } from 'vitest';
import { loadConfig, parseConfig, parseYaml, runOptions } from '../../training/config.js';

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

  it.each([
    [{ agnt: 1 }, /^configuration: agnt: no such option\. Did you mean `agent`\?/],
    [
      { agent: { learningRat: 1 } },
      /agent\.learningRat: no such option\. Did you mean `learningRate`\? Known here: name, /,
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
  const config = await loadConfig('examples/quickstart.yaml', {
    'agent.learningRate': 3e-4,
    agent: 'reinforce',
    seed: 7,
  });
  expect(config).toMatchObject({
    name: 'quickstart',
    seed: 7,
    agent: { name: 'reinforce', learningRate: 3e-4, updates: 4 },
  });
  const other = await loadConfig(undefined, { agent: 'reinforce', 'agent.learningRate': { from: 1, to: 0 } });
  expect(other.agent).toMatchObject({ name: 'reinforce', learningRate: { from: 1, to: 0 } });
  await expect(loadConfig('nowhere.yaml')).rejects.toThrow(/cannot read nowhere\.yaml/);
});

it('says where YAML is wrong', () => {
  expect(() => parseYaml('a: [1,\nb: 2', 'x.yaml')).toThrow(/x\.yaml: not valid YAML: .*line 2/s);
});

it('documents every option', () => {
  const options = runOptions();
  expect(options.length).toBeGreaterThan(40);
  for (const option of options) expect(option.description, option.path).not.toBe('');
});
