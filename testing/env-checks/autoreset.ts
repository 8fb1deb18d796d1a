import type { Info } from '../../core/types.js';
import type { VectorStepResult } from '../../envs/vector-env.js';
import type { Report } from '../findings.js';
import { reportMisfits } from '../spaces.js';
import { copied, difference, isPlainObject, show } from '../values.js';
import { reportUnlike } from './determinism.js';
import { isStep } from './driver.js';
import { everyPart, reportParts } from './results.js';
import type { EnvCheck } from './trial.js';
import { type End, ended, type VectorDriver } from './vector-driver.js';

// Who resets a finished environment of a vector environment, and when: its mode of autoreset, or the caller by a mask.

/** What a vector step says of one environment. */
export function entry({ observations, rewards, terminated, truncated }: VectorStepResult<unknown>, i: number) {
  return { observation: observations[i], reward: rewards[i], terminated: terminated[i], truncated: truncated[i] };
}

export const maskCheck: EnvCheck<VectorDriver> = {
  name: 'mask',
  title: 'resets the environments of a mask, and no other',
  async run({ driver, report }) {
    const { env, size } = driver;
    if (driver.lockstep) return;
    await driver.reset({ seed: 1 });
    for (const mask of [new Uint8Array(size + 1).fill(1), new Uint8Array(size)])
      await report.refusal(
        `reset({ mask: [${mask}] })`,
        'throw a GymError E_VALUE unless the mask has one entry an environment, and a 1',
        () => env.reset({ mask }),
      );
    const reference = await driver.play(6, { seed: 1 });
    const before = await driver.play(3, { seed: 1, actions: reference.actions });
    const mask = new Uint8Array(size);
    mask[0] = 1;
    const { observations } = await driver.reset({ mask });
    const last = before.moments.at(-1)!;
    const after = await driver.goOn(3, { actions: reference.actions.slice(3) });
    const rest = reference.moments.filter(isStep).slice(3);
    const where = `reset({ mask: [${mask}] })`;
    for (let i = 1; i < size; i++) {
      const found = difference(last.observations[i], observations[i], `observations[${i}]`);
      if (found)
        report.fail(
          `${where}: ${found.path}`,
          'it is not the last observation of an environment that the mask leaves out',
          found.actual,
          'leave those environments alone, and return their last observations',
        );
      for (const [t, step] of after.moments.filter(isStep).entries()) {
        const other = difference(entry(rest[t]!, i), entry(step, i));
        if (other)
          report.fail(
            `step ${t + 1} after ${where}: environment ${i}, ${other.path}`,
            'an environment that the mask leaves out goes another way than without the reset',
            other.actual,
            'leave those environments alone',
          );
      }
    }
  },
};

export const autoresetCheck: EnvCheck<VectorDriver> = {
  name: 'autoreset',
  title: 'gives valid results to the end of an episode, and resets finished environments as its mode says',
  async run({ driver, report, subject }) {
    await driver.reset({ seed: 1 });
    const before = report.findings.length;
    const end = await driver.untilEnd(subject.maxSteps, (result, t) => {
      if (report.findings.length === before) reportParts(driver, `step ${t}`, result, everyPart);
    });
    if (!end) return;
    const mode = driver.env.autoreset;
    await { 'next-step': nextStep, 'same-step': sameStep, disabled }[mode](driver, report, end);
  },
};

/** The step after the end ignores its action, and returns the reset's observation with reward 0. */
async function nextStep(driver: VectorDriver, report: Report, { result, actions }: End): Promise<void> {
  const i = ended(result).indexOf(1);
  const taken = driver.action();
  const after = copied(await driver.step(copied(taken)));
  const { observation: _, ...rest } = entry(after, i);
  const found = difference({ reward: 0, terminated: 0, truncated: 0 }, rest);
  if (found)
    report.fail(
      `the step after the end of environment ${i}: ${found.path}`,
      "under 'next-step' this step is a reset: reward 0, no end",
      found.actual,
      'reset the environment in the step after its end, and return 0, 0 and 0 with its first observation',
    );
  // The same once more, with another action in the step of the reset.
  await driver.reset({ seed: 1 });
  for (const list of actions) await driver.step(list);
  let changed = driver.action();
  for (let tries = 0; tries < 20 && !difference(taken[i], changed[i]); tries++) changed = driver.action();
  const other = await driver.step(changed);
  const differs = difference(after.observations[i], other.observations[i], `observations[${i}]`);
  if (differs)
    report.error(
      `the step after the end of environment ${i}: ${differs.path}`,
      "under 'next-step' this step ignores its action, and it does not",
      differs.actual,
      'reset the environment in this step, and drop the action',
    );
}

