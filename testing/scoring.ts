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
}

/** The scores of a copy of a batch; fails the check when they are not one number an image. */
export async function scored(report: Report, where: string, score: Score, batch: Batch): Promise<Scored> {
  const result: unknown = await report.attempt(where, () => score(copied(batch)));
  const n = batch.prompts.length;
  const split = isPlainObject(result) && 'scores' in result;
  const scores = numbers(report, `${where}: scores`, split ? result.scores : result, n);
  const details: Record<string, number[]> = {};
  const terms = (split ? result.details : undefined) ?? {};
  if (!isPlainObject(terms))
    report.fail(`${where}: details`, 'it must be an object of named lists', show(terms), 'return { name: numbers }');
  for (const [name, values] of Object.entries(terms))
    details[name] = numbers(report, `${where}: details.${name}`, values, n);
  return { scores, details };
}

function numbers(report: Report, where: string, values: unknown, n: number): number[] {
  const todo = 'return one number an image, in order';
  if (typeof values !== 'object' || values === null || typeof (values as { length?: unknown }).length !== 'number')
    report.fail(where, 'it must be a list of numbers', show(values), todo);
  const list = Array.from(values as ArrayLike<unknown>);
  if (list.length !== n) report.fail(where, `it must have ${n} entries, one an image`, `${list.length}`, todo);
  const odd = list.findIndex((value) => typeof value !== 'number');
  if (odd >= 0)
    report.fail(`${where}[${odd}]`, 'it must be a number', `${show(list[odd])} (${typeof list[odd]})`, todo);
  return list as number[];
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
  const lists: [string, number[], number[] | undefined][] = [
    ['scores', expected.scores, actual.scores],
    ...Object.keys(expected.details).map((name): [string, number[], number[] | undefined] => [
      `details.${name}`,
      expected.details[name]!,
      actual.details[name],
    ]),
  ];
  for (const [name, a, b] of lists) {
    const near = (x: number, y: number | undefined) =>
      Object.is(x, y) || (y !== undefined && Math.abs(x - y) <= tolerance * Math.max(1, Math.abs(x)));
    const i = a.findIndex((x, at) => !near(x, b?.[at]));
    if (i < 0) continue;
    report.error(`${where}: ${name}[${i}]`, what, `${a[i]} and ${b?.[i]}`, todo);
    return;
  }
}
