import { type NdArray, sizeOf } from '../../core/ndarray.js';
import type { StepResult } from '../../envs/env.js';
import { Box } from '../../envs/spaces/box.js';
import { Discrete } from '../../envs/spaces/discrete.js';
import type { Space } from '../../envs/spaces/space.js';
import { isPlainObject, show } from '../values.js';
import type { Driver } from './driver.js';
import { everyPart, reportParts } from './results.js';
import type { SingleDriver } from './single-driver.js';
import type { EnvCheck } from './trial.js';
import type { VectorDriver } from './vector-driver.js';

// Calls that an agent with a mistake in it makes. An environment should refuse them; if it answers, its answer must be
// valid, since NaN or an observation outside the space would spoil what is learned from it.

/** Values that are no actions, and whether an environment may clip them into the space. */
function badActions(space: Space<unknown>): [action: unknown, mayClip: boolean][] {
  const actions: [unknown, boolean][] = [
    [undefined, false],
    ['up', false],
    [Number.NaN, false],
  ];
  if (space instanceof Discrete)
    actions.push([space.start - 1, false], [space.start + space.n, false], [space.start + 0.5, false]);
  if (space instanceof Box) {
    const type = space.low.constructor as new (length: number) => NdArray['data'];
    const filled = (value: number, shape: readonly number[]) => ({ data: new type(sizeOf(shape)).fill(value), shape });
    actions.push([filled(0, [...space.shape, 2]), false]);
    if (Number.isNaN(new type(1).fill(Number.NaN)[0])) actions.push([filled(Number.NaN, space.shape), false]);
    if (space.isBounded()) actions.push([filled(Math.max(...space.high) + 1, space.shape), true]);
  }
  return actions.filter(([action]) => !space.contains(action));
}

/** Whether a step gave finite rewards and observations of the space. */
function isValid(driver: Driver, result: unknown): result is object {
  if (!isPlainObject(result)) return false;
  for (let i = 0; i < driver.size; i++) {
    if (!Number.isFinite(driver.part(result, 'reward', i).value)) return false;
    if (!driver.env.observationSpace.contains(driver.part(result, 'observation', i).value)) return false;
  }
  return true;
}

export const badActionCheck: EnvCheck<SingleDriver> = {
  name: 'bad-action',
  title: 'refuses an action outside its space, or answers it with a valid result',
  async run({ driver, report }) {
    for (const [action, mayClip] of badActions(driver.env.actionSpace)) {
      await driver.reset({ seed: 1 });
      const where = `step(${show(action)})`;
      let result: unknown;
      try {
        result = await driver.env.step(action);
      } catch {
        await driver.step(); // an action that was refused must not have changed anything
        continue;
      }
      const todo = 'throw a GymError with the value and the space, or clip a continuous action';
      if (!isValid(driver, result))
        report.error(where, 'an action outside the space gives nonsense', show(result), todo);
      else if (!mayClip) report.warning(where, 'an action outside the space is taken silently', show(result), todo);
    }
  },
};

/** A step where none may be taken. It may throw; what it returns otherwise must be valid, and is returned here. */
async function stepOutOfOrder(driver: Driver, where: string): Promise<object | undefined> {
  let result: unknown;
  try {
    result = await driver.env.step(driver.action());
  } catch {
    return undefined;
  }
  if (isValid(driver, result)) return result;
  driver.report.error(
    where,
    'it gives nonsense',
    show(result),
    'throw a GymError E_STATE that says to call reset(), or let make() put OrderEnforcing around it',
  );
  return undefined;
}

export const beforeResetCheck: EnvCheck = {
  name: 'before-reset',
  title: 'refuses a step before the first reset, or answers it with a valid result',
  async run({ driver, withAnother }) {
    if (!withAnother) return; // there is only one environment, and earlier checks have reset it
    await stepOutOfOrder(driver, 'step() before reset()');
  },
};

export const afterEndCheck: EnvCheck<SingleDriver> = {
  name: 'after-end',
  title: 'gives valid results to the end of an episode, and refuses a step after it or answers it with a valid one',
  async run({ driver, report, subject }) {
    await driver.reset({ seed: 1 });
    for (let t = 1; t <= subject.maxSteps; t++) {
      const step = await driver.step();
      if (reportParts(driver, `step ${t}`, step, everyPart)) return;
      if (!driver.mustReset(step)) continue;
      const where = 'step() after the end';
      const result = await stepOutOfOrder(driver, where);
      if (result && !driver.mustReset(result as StepResult<unknown>))
        report.warning(
          where,
          'the ended episode goes on',
          show(result),
          'throw a GymError E_STATE, or let make() put OrderEnforcing around it',
        );
      await driver.reset();
      await driver.step();
      return;
    }
  },
};

export const actionsCheck: EnvCheck<VectorDriver> = {
  name: 'actions',
  title: 'refuses another number of actions than environments',
  async run({ driver, report }) {
    await driver.reset({ seed: 1 });
    for (const actions of [driver.action().slice(1), [...driver.action(), driver.action()[0]!]])
      await report.refusal(`step() with ${actions.length} actions`, 'throw a GymError E_VALUE', () =>
        driver.env.step(actions),
      );
  },
};
