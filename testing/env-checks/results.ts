import type { Report } from '../findings.js';
import { reportMisfits } from '../spaces.js';
import { cycle, isPlainObject, show } from '../values.js';
import type { Driver, Part } from './driver.js';
import type { EnvCheck } from './trial.js';

export const resetCheck: EnvCheck = {
  name: 'reset',
  title: 'resets with and without seed and options, and returns what a reset must',
  async run({ driver }) {
    for (const options of [undefined, {}, { seed: 1 }, { seed: 0, options: {} }]) await driver.reset(options);
  },
};

export const stepCheck: EnvCheck = {
  name: 'step',
  title: 'steps with any action of its space, and returns what a step must',
  async run({ driver, subject }) {
    await driver.play(subject.steps, { seed: 1 });
  },
};

/** Reports what is wrong with one value that a call returned for one environment. */
type Ask = (report: Report, where: string, value: unknown, driver: Driver) => void;

function askObservation(report: Report, where: string, value: unknown, { env }: Driver): void {
  reportMisfits(report, where, env.observationSpace, value);
}

function askReward(report: Report, where: string, value: unknown): void {
  if (typeof value !== 'number')
    report.error(where, 'it must be a number', `${show(value)} (${typeof value})`, 'return a plain number');
  else if (!Number.isFinite(value))
    report.error(where, 'it must be finite', show(value), 'find the division or logarithm that gives this');
}

function askFlag(report: Report, where: string, value: unknown, { flag }: Driver): void {
  if (!flag.is(value)) report.error(where, flag.what, `${show(value)} (${typeof value})`, flag.todo);
}

function askInfo(report: Report, where: string, value: unknown): void {
  if (!isPlainObject(value))
    report.error(where, 'it must be a plain object', show(value), 'return {} where there is nothing to say');
  const circular = cycle(value);
  if (circular !== undefined)
    report.warning(
      `${where}${circular}`,
      'it contains itself, so it cannot be written as JSON',
      show(value),
      'say what is meant by plain values',
    );
}

const askOf: Record<Part, Ask> = {
  observation: askObservation,
  reward: askReward,
  terminated: askFlag,
  truncated: askFlag,
  info: askInfo,
};

/**
 * Reports what is wrong with these parts of a result, of the first environment with which something is.
 * @returns whether something was.
 */
export function reportParts(driver: Driver, where: string, result: object, parts: readonly Part[]): boolean {
  const { report } = driver;
  const before = report.findings.length;
  for (let i = 0; i < driver.size; i++) {
    for (const part of parts) {
      const { name, value } = driver.part(result, part, i);
      askOf[part](report, `${where}: ${name}`, value, driver);
    }
    if (report.findings.length > before) return true;
  }
  return false;
}

/** All parts of the result of a step. */
export const everyPart = Object.keys(askOf) as Part[];

/** Plays, and asks about parts of each result until a finding: one is enough to see what is wrong. */
async function askPlay(driver: Driver, steps: number, parts: readonly Part[]) {
  const { moments } = await driver.play(steps, { seed: 1 });
  for (const moment of moments) {
    const there = parts.filter((part) => Object.hasOwn(moment, driver.keys[part])); // a reset has no reward
    if (reportParts(driver, moment.where, moment, there)) break;
  }
  return moments;
}

export const observationCheck: EnvCheck = {
  name: 'observation',
  title: 'observes elements of its space',
  async run({ driver, subject }) {
    await askPlay(driver, subject.steps, ['observation']);
  },
};

export const rewardCheck: EnvCheck = {
  name: 'reward',
  title: 'gives finite numbers as rewards',
  async run({ driver, subject }) {
    await askPlay(driver, subject.steps, ['reward']);
  },
};

export const flagsCheck: EnvCheck = {
  name: 'flags',
  title: 'says whether an episode is terminated or truncated, and cuts none at its first step',
  async run({ driver, report, subject }) {
    const moments = await askPlay(driver, subject.steps, ['terminated', 'truncated']);
    const first = moments[1];
    if (first === undefined || driver.env.spec?.maxEpisodeSteps === 1) return;
    for (let i = 0; i < driver.size; i++) {
      const { name, value } = driver.part(first, 'truncated', i);
      if (driver.flag.is(value) && value)
        report.error(
          `step 1: ${name}`,
          'an episode is cut at its first step',
          show(value),
          'count steps from each reset; an end that is part of the task is `terminated`',
        );
    }
  },
};

export const infoCheck: EnvCheck = {
  name: 'info',
  title: 'gives plain objects as infos',
  async run({ driver, subject }) {
    await askPlay(driver, subject.steps, ['info']);
  },
};
