import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { useBackend } from '../backend/index.js';
import { startWorker } from './classic.js';
import { median, print } from './print.js';

export interface Sb3Options {
  python: string;
  steps: number;
  rounds: number;
  json?: boolean;
}

/** The hyperparameters that `sb3/train.py` has, too. */
const zoo = {
  env: 'CartPole-v1',
  numEnvs: 8,
  evaluation: { samples: 0 },
  checkpointEvery: 1_000_000,
  policy: { hidden: [64, 64], activation: 'tanh' },
  agent: {
    ...{ name: 'ppo', collect: { steps: 32 }, innerEpochs: 20, minibatches: 1, gamma: 0.98, gaeLambda: 0.8 },
    ...{ learningRate: { from: 1e-3, to: 0 }, clipRange: { from: 0.2, to: 1e-9 }, entropyCoefficient: 0 },
  },
};

/**
 * The wall time of PPO on CartPole-v1 here and in stable-baselines3, each on one thread in a process of its own, one after
 * the other and again, so that both meet the same moods of the machine. Starting the processes is not counted.
 */
export async function sb3({ python, steps, rounds, json }: Sb3Options): Promise<void> {
  const program = fileURLToPath(new URL('./sb3/train.py', import.meta.url));
  const theirs = async (seed: number): Promise<number> => {
    const env = { ...process.env, OMP_NUM_THREADS: '1', MKL_NUM_THREADS: '1' };
    const { stdout } = await promisify(execFile)(python, [program, String(steps), String(seed)], { env });
    return (JSON.parse(stdout.trim().split('\n').at(-1)!) as { seconds: number }).seconds;
  };
  // The whole run, with its folder and its report.
  const ours = async (seed: number): Promise<number> => {
    const worker = startWorker();
    const { seconds, failure } = await worker.train({ ...zoo, seed, totalSteps: steps });
    worker.end();
    if (seconds === undefined) throw new Error(failure);
    return seconds;
  };
  const rows: Record<string, number>[] = [];
  for (let seed = 0; seed < rounds; seed++) {
    const own = await ours(seed);
    const other = await theirs(seed);
    process.stderr.write(`round ${seed + 1}: ${own.toFixed(1)} s here, ${other.toFixed(1)} s there\n`);
    rows.push({ round: seed + 1, 'denoise-gym, s': own, 'stable-baselines3, s': other, ratio: own / other });
  }
  const middle = (key: string) => median(rows.map((row) => row[key]!));
  rows.push({
    ...{ round: Number.NaN, 'denoise-gym, s': middle('denoise-gym, s') },
    ...{ 'stable-baselines3, s': middle('stable-baselines3, s'), ratio: middle('ratio') },
  });
  const named = rows.map((row) => ({ ...row, round: Number.isNaN(row.round) ? 'median' : String(row.round) }));
  print('sb3', await useBackend(), { steps, rounds }, named, json);
}
