import { join } from 'node:path';
import { GymError } from '../../core/errors.js';
import { completeConfig, type RunConfig, withFlags } from '../config/index.js';
import { slug } from '../config/parse.js';

/** What a benchmark varies. */
export interface Matrix {
  /** Names, or paths of files. */
  readonly agents: readonly string[];
  readonly envs: readonly string[];
  readonly seeds: readonly number[];
  /** Options by dotted path, each with the values that it takes: a dimension each. */
  readonly vary: Readonly<Record<string, readonly unknown[]>>;
  /** Options that are the same for all runs, by dotted path. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** One run of a benchmark. */
export interface Cell {
  /** The run's name; its folder's in `runs/`. */
  readonly name: string;
  readonly env: string;
  readonly agent: string;
  readonly seed: number;
  /** Its value of each option that is varied. */
  readonly varied: Readonly<Record<string, unknown>>;
  readonly config: RunConfig;
}

/**
 * Every run of a matrix, in a fixed order, with its complete configuration.
 * @param out the benchmark's folder.
 * @throws GymError E_CONFIG, E_NAME with the run that is wrong.
 */
export async function cellsOf(matrix: Matrix, out: string): Promise<Cell[]> {
  for (const [what, values] of [
    ['agents', matrix.agents],
    ['envs', matrix.envs],
    ['seeds', matrix.seeds],
    ...Object.entries(matrix.vary),
  ] as const) {
    if (values.length === 0) throw new GymError('E_CONFIG', `benchmark: ${what} is an empty list; name at least one.`);
    const twice = values.find((value, i) => values.findIndex((v) => same(v, value)) !== i);
    if (twice !== undefined)
      throw new GymError('E_CONFIG', `benchmark: ${what} has ${JSON.stringify(twice)} twice; name each once.`);
  }
  const cells: Cell[] = [];
  for (const env of matrix.envs)
    for (const varied of product(matrix.vary))
      for (const agent of matrix.agents)
        for (const seed of matrix.seeds) {
          const parts = [
            env.slice(env.lastIndexOf(':') + 1),
            agent,
            ...Object.entries(varied).map(([path, value]) => `${path.split('.').at(-1)}-${JSON.stringify(value)}`),
            `seed-${seed}`,
          ];
          const name = parts.map(slug).join('-');
          const options = Object.fromEntries(
            Object.entries(matrix.options).filter(([path]) => path !== 'agent' && path !== 'env' && path !== 'seed'),
          );
          const input = withFlags(
            { env, agent: { name: agent }, seed, name, runs: join(out, 'runs') },
            { ...options, ...varied },
          );
          const config = await completeConfig(input, `benchmark, ${name}`);
          cells.push({ name, env, agent, seed, varied, config });
        }
  const names = cells.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    throw new GymError(
      'E_CONFIG',
      `benchmark: two runs would be called ${twice}; give files and options names that differ.`,
    );
  return cells;
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Every combination of the values of some options. */
function product(vary: Matrix['vary']): Record<string, unknown>[] {
  return Object.entries(vary).reduce<Record<string, unknown>[]>(
    (combinations, [path, values]) => combinations.flatMap((one) => values.map((value) => ({ ...one, [path]: value }))),
    [{}],
  );
}