/**
 * The step of the end returns the reset's observation; the last one of the episode is in `infos[i].finalObservation`.
 */
async function sameStep(driver: VectorDriver, report: Report, { result }: End): Promise<void> {
  const over = ended(result);
  for (let i = 0; i < over.length; i++) {
    const where = `the step of the end: infos[${i}]`;
    const info: Info = isPlainObject(result.infos[i]) ? result.infos[i]! : {};
    const named = ['finalObservation', 'finalInfo'].filter((key) => Object.hasOwn(info, key));
    if (over[i] === 0) {
      if (named.length > 0)
        report.error(where, `the episode goes on, and it has ${named}`, show(info), 'set them where an episode ends');
      continue;
    }
    if (named.length < 2) {
      report.error(
        where,
        "under 'same-step' it must have finalObservation and finalInfo",
        `keys ${Object.keys(info).join(', ') || '(none)'}`,
        'put the last observation and info of the ended episode there',
      );
      continue;
    }
    const todo = 'put the last observation of the ended episode there';
    reportMisfits(report, `${where}.finalObservation`, driver.env.observationSpace, info.finalObservation, todo);
    if (!isPlainObject(info.finalInfo))
      report.error(`${where}.finalInfo`, 'it must be a plain object', show(info.finalInfo), 'put the last info there');
  }
}

/** Only the caller resets, and until then every step is an error. */
async function disabled(driver: VectorDriver, report: Report, { result }: End): Promise<void> {
  await report.refusal(
    'step() after the end of an episode',
    "under 'disabled' throw a GymError E_STATE that names the environments to reset",
    () => driver.env.step(driver.action()),
  );
  await driver.resetEnded(result);
  await driver.step();
}

export const pendingResetCheck: EnvCheck<VectorDriver> = {
  name: 'pending-reset',
  title: 'begins anew at a reset, whatever ended before',
  async run({ driver, subject }) {
    const fresh = await driver.play(4, { seed: 2 });
    await driver.reset({ seed: 1 });
    if (!(await driver.untilEnd(subject.maxSteps))) return;
    const again = await driver.play(4, { seed: 2, actions: fresh.actions });
    reportUnlike(
      driver,
      fresh.moments,
      again.moments,
      'after an episode ended, reset({ seed }) is followed by another episode than otherwise',
      'a reset by the caller must end a pending autoreset',
    );
  },
};

export const horizonCheck: EnvCheck<VectorDriver> = {
  name: 'horizon',
  title: 'ends every episode after `horizon` steps, where it says so',
  async run({ driver, report }) {
    const { horizon, numEnvs, autoreset } = driver.env;
    if (horizon === undefined) return;
    const lengths = new Int32Array(numEnvs);
    const idle = new Uint8Array(numEnvs); // 1 where the next step is a reset
    const { moments } = await driver.play(2 * horizon + 2, { seed: 1 });
    for (const moment of moments.filter(isStep)) {
      const over = ended(moment);
      for (let i = 0; i < numEnvs; i++) {
        if (idle[i]) {
          idle[i] = 0;
          continue;
        }
        lengths[i]!++;
        if (over[i] !== 1 && lengths[i]! < horizon) continue;
        if (over[i] !== 1 || lengths[i] !== horizon)
          report.fail(
            `${moment.where}: environment ${i}`,
            `its episode must end after ${horizon} steps, the horizon`,
            over[i] === 1 ? `it ended after ${lengths[i]}` : `it goes on after ${lengths[i]}`,
            'leave `horizon` out where episodes differ in length',
          );
        lengths[i] = 0;
        idle[i] = autoreset === 'next-step' ? 1 : 0;
      }
    }
  },
};
