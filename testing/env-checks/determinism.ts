import type { Report } from '../findings.js';
import { copied, difference, show } from '../values.js';
import type { Driver, Moment } from './driver.js';
import type { EnvCheck } from './trial.js';
import type { VectorDriver } from './vector-driver.js';

/**
 * Reports where two plays of what should be one episode differ first. A difference by rounding, or in an info alone, is
 * a warning.
 */
export function reportUnlike(
  { keys, report }: Driver,
  a: readonly Moment[],
  b: readonly Moment[],
  what: string,
  todo: string,
): void {
  const split = (moment: Moment) => {
    const { where: _, [keys.info]: info, ...plain } = moment as Moment & Record<string, unknown>;
    return { plain, info };
  };
  if (a.length !== b.length) report.error('the episode', what, `${a.length} and ${b.length} resets and steps`, todo);
  for (let t = 0; t < Math.min(a.length, b.length); t++) {
    const [one, other] = [split(a[t]!), split(b[t]!)];
    const where = `${a[t]!.where}: `;
    const found = difference(one.plain, other.plain);
    const info = difference(one.info, other.info, 'info');
    if (found && !found.close) report.error(where + found.path, what, found.actual, todo);
    else if (found) report.warning(where + found.path, `${what} (by rounding)`, found.actual, todo);
    else if (info) report.warning(where + info.path, what, info.actual, `${todo}; or leave it out of info`);
    if (found || info) return;
  }
}

export const determinismCheck: EnvCheck = {
  name: 'determinism',
  title: 'does the same again with the same seed and actions',
  async run({ driver, report, subject, withAnother }) {
    const { another } = driver.words;
    const todo = 'draw all randomness from streams that reset({ seed }) begins anew, and reset all state there';
    for (const seed of [0, 123]) {
      const { moments, actions } = await driver.play(subject.steps, { seed });
      const again = await driver.play(subject.steps, { seed, actions });
      reportUnlike(driver, moments, again.moments, `seed ${seed} gives ${another} the second time`, todo);
      if (report.findings.length > 0) continue;
      await withAnother?.(async (other) => {
        const beside = await other.play(subject.steps, { seed, actions });
        const what = `seed ${seed} gives ${another} in another environment of the kind`;
        reportUnlike(driver, moments, beside.moments, what, todo);
      });
    }
  },
};

export const isolationCheck: EnvCheck = {
  name: 'isolation',
  title: 'shares nothing with another of its kind',
  needs: ['determinism'],
  async run({ driver, subject, withAnother }) {
    const { moments, actions } = await driver.play(subject.steps, { seed: 1 });
    await withAnother?.(async (other) => {
      await other.reset({ seed: 2 });
      const meanwhile = async () => {
        const result = await other.step();
        if (other.mustReset(result)) await other.resetEnded(result);
      };
      const beside = await driver.play(subject.steps, { seed: 1, actions, meanwhile });
      reportUnlike(
        driver,
        moments,
        beside.moments,
        'it goes another way while another of its kind is stepped',
        'keep all state in the instance: nothing in the module, in static fields or in shared defaults',
      );
    });
  },
};

const vary = (list: readonly unknown[]) => list.slice(1).some((item) => difference(list[0], item) !== undefined);

/** Reports a seed that changes nothing, and a reset without a seed that begins the stream anew. */
async function reportSeeds(driver: Driver, report: Report): Promise<void> {
  const { env, keys, words } = driver;
  const withoutInfos = (moments: readonly Moment[]) =>
    moments.map((moment) => Object.fromEntries(Object.entries(moment).filter(([key]) => key !== keys.info)));
  const { actions } = await driver.play(8, { seed: 1 });
  const plays: unknown[] = [];
  const snapshots: unknown[] = [];
  for (const seed of [1, 1, 2, 3, 4, 5, 6, 7, 8]) {
    plays.push(withoutInfos((await driver.play(8, { seed, actions })).moments));
    await driver.reset({ seed });
    if (env.snapshot) snapshots.push(copied(await report.attempt('snapshot()', () => env.snapshot!())));
  }
  if (vary(plays.slice(0, 2))) return; // one seed does not even give one episode: the check of determinism tells it
  if (!vary(plays)) {
    // A snapshot holds the random stream, and so shows an effect of the seed that the first steps do not show.
    if (vary(snapshots) && !vary(snapshots.slice(0, 2))) return;
    report.warning(
      'reset({ seed })',
      'seeds 1 to 8 give one and the same episode',
      show(plays[0]),
      "use the seed; where nothing is random, skip the check 'seeds'",
    );
    return;
  }
  await driver.reset({ seed: 1 });
  const unseeded: unknown[] = [];
  for (let i = 0; i < 10; i++) unseeded.push(withoutInfos((await driver.play(8, { actions })).moments));
  if (!vary(unseeded))
    report.error(
      'reset()',
      `ten resets without a seed give ${words.same}`,
      show(unseeded[0]),
      'without a seed go on with the random stream; begin it anew only where `seed` is given',
    );
}

export const seedsCheck: EnvCheck = {
  name: 'seeds',
  title: 'takes its seed, and goes on with the stream without one',
  async run({ driver, report }) {
    await reportSeeds(driver, report);
  },
};

/** Reports an environment that does not get its own of the seeds of a vector environment. */
async function reportOwnSeeds(driver: VectorDriver, report: Report): Promise<void> {
  const { size } = driver;
  const kept = copied((await driver.reset({ seed: 5 })).observations);
  const compare = (where: string, i: number, actual: unknown, todo: string) => {
    const found = difference(kept[i], actual, where);
    if (found)
      report.error(
        found.path,
        `it is not what seed 5 gives environment ${i}, whose seed is ${5 + i}`,
        found.actual,
        todo,
      );
  };
  const next = await driver.reset({ seed: 6 });
  for (let i = 1; i < size; i++)
    compare(
      `reset({ seed: 6 }): observations[${i - 1}]`,
      i,
      next.observations[i - 1],
      'seed environment i with seed + i',
    );
  const list = Array.from({ length: size }, (_, i) => 5 + i);
  const listed = await driver.reset({ seed: list });
  for (let i = 0; i < size; i++)
    compare(
      `reset({ seed: ${show(list)} }): observations[${i}]`,
      i,
      listed.observations[i],
      'give each environment the seed of the list',
    );
  await report.refusal(
    `reset() with ${size + 1} seeds`,
    'throw a GymError E_VALUE where there is not one seed an environment',
    () => driver.env.reset({ seed: [...list, 1] }),
  );
}

export const vectorSeedsCheck: EnvCheck<VectorDriver> = {
  name: 'seeds',
  title: 'seeds environment i with seed + i, or each by a list, and goes on with the streams without a seed',
  async run({ driver, report }) {
    await reportSeeds(driver, report);
    if (!driver.lockstep) await reportOwnSeeds(driver, report); // in lockstep one seed may fix all episodes together
  },
};
