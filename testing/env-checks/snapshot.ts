import { isNdArray } from '../../core/ndarray.js';
import type { Snapshot } from '../../core/snapshot.js';
import { copied, cycle, difference, isPlainObject, show } from '../values.js';
import { reportUnlike } from './determinism.js';
import { type Driver, isStep, type Play } from './driver.js';
import type { EnvCheck } from './trial.js';

export const snapshotCheck: EnvCheck = {
  name: 'snapshot',
  title: 'goes on from a snapshot as it did the first time, and refuses what is no snapshot',
  needs: ['observation', 'determinism'],
  async run({ driver, report, subject, withAnother }) {
    const { env } = driver;
    if (!env.snapshot || !env.restore) return;
    const half = Math.ceil(subject.steps / 2);
    const before = await driver.play(half, { seed: 1 });
    // The snapshot is taken in the middle of an episode, where there is a middle.
    for (let more = 0; more < 3 && !isStep(before.moments.at(-1)!); more++) await driver.goOn(1, {}, before.moments);
    const snapshot = await report.attempt('snapshot()', () => env.snapshot!());
    const odd = notPlain(snapshot, 'snapshot()');
    if (odd)
      report.error(
        odd.path,
        'a snapshot is JSON values and arrays { data, shape }',
        odd.actual,
        'turn it into these, and back in restore()',
      );
    const kept = copied(snapshot);
    const after = await driver.goOn(1);
    const soon = difference(kept, snapshot);
    after.actions.push(...(await driver.goOn(half - 1, {}, after.moments)).actions);
    const changed = soon ?? difference(kept, snapshot);
    if (changed)
      report.error(
        `snapshot(): ${changed.path}`,
        'later steps change the snapshot',
        changed.actual,
        'copy what the environment goes on to change',
      );
    const last = driver.observed(before.moments.at(-1)!);
    const compare = async (other: Driver, where: string) => {
      const observed = other.observed(await other.restore(where, copied(kept)));
      const found = difference(last, observed, driver.keys.observation);
      if (found)
        report.error(
          `${where}: ${found.path}`,
          'it is not the observation at the snapshot',
          found.actual,
          'return the present observation from restore()',
        );
      const again = await other.goOn(half, { actions: after.actions });
      reportUnlike(
        other,
        after.moments,
        again.moments,
        `after ${where} it goes another way`,
        'save all state in snapshot(): dynamics, counters, random streams, which resets are pending',
      );
      return again;
    };
    const again = await compare(driver, 'restore()');
    if (report.findings.length > 0) return;
    await withAnother?.(async (other) => {
      await compare(other, 'restore() into a new environment');
    });
    await reportForeign(driver, kept, again);
  },
};

/**
 * Warns where `restore` takes what is no snapshot, or has changed something before it refuses.
 * @param expected what follows when `snapshot` is restored.
 */
async function reportForeign(driver: Driver, snapshot: Snapshot, expected: Play): Promise<void> {
  const { env, report } = driver;
  const todo = 'throw a GymError E_STATE that says what is missing, before anything is changed';
  const empty = typeof snapshot === 'object' && (snapshot === null || Object.keys(snapshot).length === 0);
  if (empty) return; // there is no state to miss
  for (const foreign of [null, {}]) {
    const where = `restore(${show(foreign)})`;
    await driver.restore('restore()', copied(snapshot));
    let accepted: unknown;
    try {
      accepted = await env.restore!(foreign);
    } catch {
      const { actions } = expected;
      const { moments } = await driver.goOn(actions.length, { actions });
      const changed = difference(expected.moments, moments, 'moments');
      if (changed) report.warning(where, 'it is refused, and yet changes the environment', changed.actual, todo);
      continue;
    }
    report.warning(where, 'what is no snapshot is taken silently', show(accepted), todo);
  }
}

/** The first part of a snapshot that is neither JSON nor an array. */
function notPlain(value: unknown, path: string): { path: string; actual: string } | undefined {
  if (value === null || typeof value === 'boolean' || typeof value === 'string' || isNdArray(value)) return undefined;
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : { path, actual: show(value) };
  const circular = cycle(value, path);
  if (circular !== undefined) return { path: circular, actual: 'it contains itself' };
  const inner: [string, unknown][] | undefined = Array.isArray(value)
    ? value.map((part, i) => [`${path}[${i}]`, part])
    : isPlainObject(value)
      ? Object.entries(value).map(([key, part]) => [`${path}.${key}`, part])
      : undefined;
  if (inner === undefined) return { path, actual: show(value) };
  for (const [at, part] of inner) {
    const odd = notPlain(part, at);
    if (odd) return odd;
  }
  return undefined;
}
