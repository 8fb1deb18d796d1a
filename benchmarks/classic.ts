import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { table } from '../cli/table.js';
import { GymError } from '../core/errors.js';
import type { RunConfigInput } from '../training/index.js';
import type { Trained } from './classic-worker.js';

export interface ClassicOptions {
  seeds: readonly number[];
  /** Rows of the table, as `environment/agent`; default: all. */
  only?: readonly string[];
  /** Processes at once; default: one for each core. */
  jobs?: number;
  json?: boolean;
}

/** What a row of the table has to reach, and in how many of five seeds. */
interface Bar {
  readonly mean: number;
  readonly of5: number;
}

/** An environment (`Identity-v0` by the kind of its spaces), an agent, and the bar, if there is one. */
const rows: readonly (readonly [env: string, agent: string, bar: Bar])[] = [
  ['CartPole-v1', 'ppo', { mean: 475, of5: 5 }],
  ['CartPole-v1', 'a2c', { mean: 400, of5: 4 }],
  ['CartPole-v1', 'reinforce', { mean: 400, of5: 4 }],
  ['Pendulum-v1', 'ppo', { mean: -250, of5: 4 }],
  ['Acrobot-v1', 'ppo', { mean: -100, of5: 4 }],
  ['MountainCar-v0', 'ppo', { mean: -130, of5: 4 }],
  ['MountainCarContinuous-v0', 'ppo', { mean: 90, of5: 3 }],
  ...['discrete', 'multidiscrete', 'multibinary'].flatMap((kind) =>
    ['ppo', 'a2c', 'reinforce'].map((agent) => [`Identity-v0:${kind}`, agent, { mean: 90, of5: 5 }] as const),
  ),
  // 1200 steps are too few for a single update a rollout to find a mean of two numbers.
  ['Identity-v0:box', 'ppo', { mean: 90, of5: 5 }],
];

/** How many fixed episodes a trained policy is asked for. */
const episodes = 100;

/**
 * Trains with the settings of the package, each seed, and gives the mean of 100 fixed evaluation episodes of each trained
 * policy's mode. The runs are shared out to processes of one thread.
 */
export async function classic({ seeds, only, jobs = availableParallelism(), json }: ClassicOptions): Promise<void> {
  const names = rows.map(([env, agent]) => `${env}/${agent}`);
  const unknown = only?.find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new GymError('E_NAME', `classic: no row \`${unknown}\`; there are ${names.join(', ')}.`);
  const wanted = rows.filter((_, i) => only === undefined || only.includes(names[i]!));
  const queue = wanted.flatMap(([env, agent]) => seeds.map((seed) => ({ env, agent, seed })));
  const results: Record<string, Record<string, Record<string, number>>> = {};
  const steps = new Map<string, number>();
  const work = async () => {
    const worker = startWorker();
    for (let run = queue.shift(); run !== undefined; run = queue.shift()) {
      const { env, agent, seed } = run;
      const { mean, envSteps, seconds, failure } = await worker.train(configOf(env, agent, seed));
      if (mean === undefined || failure !== undefined) throw new Error(`${env}/${agent}, seed ${seed}: ${failure}`);
      results[env] ??= {};
      results[env][agent] ??= {};
      results[env][agent][seed] = mean;
      steps.set(`${env}/${agent}`, envSteps!);
      process.stderr.write(`${env}/${agent} seed ${seed}: ${mean.toFixed(1)} (${seconds!.toFixed(0)} s)\n`);
    }
    worker.end();
  };
  await Promise.all(Array.from({ length: Math.min(jobs, queue.length) }, work));
  if (json) process.stdout.write(`${JSON.stringify(results, null, 1)}\n`);
  else
    process.stdout.write(
      `${table([
        ['environment/agent', 'steps', ...seeds.map((seed) => `seed ${seed}`), 'bar', 'reached'],
        ...wanted.map(([env, agent, bar]) => {
          const means = seeds.map((seed) => results[env]![agent]![seed]!);
          const reached = means.filter((mean) => mean >= bar.mean).length;
          return [
            ...[`${env}/${agent}`, String(steps.get(`${env}/${agent}`)), ...means.map((mean) => mean.toFixed(1))],
            ...[`${bar.mean}, ${bar.of5} of 5`, `${reached} of ${seeds.length}`],
          ];
        }),
      ])}\n`,
    );
}

function configOf(name: string, agent: string, seed: number): RunConfigInput {
  const [env, kind] = name.split(':');
  return {
    ...{ env, agent, seed, ...(kind !== undefined && { envOptions: { kind } }) },
    ...{ evaluation: { samples: episodes, explore: false }, checkpointEvery: 1_000_000 },
  };
}

/** A process that trains one configuration after the other. */
export function startWorker(): { train(config: RunConfigInput): Promise<Trained>; end(): void } {
  const child = fork(fileURLToPath(new URL('./classic-worker.ts', import.meta.url)), {
    execArgv: ['--no-warnings', '--import', new URL('../register.mjs', import.meta.url).href],
    env: { ...process.env, TF_NUM_INTRAOP_THREADS: '1' },
  });
  return {
    train: (config) =>
      new Promise((resolve, reject) => {
        const ended = (code: number | null) => reject(new Error(`the process that trains ended with ${code}`));
        child.once('exit', ended);
        child.once('message', (message) => {
          child.off('exit', ended);
          resolve(message as Trained);
        });
        child.send(config);
      }),
    end: () => child.disconnect(),
  };
}
