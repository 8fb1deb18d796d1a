import { createRequire } from 'node:module';
import type { EvalFunction, MathNode } from 'mathjs';
import { GymError, messageOf, unknownName } from '../core/errors.js';
import type { Reward, RewardBatch } from '../core/reward.js';
import { scoreImages } from '../core/score.js';
import { shownJson } from '../core/shown.js';
import { isRewardFile } from './user-file.js';

const functions = new Set(
  'abs cbrt ceil clamp exp expm1 floor log log10 log1p log2 max min pow round sign sqrt tanh'.split(' '),
);
const constants = new Set(['pi', 'e']);

/** What mathjs lacks: a value held between two bounds. */
const clamp = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value));

/** Whether a word is a function or constant of expressions. */
export function isExpressionWord(word: string): boolean {
  return functions.has(word) || constants.has(word);
}

/** A reward that an expression names. */
interface Term {
  /** Its registered name or the path of its file. */
  readonly spec: string;
  /** What stands for it in the text that mathjs parses. */
  readonly symbol: string;
}

/** Longer texts are refused: nobody writes them, and what reads an expression takes time and stack for each character. */
const mostCharacters = 4000;

/** A number, so that the e of 1e-3 is no name; a text in quotes; a path without quotes; or a run that begins as a name does. */
const tokens =
  /(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?(?![\w.-]*\.(?:m?[jt]s|cjs)\b)|(["'])(.*?)\1|((?:[A-Za-z]:)?[\w.\\/-]*\.(?:m?[jt]s|cjs)\b)|[a-z_][\w-]*/gi;

/** A whole number as it stands in a run of letters, digits and hyphens: `2`, `1e-3`, and `1e` before a plus. */
const numberInRun = /^\d+(e(-?\d+)?)?$/i;

/**
 * A run of letters, digits and hyphens as names and numbers with a minus between, each as long as can be: `shapes-count` is
 * one reward, not `shapes` less `count`. Nothing at all is what stands before a second minus. Undefined if it is not that.
 */
function splitRun(run: string, rewards: ReadonlySet<string>): string[] | undefined {
  const parts = run.split('-');
  const longest = Math.max(2, ...Array.from(rewards, (name) => name.split('-').length));
  const isPiece = (text: string) =>
    rewards.has(text) || text === '' || isExpressionWord(text) || numberInRun.test(text);
  // From the end: how many parts the piece takes that begins with part i, 0 where what follows cannot be read.
  const taken = new Array<number>(parts.length).fill(0);
  for (let i = parts.length - 1; i >= 0; i--)
    for (let count = Math.min(longest, parts.length - i); count > 0 && taken[i] === 0; count--) {
      const end = i + count;
      if ((end === parts.length || taken[end]! > 0) && isPiece(parts.slice(i, end).join('-'))) taken[i] = count;
    }
  if (taken[0] === 0) return undefined;
  const pieces: string[] = [];
  for (let i = 0; i < parts.length; i += taken[i]!) pieces.push(parts.slice(i, i + taken[i]!).join('-'));
  return pieces;
}

/**
 * Finds the rewards that an expression names and puts a symbol in the place of each, because a hyphen in a name would be
 * a minus to mathjs.
 */
function findTerms(expression: string, rewards: ReadonlySet<string>): { text: string; terms: Term[] } {
  const terms: Term[] = [];
  const symbolOf = (spec: string) => {
    let term = terms.find((t) => t.spec === spec);
    if (!term) {
      term = { spec, symbol: `reward${terms.length}` };
      terms.push(term);
    }
    return term.symbol;
  };
  const text = expression.replace(tokens, (token: string, quote?: string, quoted?: string, path?: string) => {
    if (quote) return symbolOf(quoted!);
    if (path)
      throw new GymError(
        'E_VALUE',
        `makeReward: the path ${path} must stand in quotes in ${JSON.stringify(expression)}; write '${path}'.`,
      );
    if (!/^[a-z_]/i.test(token)) return token;
    const pieces = splitRun(token, rewards);
    if (pieces) return pieces.map((piece) => (rewards.has(piece) ? symbolOf(piece) : piece)).join('-');
    const known = token === expression ? rewards : [...rewards, ...functions, ...constants];
    throw unknownName('makeReward', 'reward', token, known);
  });
  return { text, terms };
}

/**
 * The files of a user's own whose code would be executed if a reward were made from this text: the path of one, or the
 * quoted paths of an expression. Nothing is loaded, and the text need not be one that can be read.
 */
export function rewardFiles(text: string): string[] {
  if (isRewardFile(text.trim())) return [text.trim()];
  const quoted = Array.from(text.matchAll(tokens), ([, quote, inner]) => (quote ? inner! : ''));
  return quoted.flatMap((inner) => (inner === '' ? [] : rewardFiles(inner)));
}

const operators = new Set(
  'add subtract multiply divide mod pow unaryMinus unaryPlus smaller smallerEq larger largerEq equal unequal'.split(
    ' ',
  ),
);

/** The first part of a parsed expression that is more than arithmetic over its rewards, if any. */
function foreignPart(root: MathNode, symbols: ReadonlySet<string>): MathNode | undefined {
  const arithmetic = new Set(['ParenthesisNode', 'ConditionalNode', 'RelationalNode']);
  const allowed = (node: MathNode): boolean => {
    if (arithmetic.has(node.type)) return true;
    if (node.type === 'OperatorNode') return operators.has((node as unknown as { fn: string }).fn);
    if (node.type === 'ConstantNode') return typeof (node as unknown as { value: unknown }).value === 'number';
    const { name } = node as unknown as { name: string };
    if (node.type === 'FunctionNode') return functions.has(name);
    return node.type === 'SymbolNode' && (symbols.has(name) || isExpressionWord(name));
  };
  return root.filter((node) => !allowed(node))[0];
}

/**
 * A reward computed from others, image by image, for example `0.7*jpeg-incompressibility - 0.3*shapes-count`, read by
 * mathjs. Numbers, `+ - * / % ^`, parentheses, comparisons, `condition ? a : b`, the constants pi and e, and the
 * functions abs, cbrt, ceil, clamp(x, low, high), exp, expm1, floor, log, log10, log1p, log2, max, min, pow, round, sign,
 * sqrt and tanh. A minus between two names needs no spaces, but reads better with them. A user's file stands in quotes:
 * `shapes + "./my-reward.ts"`.
 *
 * The details are every term's own score under its name, and its details under `name/detail`, as are its notes.
 *
 * @param known the names that may stand in it.
 * @param make makes the reward of a name or a path.
 * @throws GymError E_NAME on a name that is not known, with the nearest that is; E_VALUE on an expression that cannot be
 *   read, names no reward, is more than arithmetic, or has a path without quotes.
 */
export async function expressionReward(
  expression: string,
  known: Iterable<string>,
  make: (spec: string) => Promise<Reward>,
): Promise<Reward> {
  const place = `reward expression ${JSON.stringify(expression)}`;
  if (expression.length > mostCharacters)
    throw new GymError(
      'E_VALUE',
      `reward expression ${JSON.stringify(expression.slice(0, 40))}...: it has ${expression.length} characters; write it in at most ${mostCharacters}, or as a file.`,
    );
  const { text, terms } = findTerms(expression, new Set(known));
  if (terms.length === 0)
    throw new GymError('E_VALUE', `${place}: it names no reward; give a name such as \`jpeg-incompressibility\`.`);

  const readable = (message: string) => message.replace(/reward(\d+)/g, (_, k: string) => terms[Number(k)]!.spec);

  // Only those who use an expression wait for its hundreds of modules, which load in a third of the time by `require`.
  const { parse } = createRequire(import.meta.url)('mathjs/number') as typeof import('mathjs/number');
  let compiled: EvalFunction;
  try {
    const root = parse(text);
    const foreign = foreignPart(root, new Set(terms.map(({ symbol }) => symbol)));
    if (foreign)
      throw new GymError(
        'E_VALUE',
        `${place}: \`${readable(foreign.toString())}\` is not allowed; use numbers, rewards, the operators + - * / % ^ < <= > >= == != and ?:, and the functions ${[...functions].join(', ')}.`,
      );
    compiled = root.compile();
    // A function with too many arguments, say, is found by trying.
    compiled.evaluate({ clamp, ...Object.fromEntries(terms.map(({ symbol }) => [symbol, 1])) });
  } catch (error) {
    if (GymError.is(error)) throw error;
    if (error instanceof RangeError)
      throw new GymError(
        'E_VALUE',
        `reward expression ${shownJson(expression)}: it is nested too deeply; write it with fewer parentheses, or as a file.`,
        { cause: error },
      );
    throw new GymError(
      'E_VALUE',
      `${place}: cannot be read: ${readable(messageOf(error))}; check operators, parentheses and arguments.`,
      { cause: error },
    );
  }

  const rewards: Reward[] = [];
  for (const { spec } of terms) rewards.push(await make(spec));
  // Two files may have the same name: then the path tells them apart.
  const symbols = terms.map(({ symbol }) => symbol);
  const names = rewards.map(({ name }, i) => (rewards.findIndex((r) => r.name === name) === i ? name : terms[i]!.spec));

  const combine = (terms: Readonly<Record<string, number>>): number => {
    const scope: Record<string, unknown> = { clamp };
    symbols.forEach((symbol, k) => {
      scope[symbol] = terms[names[k]!];
    });
    return Number(compiled.evaluate(scope));
  };

  return {
    name: expression,
    combine,
    async score(batch: RewardBatch) {
      const results = await Promise.all(rewards.map((reward) => scoreImages(reward, batch)));
      const scores = batch.prompts.map((_, i) =>
        combine(Object.fromEntries(results.map((result, k) => [names[k]!, result.scores[i]!]))),
      );
      const details: Record<string, Float64Array> = {};
      const notes: Record<string, string[]> = {};
      results.forEach((result, k) => {
        details[names[k]!] = result.scores;
        for (const [detail, values] of Object.entries(result.details)) details[`${names[k]}/${detail}`] = values;
        for (const [note, values] of Object.entries(result.notes)) notes[`${names[k]}/${note}`] = values;
      });
      return { scores, details, notes };
    },
    dispose: () => {
      for (const reward of rewards) reward.dispose?.();
    },
  };
}
