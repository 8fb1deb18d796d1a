import * as fc from 'fast-check';
import { GymError } from '../../../../core/errors.js';
import type { RewardBatch } from '../../../../core/reward.js';
import { expressionReward } from '../../../../rewards/expression.js';
import { makeReward } from '../../../../rewards/index.js';
import { mutatedText } from '../arbitraries.js';
import { expectThat } from '../judge.js';
import { target } from '../target.js';

const names = ['a', 'b', 'c-d', 'jpeg'];
const values: Readonly<Record<string, number>> = { a: 2, b: -3, 'c-d': 0.5, jpeg: 7 };

const pieces = fc.constantFrom(
  ...names,
  '1',
  '2.5',
  '.5',
  '1e-3',
  '1e-',
  'e',
  'pi',
  '+',
  '-',
  '*',
  '/',
  '%',
  '^',
  '**',
  '(',
  ')',
  '[',
  ']',
  '{',
  '}',
  ',',
  ';',
  ':',
  '?',
  '??',
  '.',
  '.^',
  ".'",
  "'",
  '"',
  '!',
  '=',
  '==',
  '<=',
  '>=',
  '!=',
  '<',
  '>',
  '&',
  '|',
  '~',
  '@',
  '#',
  '$',
  '`',
  '\\',
  '\n',
  '\t',
  ' ',
  '  ',
  'max(',
  'min(',
  'exp(',
  'clamp(',
  'sqrt(',
  'abs(',
  'import(',
  'constructor',
  '__proto__',
  'toString',
  'evaluate',
  'i',
  'Infinity',
  'NaN',
  'true',
  'null',
  'undefined',
  'mod',
  'to',
  'in',
  'and',
  'not',
  'cm',
  'a-b',
  'c-d-c-d',
  './x.ts',
  "'./x.ts'",
  'data:x',
  '0x1F',
  '1_000',
  'é',
  '😀',
  '\0',
  'f(x)=x',
  'a=1',
);

const repeated = fc
  .tuple(
    fc.constantFrom(
      '(',
      ')',
      '-',
      '- ',
      '1e-1-',
      'e-',
      'a-',
      'a^',
      '2^',
      'a*',
      'max(',
      '!',
      "'",
      '"',
      '[',
      '?',
      'a?b:',
      '.',
      './',
      'c-',
      '1',
      ' ',
      '==',
    ),
    fc.constantFrom(2, 24, 100, 1000, 4000, 100_000),
  )
  .map(([piece, times]) => piece.repeat(times));

interface Formula {
  readonly text: string;
  readonly value: number;
  /** Whether a reward stands in it. */
  readonly named: boolean;
}

const operations: Readonly<Record<string, (a: number, b: number) => number>> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => a / b,
  '^': (a, b) => a ** b,
};

/** Arithmetic over the rewards, and what it comes to. */
const { formula } = fc.letrec<{ formula: Formula }>((tie) => ({
  formula: fc.oneof(
    { maxDepth: 5 },
    fc.oneof(
      fc.constantFrom(...names).map((name) => ({ text: name, value: values[name]!, named: true })),
      fc.integer({ min: 0, max: 9 }).map((n) => ({ text: String(n), value: n, named: false })),
    ),
    fc.tuple(tie('formula'), fc.constantFrom(...Object.keys(operations)), tie('formula')).map(([a, operator, b]) => ({
      text: `(${a.text}) ${operator} (${b.text})`,
      value: operations[operator]!(a.value, b.value),
      named: a.named || b.named,
    })),
    fc
      .tuple(fc.constantFrom('abs', 'exp', 'floor', 'sign', 'tanh'), tie('formula'))
      .map(([name, a]) => ({ text: `${name}(${a.text})`, value: Math[name as 'abs'](a.value), named: a.named })),
    fc.tuple(fc.boolean(), tie('formula'), tie('formula')).map(([first, a, b]) => ({
      text: `1 ${first ? '<' : '>'} 2 ? (${a.text}) : (${b.text})`,
      value: first ? a.value : b.value,
      named: a.named || b.named,
    })),
  ),
}));

const batch: RewardBatch = {
  images: { data: new Uint8Array(2 * 8 * 8 * 3), shape: [2, 8, 8, 3] },
  prompts: ['p', 'q'],
  signal: new AbortController().signal,
};

function reward(text: string) {
  return expressionReward(text, names, async (spec) => {
    const value = values[spec];
    if (value === undefined) throw new GymError('E_FILE', `reward ${spec}: there is no such file.`);
    return { name: spec, score: ({ prompts }) => prompts.map(() => value) };
  });
}

/** Any text as an expression: it gives two scores, or is refused. */
export const expressions = target<string>({
  name: 'expressions',
  inputs: 300,
  input: fc.oneof(
    { weight: 6, arbitrary: fc.array(pieces, { maxLength: 25 }).map((list) => list.join('')) },
    { weight: 3, arbitrary: formula.chain(({ text }) => mutatedText(text)) },
    { weight: 2, arbitrary: repeated },
    { weight: 1, arbitrary: fc.tuple(repeated, pieces, repeated).map((parts) => parts.join('')) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
  ),
  async check(text) {
    const { score } = await reward(text);
    const result = (await score(batch)) as { scores: number[] };
    expectThat(result.scores.length === 2, 'not one score for each picture');
    expectThat(
      result.scores.every((x) => typeof x === 'number'),
      'a score is no number',
    );
  },
  prepare: async () => void (await reward('a + 1')),
});

/** Formulas come to what arithmetic says. */
export const formulas = target<Formula>({
  name: 'values of expressions',
  inputs: 100,
  input: formula.filter(({ text, named }) => named && text.length < 4000),
  async check({ text, value }) {
    let scores: ArrayLike<number>;
    try {
      const { score } = await reward(text);
      ({ scores } = (await score(batch)) as { scores: ArrayLike<number> });
    } catch (error) {
      throw GymError.is(error) ? new Error(`a formula is refused: ${error.message}`) : error;
    }
    const close = Object.is(scores[0], value) || Math.abs(scores[0]! - value) <= 1e-9 * Math.abs(value) + 1e-12;
    expectThat(close, `${scores[0]} instead of ${value}`);
  },
});

/** What stands behind `--reward`: names, paths and expressions. */
export const rewards = target<string>({
  name: 'rewards by name',
  inputs: 80,
  input: fc.oneof(
    fc.array(pieces, { maxLength: 8 }).map((list) => list.join('')),
    fc.constantFrom(
      './no.ts',
      '/no/such.mjs',
      'data:text/javascript,1',
      'node:fs',
      '../',
      '.',
      '',
      ' ',
      'x.ts',
      '\0.ts',
      `${'x'.repeat(300)}.ts`,
      'constructor',
      '__proto__',
    ),
    repeated,
  ),
  check: async (text) => void (await makeReward(text)),
});
