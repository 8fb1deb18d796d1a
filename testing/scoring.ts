import { stack, unstack } from '../core/ndarray.js';
import type { RewardBatch, RewardLike, RewardResult, ScoreBatch } from '../core/reward.js';
import type { Awaitable } from '../core/types.js';
import type { Report } from './findings.js';
import { copied, isPlainObject, show } from './values.js';

/** Pictures, prompts and metadata: what a reward is given, except its signal. */
export type Batch = Omit<ScoreBatch, 'signal'>;

/** A reward: an object with `score`, or its function; or `{ make }`, which makes one for each check. */
export type RewardSource = RewardLike | { make(): Awaitable<RewardLike> };

/** Asks the reward about a batch; without a signal it is handed one that is never aborted. */
export type Score = (batch: Batch, signal?: AbortSignal) => Awaitable<RewardResult>;

/** The function of a reward. Fails the check where there is none. */
export async function scorer(report: Report, source: RewardSource): Promise<Score> {
  const reward: unknown =
    typeof source === 'object' && source !== null && 'make' in source
      ? await report.attempt('make', () => source.make())
      : source;
  const method = typeof reward === 'object' && reward !== null ? (reward as { score?: unknown }).score : reward;
  if (typeof method !== 'function')
    report.fail(
      'reward',
      'it must be a function or an object { name, score }',
      show(reward),
      'export a function (batch) => scores, or an object with `score`',
    );
  return (batch, signal = new AbortController().signal) => {
    const given: RewardBatch = { ...batch, signal };
    return method.call(reward, given) as Awaitable<RewardResult>;
  };
}

/** A batch of some of the images of another one, with their prompts and metadata. */
export function select({ images, prompts, metadata }: Batch, places: readonly number[]): Batch {
  const rows = unstack(images);
  return {
    images: stack(places.map((i) => rows[i]!)),
    prompts: places.map((i) => prompts[i]!),
    ...(metadata === undefined ? {} : { metadata: places.map((i) => metadata[i]) }),
  };
}

/** What a reward said of a batch. */
export interface Scored {
  readonly scores: number[];
  readonly details: Record<string, number[]>;
  readonly notes: Record<string, string[]>;
}

/** The scores of a copy of a batch; fails the check when they are not one number an image, or the notes not one text. */
export async function scored(report: Report, where: string, score: Score, batch: Batch): Promise<Scored> {
  const result: unknown = await report.attempt(where, () => score(copied(batch)));
  const n = batch.prompts.length;
  const split = isPlainObject(result) && 'scores' in result;
  const list = <T>(name: string, values: unknown, type: 'number' | 'string') =>
    listOf<T>(report, `${where}: ${name}`, values, n, type);
  const scores = list<number>('scores', split ? result.scores : result, 'number');
  const named = <T>(field: 'details' | 'notes', type: 'number' | 'string'): Record<string, T[]> => {
    const lists = (split ? result[field] : undefined) ?? {};
    if (!isPlainObject(lists))
      report.fail(
        `${where}: ${field}`,
        'it must be an object of named lists',
        show(lists),
        `return { name: ${words[type]}s }`,
      );
    return Object.fromEntries(
      Object.entries(lists).map(([name, values]) => [name, list<T>(`${field}.${name}`, values, type)]),
    );
  };
  return { scores, details: named<number>('details', 'number'), notes: named<string>('notes', 'string') };
}

const words = { number: 'number', string: 'text' } as const;

function listOf<T>(report: Report, where: string, values: unknown, n: number, type: 'number' | 'string'): T[] {
  const todo = `return one ${words[type]} an image, in order`;
  if (typeof values !== 'object' || values === null || typeof (values as { length?: unknown }).length !== 'number')
    report.fail(where, `it must be a list of ${words[type]}s`, show(values), todo);
  const list = Array.from(values as ArrayLike<unknown>);
  if (list.length !== n) report.fail(where, `it must have ${n} entries, one an image`, `${list.length}`, todo);
  const odd = list.findIndex((value) => typeof value !== type);
  if (odd >= 0)
    report.fail(`${where}[${odd}]`, `it must be a ${words[type]}`, `${show(list[odd])} (${typeof list[odd]})`, todo);
  return list as T[];
}

/** All lists of a result by the names that findings call them. */
const listsOf = ({ scores, details, notes }: Scored): Record<string, readonly (number | string)[]> =>
  Object.fromEntries([
    ['scores', scores],
    ...Object.entries(details).map(([name, values]) => [`details.${name}`, values]),
    ...Object.entries(notes).map(([name, texts]) => [`notes.${name}`, texts]),
  ]);

/** A result as it would be for the same pictures in the opposite order. */
export function reversed({ scores, details, notes }: Scored): Scored {
  const turned = <T>(named: Record<string, T[]>) =>
    Object.fromEntries(Object.entries(named).map(([name, values]) => [name, values.toReversed()]));
  return { scores: scores.toReversed(), details: turned(details), notes: turned(notes) };
}

/** The results of parts of a batch as one. */
export function joined(parts: readonly Scored[]): Scored {
  const together = <T>(of: (part: Scored) => Record<string, T[]>): Record<string, T[]> => {
    const names = new Set(parts.flatMap((part) => Object.keys(of(part))));
    return Object.fromEntries([...names].map((name) => [name, parts.flatMap((part) => of(part)[name] ?? [])]));
  };
  return {
    scores: parts.flatMap(({ scores }) => scores),
    details: together(({ details }) => details),
    notes: together(({ notes }) => notes),
  };
}

/** Reports the first place where two results for the same pictures differ. */
export function reportUnequal(
  report: Report,
  where: string,
  what: string,
  todo: string,
  expected: Scored,
  actual: Scored,
  tolerance: number,
): void {
  const others = listsOf(actual);
  const near = (x: number | string, y: number | string | undefined) =>
    Object.is(x, y) ||
    (typeof x === 'number' && typeof y === 'number' && Math.abs(x - y) <= tolerance * Math.max(1, Math.abs(x)));
  for (const [name, a] of Object.entries(listsOf(expected))) {
    const b = others[name];
    const i = a.findIndex((x, at) => !near(x, b?.[at]));
    if (i < 0) continue;
    report.error(`${where}: ${name}[${i}]`, what, `${a[i]} and ${b?.[i]}`, todo);
    return;
  }
}
