import type { Awaitable } from '../../core/types.js';
import type { Env } from '../../envs/env.js';
import type { VectorEnv } from '../../envs/vector-env.js';
import type { Report } from '../findings.js';
import { copied, difference } from '../values.js';
import { entry } from './autoreset.js';
import { closeQuietly, type EnvCheck, type Subject } from './trial.js';
import type { VectorDriver } from './vector-driver.js';

/** A vector environment, and what makes the single environment that it is many of. */
interface WithSingle extends Subject<VectorEnv<unknown, unknown>, unknown> {
  readonly single?: () => Awaitable<Env<unknown, unknown>>;
}

export const singleCheck: EnvCheck<VectorDriver, WithSingle> = {
  name: 'single',
  title: 'does what single environments do',
  async run({ driver, report, subject: { single, steps } }) {
    if (!single) return;
    const envs: Env<unknown, unknown>[] = [];
    try {
      for (let i = 0; i < driver.size; i++) envs.push(await report.attempt('single', single));
      await compareWithSingles(driver, report, envs, steps);
    } finally {
      for (const one of envs) await closeQuietly(one);
    }
  },
};

/** Steps a vector environment and as many single ones side by side. */
async function compareWithSingles(
  driver: VectorDriver,
  report: Report,
  envs: readonly Env<unknown, unknown>[],
  steps: number,
): Promise<void> {
  const { autoreset } = driver.env;
  const compare = (where: string, expected: unknown, actual: unknown) => {
    const found = difference(expected, actual);
    if (!found) return;
    const words = [
      `${where}: ${found.path}`,
      'it is not what a single environment gives',
      `${found.actual} (the single one's first)`,
      'make both of the same dynamics, seeds and autoreset',
    ] as const;
    if (found.close) report.warning(...words);
    else report.fail(...words);
  };
  const seed = 7;
  const firsts = await driver.reset({ seed });
  for (const [i, env] of envs.entries()) {
    const { observation } = await report.attempt('single: reset()', () => env.reset({ seed: seed + i }));
    compare(`reset, environment ${i}`, { observation }, { observation: firsts.observations[i] });
  }
  const pending = new Uint8Array(envs.length); // 1 where the next step is a reset
  for (let t = 1; t <= steps; t++) {
    const actions = driver.action();
    const result = await driver.step(copied(actions));
    const over = new Uint8Array(envs.length);
    const resets: unknown[] = []; // the observation of the single one's reset, where its episode ended
    for (const [i, env] of envs.entries()) {
      const where = `step ${t}, environment ${i}`;
      const actual = entry(result, i);
      if (pending[i] === 1) {
        pending[i] = 0;
        const { observation } = await report.attempt('single: reset()', () => env.reset());
        compare(where, { observation, reward: 0, terminated: 0, truncated: 0 }, actual);
        continue;
      }
      const one = await report.attempt('single: step()', () => env.step(actions[i]));
      over[i] = one.terminated || one.truncated ? 1 : 0;
      const flags = { reward: one.reward, terminated: Number(one.terminated), truncated: Number(one.truncated) };
      if (over[i] === 0 || autoreset !== 'same-step')
        compare(where, { observation: one.observation, ...flags }, actual);
      if (over[i] === 0) continue;
      if (autoreset === 'next-step') pending[i] = 1;
      else resets[i] = (await report.attempt('single: reset()', () => env.reset())).observation;
      if (autoreset === 'same-step') {
        compare(where, { observation: resets[i], ...flags }, actual);
        const { finalObservation } = result.infos[i]!;
        compare(where, { finalObservation: one.observation }, { finalObservation });
      }
    }
    if (autoreset !== 'disabled' || !over.includes(1)) continue;
    const { observations } = await driver.resetEnded(result);
    for (const [i, observation] of resets.entries())
      if (over[i] === 1)
        compare(`the reset after step ${t}, environment ${i}`, { observation }, { observation: observations[i] });
  }
}
