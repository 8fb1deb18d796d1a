import type { MathNode } from 'mathjs';
import { GymError, messageOf, unknownName } from '../core/errors.js';
import type { Reward, RewardBatch } from '../core/reward.js';
import { scoreImages } from '../core/score.js';

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

/**
 * Finds the rewards that an expression names and puts a symbol in the place of each, because a hyphen in a name would be
 * a minus to mathjs. The longest name wins: `shapes-count` is one reward, not `shapes` less `count`.
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
  /** One name, function, constant or number; nothing at all is what stands before a second minus. */
  const piece = (run: string): string | undefined => {
    if (rewards.has(run)) return symbolOf(run);
    return run === '' || isExpressionWord(run) || /^\d+(e(-?\d+)?)?$/i.test(run) ? run : undefined;
  };
  /** A run of letters, digits and hyphens as pieces with a minus between, the longest first, if it is that. */
  const split = (run: string): string[] | undefined => {
    const whole = piece(run);
    if (whole !== undefined) return [whole];
    for (let cut = run.lastIndexOf('-'); cut >= 0; cut = cut > 0 ? run.lastIndexOf('-', cut - 1) : -1) {
      const head = piece(run.slice(0, cut));
      const tail = head === undefined ? undefined : split(run.slice(cut + 1));
      if (tail) return [head!, ...tail];
    }
    return undefined;
  };
  // A number (so that the e of 1e-3 is no name), a quoted path, or a run that begins as a name does.
  const tokens = /(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|(["'])(.*?)\1|[a-z_][\w-]*/gi;
  const text = expression.replace(tokens, (token: string, quote?: string, path?: string) => {
    if (quote) return symbolOf(path!);
    if (!/^[a-z_]/i.test(token)) return token;
    const parts = split(token);
    if (parts) return parts.join('-');
    const known = token === expression ? rewards : [...rewards, ...functions, ...constants];
    throw unknownName('makeReward', 'reward', token, known);
  });
  return { text, terms };
}

/** The first part of a parsed expression that is more than arithmetic over its rewards, if any. */
function foreignPart(root: MathNode, symbols: ReadonlySet<string>): MathNode | undefined {
  const arithmetic = new Set(['OperatorNode', 'ParenthesisNode', 'ConditionalNode', 'RelationalNode']);
  const allowed = (node: MathNode): boolean => {
    if (arithmetic.has(node.type)) return true;
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
 * The details are every term's own score under its name, and its details under `name/detail`.
 *
 * @param known the names that may stand in it.
 * @param make makes the reward of a name or a path.
 * @throws GymError E_NAME on a name that is not known, with the nearest that is; E_VALUE on an expression that cannot be
 *   read, names no reward or is more than arithmetic.
 */
export async function expressionReward(
  expression: string,
  known: Iterable<string>,
  make: (spec: string) => Promise<Reward>,
): Promise<Reward> {
  const place = `reward expression ${JSON.stringify(expression)}`;
  const { text, terms } = findTerms(expression, new Set(known));
  if (terms.length === 0)
    throw new GymError('E_VALUE', `${place}: it names no reward; give a name such as \`jpeg-incompressibility\`.`);

  const readable = (message: string) => message.replace(/reward(\d+)/g, (_, k: string) => terms[Number(k)]!.spec);

  // mathjs takes a second to load: only those who use an expression pay for it.
  const { parse } = await import('mathjs/number');
  let root: MathNode;
  try {
    root = parse(text);
  } catch (error) {
    throw new GymError(
      'E_VALUE',
      `${place}: cannot be read: ${readable(messageOf(error))}; check operators and parentheses.`,
      {
        cause: error,
      },
    );
  }
  const foreign = foreignPart(root, new Set(terms.map(({ symbol }) => symbol)));
  if (foreign)
    throw new GymError(
      'E_VALUE',
      `${place}: \`${readable(foreign.toString())}\` is not allowed; use numbers, operators, rewards and the functions ${[...functions].join(', ')}.`,
    );
  const compiled = root.compile();

  const rewards: Reward[] = [];
  for (const { spec } of terms) rewards.push(await make(spec));
  // Two files may have the same name: then the path tells them apart.
  const names = rewards.map(({ name }, i) => (rewards.findIndex((r) => r.name === name) === i ? name : terms[i]!.spec));

  return {
    name: expression,
    async score(batch: RewardBatch) {
      const results = await Promise.all(rewards.map((reward) => scoreImages(reward, batch)));
      const scores = batch.prompts.map((_, i) => {
        const scope: Record<string, unknown> = { clamp };
        terms.forEach(({ symbol }, k) => {
          scope[symbol] = results[k]!.scores[i];
        });
        return Number(compiled.evaluate(scope));
      });
      const details: Record<string, Float64Array> = {};
      results.forEach((result, k) => {
        details[names[k]!] = result.scores;
        for (const [detail, values] of Object.entries(result.details)) details[`${names[k]}/${detail}`] = values;
      });
      return { scores, details };
    },
  };
}
