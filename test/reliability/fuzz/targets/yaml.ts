import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import { GymError } from '../../../../core/errors.js';
import { completeConfig, parseConfig, parseYaml } from '../../../../training/config/index.js';
import { jsonText, mutated, mutatedText, nested, oddValue } from '../arbitraries.js';
import { expectThat } from '../judge.js';
import { target } from '../target.js';

/** Configurations as people write them. */
const configurations = [
  { env: 'CartPole-v1', agent: 'ppo', epochs: 3 },
  {
    env: 'CartPole-v1',
    agent: { name: 'a2c', learningRate: { from: 1e-3, to: 0 }, collect: { steps: 64 } },
    numEnvs: 4,
  },
  {
    agent: { name: 'ppo', clipRange: 0.1 },
    sampling: { steps: 5, eta: 1 },
    prompts: { kind: 'list', list: ['a', 'b'] },
  },
  {
    env: 'Pendulum-v1',
    envOptions: { gravity: 9.8 },
    policy: { hidden: [8, 8] },
    evaluation: { samples: 2, every: 1 },
  },
  { reward: '0.7*jpeg-incompressibility + shapes', samplesPerEpoch: 64, name: 'x', runs: 'runs', seed: 1, overlap: 2 },
];

const text = `
# A run
name: quickstart
env: &env CartPole-v1
agent:
  name: ppo
  learningRate: {from: 3.0e-4, to: 0}
  collect: {steps: 128}
evaluation: &evaluation
  samples: 10
  explore: false
prompts:
  kind: list
  list: [*env, "b", 'c']
`;

/** Each list holds the one before it several times. */
function laughs(levels: number, times: number): string {
  const lines = ['a0: &a0 [x]'];
  for (let i = 1; i <= levels; i++) lines.push(`a${i}: &a${i} [${new Array(times).fill(`*a${i - 1}`).join(',')}]`);
  return lines.join('\n');
}

const odd = fc.oneof(
  fc.constantFrom(
    'agent:',
    'a: &a [*a]',
    'a: &a {b: *a}',
    'a: *b',
    '? [a]: b',
    '? {a: b}\n: c',
    '!!js/function x',
    '--- a\n--- b',
    '%YAML 9.9\n---\na: 1',
    'a: 1\na: 2',
    '"',
    '&',
    '*',
    '- - - -',
    '\t- a',
    'a: |\n  b\n c',
    '<<: {a: 1}',
    '__proto__: {x: 1}',
    'agent: {__proto__: {x: 1}}',
    'agent: null',
    'agent: []',
    'constructor: 1',
    '~',
    '\ufeffa: 1',
    '\0',
  ),
  fc
    .tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 12 }))
    .map(([levels, times]) => laughs(levels, times)),
  fc.constantFrom(500, 5000, 50_000).map((n) => '['.repeat(n) + ']'.repeat(n)),
  fc.constantFrom(500, 5000, 50_000).map((n) => '{a: '.repeat(n)),
  fc.constantFrom(100, 1500).map((n) => Array.from({ length: n }, (_, i) => `${' '.repeat(i)}a:`).join('\n')),
  fc.constantFrom(100, 10_000, 40_000).map((n) => Array.from({ length: n }, (_, i) => `k${i}: ${i}`).join('\n')),
  fc.constantFrom(1e4, 1e6, 1e7).map((n) => `a: ${'x'.repeat(n)}`),
  fc.constantFrom(1e3, 1e5).map((n) => `${'x'.repeat(n)}: 1`),
  fc.string(),
);

/** Configurations in YAML: each is completed as a whole one would be, or refused. */
export const yaml = target<string>({
  name: 'YAML',
  inputs: 250,
  input: fc.oneof(
    { weight: 4, arbitrary: mutatedText(text) },
    {
      weight: 4,
      arbitrary: fc
        .constantFrom(...configurations)
        .chain((value) => mutated(value))
        .map(jsonText),
    },
    { weight: 3, arbitrary: odd },
    { weight: 1, arbitrary: oddValue.map((value) => `agent: ${jsonText(value)}`) },
  ),
  async check(input) {
    const parsed = parseYaml(input, 'run.yaml');
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return;
    const config = await completeConfig(parsed as Record<string, unknown>, 'run.yaml');
    expectThat(
      isDeepStrictEqual(parseConfig(JSON.parse(JSON.stringify(config))), config),
      'parsed again it is another one',
    );
  },
});

/** JSON is YAML: what it says is what JSON.parse reads. */
export const jsonAsYaml = target<unknown>({
  name: 'JSON read as YAML',
  inputs: 80,
  input: fc.jsonValue({ maxDepth: 5 }),
  check(value) {
    const json = JSON.stringify(value);
    let parsed: unknown;
    try {
      parsed = parseYaml(json, 'run.json');
    } catch (error) {
      throw GymError.is(error) ? new Error(`JSON is refused: ${error.message}`) : error;
    }
    expectThat(JSON.stringify(parsed) === json, 'it is another value than JSON.parse gives');
  },
});

/** Programs hand in objects, which may be deeper or larger than any file. */
export const configObjects = target<unknown>({
  name: 'configurations of programs',
  inputs: 100,
  input: fc.oneof(
    fc.constantFrom(...configurations).chain((value) => mutated(value, 5)),
    fc.constantFrom(50, 300, 10_000).map((n) => ({ agent: { name: 'ppo', learningRate: nested(n) } })),
    oddValue,
  ),
  check(input) {
    parseConfig(input);
  },
});
