import { Command, CommanderError } from 'commander';
import * as fc from 'fast-check';
import { addRunFlags, flagOf, givenFlags, withSetFlags } from '../../../../cli/flags.js';
import { decimal, positive, whole } from '../../../../cli/numbers.js';
import { completeConfig, runOptions, withFlags } from '../../../../training/config/index.js';
import { jsonText, mutatedText, oddNames, oddValue } from '../arbitraries.js';
import { expectThat } from '../judge.js';
import { target } from '../target.js';

const flags = [
  ...runOptions().map(({ path }) => flagOf(path)),
  '--agent',
  '--agent',
  '--agent.learning-rate',
  '--agent.learning-rate.from',
  '--agent.collect.steps',
  '--agent.x',
  '--agent.',
  '--agent..x',
  '--agent.__proto__.x',
  '--agent.constructor',
  '--__proto__.x',
  '--constructor',
  '--set',
  '--env',
  '--env-options.gravity',
  '--policy.hidden',
  '--nothing',
  '--epochz',
  `--${'x'.repeat(10_000)}`,
  `--a${'.b'.repeat(500)}`,
];

const values = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '1',
    '0',
    '-1',
    '1e7',
    '1e309',
    '0x10',
    'x',
    'ppo',
    'a2c',
    'CartPole-v1',
    'Denoising-v0',
    'true',
    'null',
    '[]',
    '[1',
    '{a: 1}',
    '{',
    '*a',
    '&a',
    '"',
    "'",
    '!!x',
    '[64, 64]',
    '[1e9]',
    '{from: 1, to: 0}',
    './no.ts',
    './no.ts:X-v0',
    'data:text/javascript,1:X-v0',
    'node:fs',
    'constructor',
    '../../etc',
    '.',
    '007',
    '\n',
    '=',
    'a=b',
  ),
  fc.constantFrom(...oddNames),
  oddValue.map(jsonText),
  mutatedText('{from: 1e-3, to: [1, "x"]}'),
);

/** Command lines of `train`. */
export const commandLines = target<string[]>({
  name: 'command lines',
  inputs: 200,
  input: fc
    .array(fc.tuple(fc.constantFrom(...flags), values, fc.constantFrom(' ', '=')), { maxLength: 5 })
    .map((list) => list.flatMap(([flag, value, joint]) => (joint === '=' ? [`${flag}=${value}`] : [flag, value]))),
  async check(argv) {
    const command = await addRunFlags(new Command('train').exitOverride().allowExcessArguments());
    command.configureOutput({ writeErr: () => {}, writeOut: () => {} });
    try {
      command.parse(withSetFlags(argv), { from: 'user' });
    } catch (error) {
      // Commander's own errors name the flag.
      if (error instanceof CommanderError && error.message.startsWith('error: ')) return;
      throw error;
    }
    const given = await givenFlags(command.opts());
    const config = await completeConfig(withFlags({}, given), 'flags');
    expectThat(JSON.parse(JSON.stringify(config)).epochs >= 1, 'the configuration is none');
    expectThat(!('x' in {}), 'all objects have got a property');
  },
});

/** Numbers that are read without a configuration. */
export const numbers = target<{ reader: string; text: string }>({
  name: 'numbers of flags',
  inputs: 100,
  input: fc.record({
    reader: fc.constantFrom('whole', 'decimal', 'positive'),
    text: fc.oneof(values, fc.double().map(String), fc.integer().map(String)),
  }),
  check({ reader, text }) {
    const read = { whole: whole('--n', 1, 1e6), decimal: decimal('--n'), positive: positive('--n') }[reader]!;
    const value = read(text);
    expectThat(Number.isFinite(value) && value >= 0, `${value} is none of its numbers`);
    expectThat(text.trim() !== '' && value === Number(text), `${value} is another number`);
  },
});
