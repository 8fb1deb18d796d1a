import { Random } from '../../core/random.js';
import { mean } from '../../core/statistics.js';
import { readEvaluations } from '../evaluation/index.js';
import { RunFolder } from '../run-folder/index.js';
import type { Cell } from './matrix.js';
import { type Interval, interquartileMean, probabilityOfImprovement, withInterval } from './statistics.js';

/** What one run of a benchmark came to. */
export interface RunOutcome {
  readonly name: string;
  readonly env: string;
  readonly agent: string;
  readonly seed: number;
  readonly varied: Readonly<Record<string, unknown>>;
  /** `unfinished`: it goes on, or it was stopped or killed, and the same command goes on with it. */
  readonly state: 'finished' | 'failed' | 'unfinished' | 'missing';
  /** Why it failed, or what it is instead of finished. */
  readonly message?: string;
  /** The mean of the last evaluation; without evaluations, of the last tenth of the epochs' rewards. */
  readonly score?: number;
  /** The mean before training, where it was evaluated. */
  readonly before?: number;
  readonly envSteps?: number;
  readonly rewardQueries?: number;
  /** Seconds of all epochs. */
  readonly seconds?: number;
  /** The reward over the run: [epoch, environment steps, reward queries, seconds, mean reward]. */
  readonly curve: readonly (readonly [number, number, number, number, number])[];
}

/** The runs of one algorithm (an agent with its varied options) on one environment. */
export interface Row {
  readonly env: string;
  readonly algorithm: string;
  readonly runs: number;
  /** How many are not finished, and so have no score. */
  readonly failed: number;
  /** Of the scores; this and the next three are absent where there is none. */
  readonly mean?: number;
  /** Interquartile mean with its 95 % interval. */
  readonly iqm?: Interval;
  readonly min?: number;
  readonly max?: number;
  /** Mean seconds of a run; absent where none has begun. */
  readonly seconds?: number;
}

/** How likely one algorithm is better than another, over all environments on which both have finished runs. */
export interface Comparison {
  readonly first: string;
  readonly second: string;
  readonly envs: number;
  readonly probability: Interval;
}

/** What `results.json` holds. */
export interface BenchmarkResults {
  readonly command: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly backend: string;
  readonly updated: string;
  readonly runs: readonly RunOutcome[];
  readonly rows: readonly Row[];
  readonly comparisons: readonly Comparison[];
}

/** An agent with its values of the varied options. */
export function algorithmOf({ agent, varied }: Pick<RunOutcome, 'agent' | 'varied'>): string {
  const options = Object.entries(varied).map(([path, value]) => `${path.split('.').at(-1)} ${JSON.stringify(value)}`);
  return options.length === 0 ? agent : `${agent} (${options.join(', ')})`;
}

/**
 * Reads what a run has come to from its folder.
 * @param run what it is, as the table names it.
 * @param path its folder.
 * @param failure why it failed in this process, if it did.
 */
export async function outcomeOf(
  { name, env, agent, seed, varied }: Omit<Cell, 'config'>,
  path: string,
  failure?: string,
): Promise<RunOutcome> {
  const base = { name, env, agent, seed, varied };
  let folder: RunFolder;
  try {
    folder = RunFolder.open(path);
  } catch {
    return {
      ...base,
      state: failure === undefined ? 'missing' : 'failed',
      ...(failure && { message: failure }),
      curve: [],
    };
  }
  const [metrics, status, evaluations] = [await folder.metrics(), await folder.status(), await readEvaluations(path)];
  let seconds = 0;
  const curve = metrics.flatMap((m): [number, number, number, number, number][] => {
    seconds += m['time/epoch'] ?? 0;
    const reward = m['reward/mean'];
    return reward === undefined ? [] : [[m.epoch!, m.envSteps!, m.rewardQueries!, seconds, reward]];
  });
  const finished = status?.state === 'finished';
  const hasFailed = failure !== undefined || status?.state === 'failed' || status?.state === 'diverged';
  const last = metrics.at(-1);
  const message = failure ?? status?.message ?? (finished ? undefined : (status?.state ?? 'not begun'));
  const rewards = curve.map((point) => point[4]);
  const evaluated = evaluations.at(-1);
  const score =
    evaluated && evaluations.length > 1 ? evaluated.mean : mean(rewards.slice(-Math.ceil(rewards.length / 10)));
  return {
    ...base,
    state: finished ? 'finished' : hasFailed ? 'failed' : 'unfinished',
    ...(!finished && message !== undefined && { message }),
    ...(finished && { score }),
    ...(evaluations.length > 1 && { before: evaluations[0]!.mean }),
    ...(last && { envSteps: last.envSteps!, rewardQueries: last.rewardQueries!, seconds }),
    curve,
  };
}

/** The table of a benchmark: a row for each algorithm on each environment. */
export function rowsOf(runs: readonly RunOutcome[]): Row[] {
  return grouped(runs, ({ env, ...run }) => JSON.stringify([env, algorithmOf(run)])).map((group) => {
    const { env } = group[0]!;
    const scores = group.flatMap(({ score }) => score ?? []);
    const seconds = group.flatMap((run) => run.seconds ?? []);
    const algorithm = algorithmOf(group[0]!);
    return {
      env,
      algorithm,
      runs: scores.length,
      failed: group.length - scores.length,
      ...(scores.length > 0 && {
        mean: mean(scores),
        iqm: withInterval([[scores]], interquartileMean, new Random(`${env}/${algorithm}`)),
        min: Math.min(...scores),
        max: Math.max(...scores),
      }),
      ...(seconds.length > 0 && { seconds: mean(seconds) }),
    };
  });
}

/** Each pair of algorithms, over the environments on which both have finished runs. */
export function comparisonsOf(runs: readonly RunOutcome[]): Comparison[] {
  const algorithms = [...new Set(runs.map(algorithmOf))];
  const envs = [...new Set(runs.map(({ env }) => env))];
  const scoresOf = (algorithm: string, env: string) =>
    runs.filter((run) => run.env === env && algorithmOf(run) === algorithm).flatMap(({ score }) => score ?? []);
  return algorithms.flatMap((first, i) =>
    algorithms.slice(i + 1).flatMap((second) => {
      const both = envs.filter((env) => scoresOf(first, env).length > 0 && scoresOf(second, env).length > 0);
      if (both.length === 0) return [];
      const scores = [first, second].map((algorithm) => both.map((env) => scoresOf(algorithm, env)));
      const random = new Random(`${first}/${second}`);
      return [
        { first, second, envs: both.length, probability: withInterval(scores, probabilityOfImprovement, random) },
      ];
    }),
  );
}

/** Things in groups by a key, in the order in which the keys first appear. */
export function grouped<T>(items: readonly T[], keyOf: (item: T) => string): T[][] {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return [...groups.values()];
}
