import { copied, difference, shared, show } from '../values.js';
import type { EnvCheck } from './trial.js';

// Agents keep what an environment returns, and environments keep nothing that agents hand in: neither may write into
// what belongs to the other.

export const freshObjectsCheck: EnvCheck = {
  name: 'fresh-objects',
  title: 'returns fresh objects, and leaves alone what it returned',
  async run({ driver, report }) {
    const results: { where: string; result: object; copy: object }[] = [];
    const keep = (where: string, result: object) => {
      for (const earlier of results) {
        const path = shared(earlier.result, result);
        if (path !== undefined)
          report.fail(
            `${where}: ${path || 'the result'}`,
            `it is the very object that ${earlier.where} returned`,
            show(result),
            'return a new object or array at each call; a buffer that is filled again changes what others keep',
          );
      }
      results.push({ where, result, copy: copied(result) });
    };
    for (const reset of ['first', 'second'] as const) {
      keep(`the ${reset} reset`, await driver.reset({ seed: 1 }));
      for (const step of [1, 2]) {
        const result = await driver.step();
        keep(driver.stepName(step, reset), result);
        if (driver.mustReset(result)) break;
      }
    }
    for (const { where, result, copy } of results) {
      const changed = difference(copy, result);
      if (changed)
        report.error(
          `${where}: ${changed.path}`,
          'a later call has changed it',
          changed.actual,
          'never write into what was returned',
        );
    }
  },
};

export const inputsCheck: EnvCheck = {
  name: 'inputs',
  title: 'leaves what was handed in to reset and step as it was',
  async run({ driver, report }) {
    const unchanged = (where: string, before: unknown, after: unknown) => {
      const changed = difference(before, after);
      if (changed)
        report.error(where + changed.path, 'the call changes it', changed.actual, 'copy it before you change it');
    };
    const unknown = { seed: 1, options: { probe: { a: 1 } } };
    const kept = copied(unknown);
    try {
      await driver.env.reset(unknown);
    } catch {
      // It may refuse options that it does not know, and even then must not change them.
    }
    unchanged('options of reset(): ', kept, unknown);
    for (const options of driver.resetOptions()) {
      const before = copied(options);
      await driver.reset(options);
      unchanged('options of reset(): ', before, options);
    }
    const given: { action: unknown; before: unknown }[] = [];
    for (let t = 0; t < 5; t++) {
      const action = driver.action();
      given.push({ action, before: copied(action) });
      const result = await driver.step(action);
      if (driver.mustReset(result)) await driver.resetEnded(result);
    }
    for (const { action, before } of given) unchanged(`${driver.words.action} of step() `, before, action);
  },
};
