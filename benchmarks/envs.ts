import { table } from '../cli/table.js';
import { isPromiseLike } from '../core/types.js';
import { make, makeVec, makeWorkerVec } from '../envs/index.js';
import type { VectorEnv } from '../envs/vector-env.js';
import { digits, median } from './print.js';

export interface EnvsOptions {
  seconds: number;
  repeats: number;
  json?: boolean;
}

const ids = ['CartPole-v1', 'MountainCar-v0', 'MountainCarContinuous-v0', 'Pendulum-v1', 'Acrobot-v1'] as const;
/** Actions are drawn before the clock runs: what is measured is the environment. */
const drawn = 1024;

/** Steps a second until `seconds` are over, looking at the clock every 256 steps. */
async function rate(seconds: number, steps: (count: number) => void | Promise<void>, each: number): Promise<number> {
  await steps(256); // warm-up
  const started = performance.now();
  let done = 0;
  while (performance.now() - started < seconds * 1000) {
    const running = steps(256);
    if (running) await running;
    done += 256 * each;
  }
  return (done / (performance.now() - started)) * 1000;
}

async function single(id: string, seconds: number): Promise<number> {
  const env = await make(id);
  const actions = Array.from({ length: drawn }, () => env.actionSpace.sample());
  await env.reset({ seed: 0 });
  let k = 0;
  return await rate(
    seconds,
    (count) => {
      for (let i = 0; i < count; i++) {
        const result = env.step(actions[k++ % drawn]!);
        if (isPromiseLike(result)) throw new Error(`${id} is asynchronous`);
        if (result.terminated || result.truncated) env.reset();
      }
    },
    1,
  );
}

async function vector(env: VectorEnv<unknown, unknown>, seconds: number): Promise<number> {
  const actions = Array.from({ length: drawn }, () =>
    Array.from({ length: env.numEnvs }, () => env.actionSpace.sample()),
  );
  await env.reset({ seed: 0 });
  let k = 0;
  return await rate(
    seconds,
    async (count) => {
      for (let i = 0; i < count; i++) {
        const result = env.step(actions[k++ % drawn]!);
        if (isPromiseLike(result)) await result;
      }
    },
    env.numEnvs,
  );
}

/** Environment steps a second through `make` and `makeVec` with their default wrappers, resets included. */
export async function envs({ seconds, repeats, json }: EnvsOptions): Promise<void> {
  const results: Record<string, { single: number; sync64: number; worker64: number }> = {};
  for (const id of ids) {
    const measured: { single: number; sync64: number; worker64: number }[] = [];
    const sync = await makeVec(id, 64);
    const worker = await makeWorkerVec(id, 64);
    for (let i = 0; i < repeats; i++)
      measured.push({
        single: await single(id, seconds),
        sync64: await vector(sync as VectorEnv<unknown, unknown>, seconds),
        worker64: await vector(worker as unknown as VectorEnv<unknown, unknown>, seconds),
      });
    await sync.close?.();
    await worker.close();
    const middle = (key: 'single' | 'sync64' | 'worker64') => Math.round(median(measured.map((m) => m[key])));
    results[id] = { single: middle('single'), sync64: middle('sync64'), worker64: middle('worker64') };
  }
  if (json) process.stdout.write(`${JSON.stringify(results)}\n`);
  else {
    const rows = Object.entries(results).map(([id, r]) => [id, ...Object.values(r).map(digits)]);
    process.stdout.write(`${table([['steps/s', 'single', 'sync64', 'worker64'], ...rows])}\n`);
  }
}
