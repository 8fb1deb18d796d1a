import { isNdArray, type NdArray, sizeOf } from '../core/ndarray.js';
import type { Snapshot } from '../core/snapshot.js';
import type { Awaitable } from '../core/types.js';
import type { Env } from '../envs/env.js';
import { Box } from '../envs/spaces/box.js';
import { Discrete } from '../envs/spaces/discrete.js';
import type { Space } from '../envs/spaces/space.js';
import { type ActionChoice, closeQuietly, Driver, type Moment, needInterface, reportUnlike } from './driver.js';
import {
  assertNoFindings,
  type Check,
  type CheckOptions,
  type Finding,
  needsOf,
  type Report,
  runChecks,
  selectChecks,
} from './findings.js';
import { checkSpaces, reportMisfits } from './spaces.js';
import { copied, cycle, difference, isPlainObject, shared, show } from './values.js';

/** An environment, or a function that makes one: then every check has a new one, and two can be compared. */
export type EnvSource<O, A> = Env<O, A> | (() => Awaitable<Env<O, A>>);

/** Options of {@link checkEnv}. */
export interface EnvCheckOptions<A> extends CheckOptions {
  /** Steps that each check takes. Default 60. */
  readonly steps?: number;
  /** Steps in which an episode's end is looked for. Default 2000. */
  readonly maxSteps?: number;
  /** Where not every action of the space is legal at any time: chooses one. Default: a sample of the space. */
  readonly chooseAction?: ActionChoice<A>;
}

/** What the checks of an environment are about. */
export interface EnvSubject<O, A> {
  readonly source: EnvSource<O, A>;
  readonly steps: number;
  readonly maxSteps: number;
  readonly choose: ActionChoice<A>;
}

export function envSubject<O, A>(source: EnvSource<O, A>, options: EnvCheckOptions<A>): EnvSubject<O, A> {
  const { steps = 60, maxSteps = 2000, chooseAction = (space) => space.sample() } = options;
  return { source, steps, maxSteps, choose: chooseAction };
}

type Use<O, A> = (driver: Driver<O, A>, report: Report, subject: EnvSubject<O, A>) => Promise<void>;

/** A check that is given an environment of its own where the subject has a maker, and the one that there is otherwise. */
function check(
  name: string,
  title: string,
  use: Use<unknown, unknown>,
  more: readonly string[] = [],
): Check<EnvSubject<unknown, unknown>> {
  const needs = [...needsOf(['interface', 'spaces', 'reset', 'step'], name), ...more];
  return { name, title, needs, run: (subject, report) => withEnv(subject, report, use) };
}

async function withEnv<O, A>(subject: EnvSubject<O, A>, report: Report, use: Use<O, A>): Promise<void> {
  const { source } = subject;
  const env = typeof source === 'function' ? await report.attempt('make', source) : source;
  needInterface(report, env, 'an Env');
  try {
    await use(new Driver(env, report, subject.choose), report, subject);
  } finally {
    if (typeof source === 'function') await closeQuietly(env);
  }
}

/** The checks of a single environment, in order; those after the first ones rely on them. */
export const envChecks: readonly Check<EnvSubject<unknown, unknown>>[] = [
  check('interface', 'has two spaces, reset and step', async ({ env }, report) => {
    if (env.spec !== undefined && typeof env.spec?.id !== 'string')
      report.error(
        'spec',
        'it must be absent, or have an `id`',
        show(env.spec),
        'leave `spec` to make(), which sets it',
      );
  }),

  check('spaces', 'has spaces whose samples are elements and whose bounds make sense', async ({ env }, report) => {
    await checkSpaces(report, env);
  }),

  check('reset', 'resets with and without seed and options', async (driver) => {
    for (const options of [undefined, {}, { seed: 1 }, { seed: 0, options: {} }]) await driver.reset(options);
  }),

  check('step', 'steps with any action of its space', async (driver, _, { steps }) => {
    await driver.play(steps, { seed: 1 });
  }),

  check('observation', 'observes elements of its space', async (driver, report, { steps }) => {
    const { moments } = await driver.play(steps, { seed: 1 });
    firstBad(
      moments,
      ({ where, observation }) =>
        reportMisfits(report, `${where}: observation`, driver.env.observationSpace, observation),
      report,
    );
  }),

  check('reward', 'gives finite numbers as rewards', async (driver, report, { steps }) => {
    const { moments } = await driver.play(steps, { seed: 1 });
    firstBad(
      moments.filter(isStep),
      ({ where, reward }) => {
        if (typeof reward !== 'number')
          report.error(
            `${where}: reward`,
            'it must be a number',
            `${show(reward)} (${typeof reward})`,
            'return a plain number',
          );
        else if (!Number.isFinite(reward))
          report.error(
            `${where}: reward`,
            'it must be finite',
            show(reward),
            'find the division or logarithm that gives this',
          );
      },
      report,
    );
  }),

  check(
    'flags',
    'says by booleans whether an episode is terminated or truncated',
    async (driver, report, { steps }) => {
      const { moments } = await driver.play(steps, { seed: 1 });
      firstBad(
        moments.filter(isStep),
        (moment) => {
          for (const flag of ['terminated', 'truncated'] as const)
            if (typeof moment[flag] !== 'boolean')
              report.error(
                `${moment.where}: ${flag}`,
                'it must be true or false',
                `${show(moment[flag])} (${typeof moment[flag]})`,
                'return a boolean',
              );
        },
        report,
      );
      const first = moments[1];
      if (first?.truncated === true && driver.env.spec?.maxEpisodeSteps !== 1)
        report.error(
          'step 1: truncated',
          'an episode is cut at its first step',
          'true',
          'count steps from each reset; an end that is part of the task is `terminated`',
        );
    },
  ),

  check('info', 'gives a plain object as info', async (driver, report, { steps }) => {
    const { moments } = await driver.play(steps, { seed: 1 });
    firstBad(
      moments,
      ({ where, info }) => {
        if (!isPlainObject(info))
          report.error(
            `${where}: info`,
            'it must be a plain object',
            show(info),
            'return {} where there is nothing to say',
          );
        const circular = cycle(info);
        if (circular !== undefined)
          report.warning(
            `${where}: info${circular}`,
            'it contains itself, so it cannot be written as JSON',
            show(info),
            'say what is meant by plain values',
          );
      },
      report,
    );
  }),

  check('determinism', 'does the same again with the same seed and actions', async (driver, report, subject) => {
    const todo = 'draw all randomness from a stream that reset({ seed }) begins anew, and reset all state there';
    for (const seed of [0, 123]) {
      const one = await driver.play(subject.steps, { seed });
      const again = await driver.play(subject.steps, { seed, actions: one.actions });
      reportUnlike(report, one.moments, again.moments, `seed ${seed} gives another episode the second time`, todo);
      if (typeof subject.source !== 'function' || report.findings.length > 0) continue;
      await withEnv(subject, report, async (other) => {
        const { moments } = await other.play(subject.steps, { seed, actions: one.actions });
        reportUnlike(
          report,
          one.moments,
          moments,
          `seed ${seed} gives another episode in another environment of the kind`,
          todo,
        );
      });
    }
  }),

  check(
    'isolation',
    'shares nothing with another of its kind',
    async (driver, report, subject) => {
      if (typeof subject.source !== 'function') return;
      const alone = await driver.play(subject.steps, { seed: 1 });
      await withEnv(subject, report, async (other) => {
        await other.reset({ seed: 2 });
        const beside = await driver.play(subject.steps, {
          seed: 1,
          actions: alone.actions,
          meanwhile: async () => {
            const { terminated, truncated } = await other.step();
            if (terminated || truncated) await other.reset();
          },
        });
        reportUnlike(
          report,
          alone.moments,
          beside.moments,
          'it goes another way while another of its kind is stepped',
          'keep all state in the instance: nothing in the module, in static fields or in shared defaults',
        );
      });
    },
    ['determinism'],
  ),

  check('seeds', 'takes its seed, and goes on with the stream without one', async (driver, report) => {
    const { actions } = await driver.play(8, { seed: 1 });
    const plays: unknown[] = [];
    const snapshots: unknown[] = [];
    for (const seed of [1, 1, 2, 3, 4, 5, 6, 7, 8]) {
      plays.push(withoutInfos((await driver.play(8, { seed, actions })).moments));
      await driver.reset({ seed });
      if (driver.env.snapshot) snapshots.push(copied(await report.attempt('snapshot()', () => driver.env.snapshot!())));
    }
    const vary = (list: readonly unknown[]) => list.slice(1).some((item) => difference(list[0], item));
    if (vary(plays.slice(0, 2))) return; // not even one seed gives one episode: the check of determinism tells
    if (!vary(plays)) {
      // a snapshot holds the stream, and shows a seed that the first steps do not
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
        'ten resets without a seed give the same episode',
        show(unseeded[0]),
        'without a seed go on with the stream; begin it anew only where `seed` is given',
      );
  }),

  check('bad-action', 'refuses an action outside its space, or treats it soundly', async (driver, report) => {
    for (const [action, mayClip] of badActions(driver.env.actionSpace)) {
      await driver.reset({ seed: 1 });
      const where = `step(${show(action)})`;
      let result: unknown;
      try {
        result = await driver.env.step(action);
      } catch {
        await driver.step(); // refusing must leave it as it was
        continue;
      }
      const { observation, reward } = (isPlainObject(result) ? result : {}) as {
        observation?: unknown;
        reward?: unknown;
      };
      const sound = Number.isFinite(reward) && driver.env.observationSpace.contains(observation);
      const todo = 'throw a GymError with the value and the space, or clip a continuous action';
      if (!sound) report.error(where, 'an action outside the space gives nonsense', show(result), todo);
      else if (!mayClip) report.warning(where, 'an action outside the space is taken silently', show(result), todo);
    }
  }),

  check(
    'before-reset',
    'does no nonsense when it is stepped before the first reset',
    async (driver, report, subject) => {
      if (typeof subject.source !== 'function') return; // the one that there is was reset before
      await orderly(driver, report, 'step() before reset()');
    },
  ),

  check(
    'after-end',
    'does no nonsense when it is stepped after the end of an episode',
    async (driver, report, { maxSteps }) => {
      await driver.reset({ seed: 1 });
      for (let t = 0; t < maxSteps; t++) {
        const { terminated, truncated } = await driver.step();
        if (!terminated && !truncated) continue;
        const result = await orderly(driver, report, 'step() after the end');
        if (result && !result.terminated && !result.truncated)
          report.warning(
            'step() after the end',
            'the ended episode goes on',
            show(result),
            'throw a GymError E_STATE, or let make() put OrderEnforcing around it',
          );
        await driver.reset();
        await driver.step();
        return;
      }
    },
  ),

  check('fresh-objects', 'returns fresh objects, and leaves alone what it returned', async (driver, report) => {
    const results: { where: string; parts: { observation: unknown; info: unknown }; copy: unknown }[] = [];
    const keep = (where: string, { observation, info }: { observation: unknown; info: unknown }) => {
      const parts = { observation, info };
      for (const earlier of results) {
        const path = shared(earlier.parts, parts);
        if (path !== undefined)
          report.fail(
            `${where}: ${path}`,
            `it is the very object that ${earlier.where} returned`,
            show(parts),
            'return a new object or array at each call; a buffer that is filled again changes what others keep',
          );
      }
      results.push({ where, parts, copy: copied(parts) });
    };
    for (const episode of ['first', 'second']) {
      keep(`the ${episode} reset`, await driver.reset({ seed: 1 }));
      for (const step of [1, 2]) {
        const result = await driver.step();
        keep(`step ${step} of the ${episode} episode`, result);
        if (result.terminated || result.truncated) break;
      }
    }
    for (const { where, parts, copy } of results) {
      const changed = difference(copy, parts);
      if (changed)
        report.error(
          `${where}: ${changed.path}`,
          'a later call has changed it',
          changed.actual,
          'never write into what was returned',
        );
    }
  }),

  check('inputs', 'leaves actions and options as they were handed in', async (driver, report) => {
    const unchanged = (where: string, before: unknown, after: unknown) => {
      const changed = difference(before, after);
      if (changed)
        report.error(`${where}${changed.path}`, 'the call changes it', changed.actual, 'copy it before you change it');
    };
    const probing = { seed: 1, options: { probe: { a: 1 } } };
    const before = copied(probing);
    try {
      await driver.env.reset(probing);
    } catch {
      // it may refuse options that it does not know, and still must not change them
    }
    unchanged('options of reset(): ', before, probing);
    await driver.reset({ seed: 1 });
    const given: { action: unknown; copy: unknown }[] = [];
    for (let t = 0; t < 5; t++) {
      const action = driver.action();
      given.push({ action, copy: copied(action) });
      const { terminated, truncated } = await driver.step(action);
      if (terminated || truncated) await driver.reset();
    }
    for (const { action, copy } of given) unchanged('action of step() ', copy, action);
  }),

  check(
    'snapshot',
    'goes on from a snapshot as it did the first time',
    async (driver, report, subject) => {
      const { env } = driver;
      if (!env.snapshot || !env.restore) return;
      const half = Math.ceil(subject.steps / 2);
      const before = await driver.play(half, { seed: 1 });
      // in the middle of an episode, where there is one
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
      const compare = async (other: Driver<unknown, unknown>, where: string) => {
        const { observation } = await report.attempt(where, () => other.env.restore!(copied(kept)));
        const found = difference(before.moments.at(-1)!.observation, observation, 'observation');
        if (found)
          report.error(
            `${where}: ${found.path}`,
            'it is not the observation at the snapshot',
            found.actual,
            'return the present observation from restore()',
          );
        const again = await other.goOn(half, { actions: after.actions });
        reportUnlike(
          report,
          after.moments,
          again.moments,
          `after ${where} it goes another way`,
          'save all state in snapshot(): dynamics, counters, the random stream',
        );
      };
      await compare(driver, 'restore()');
      if (typeof subject.source === 'function' && report.findings.length === 0)
        await withEnv(subject, report, (other) => compare(other, 'restore() into a new environment'));
    },
    ['observation', 'determinism'],
  ),

  check(
    'render',
    'renders a picture or text, and changes nothing by it',
    async (driver, report) => {
      const { env } = driver;
      if (!env.render) return;
      const pictures: unknown[] = [];
      const draw = async () => {
        pictures.push(checkPicture(report, 'render()', await report.attempt('render()', () => env.render!())));
      };
      const drawn = await driver.play(8, { seed: 1, meanwhile: draw });
      const [first, second] = pictures;
      if (isNdArray(first) && isNdArray(second) && shared(first, second) !== undefined)
        report.error(
          'render()',
          'the second call returns the same array',
          show(second),
          'draw into a new array at each call',
        );
      const plain = await driver.play(8, { seed: 1, actions: drawn.actions });
      reportUnlike(
        report,
        plain.moments,
        drawn.moments,
        'rendering changes the episode',
        'draw nothing from the random stream and change no state in render()',
      );
    },
    ['observation', 'determinism'],
  ),

  check('close', 'may be closed twice', async ({ env }, report) => {
    if (!env.close) return;
    await report.attempt('close()', () => env.close!());
    await report.attempt('the second close()', () => env.close!());
  }),
];

function isStep(moment: Moment<unknown>): boolean {
  return 'reward' in moment;
}

function withoutInfos(moments: readonly Moment<unknown>[]): unknown[] {
  return moments.map(({ info: _, ...moment }) => moment);
}

/** Asks about moments in order, until one has a finding: one is enough to see what is wrong. */
function firstBad<T>(list: readonly T[], ask: (item: T) => void, report: Report): void {
  const before = report.findings.length;
  for (const item of list) {
    ask(item);
    if (report.findings.length > before) return;
  }
}

/** A step out of order: it may throw, or give a sound result, which is returned. */
async function orderly(driver: Driver<unknown, unknown>, report: Report, where: string) {
  const { env } = driver;
  let result: Awaited<ReturnType<typeof env.step>>;
  try {
    result = await env.step(driver.action());
  } catch {
    return undefined;
  }
  if (isPlainObject(result) && Number.isFinite(result.reward) && env.observationSpace.contains(result.observation))
    return result;
  report.error(
    where,
    'it gives nonsense',
    show(result),
    'throw a GymError E_STATE that says to call reset(), or let make() put OrderEnforcing around it',
  );
  return undefined;
}

/** Values that are no actions, and whether an environment may clip them into the space. */
export function badActions(space: Space<unknown>): [action: unknown, mayClip: boolean][] {
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

/** Fails on a picture that is neither uint8 [height, width, 3] nor text. */
export function checkPicture(report: Report, where: string, picture: unknown): unknown {
  const todo = 'return { data: Uint8Array, shape: [height, width, 3] }, or a text';
  if (typeof picture === 'string') {
    if (picture === '') report.fail(where, 'the text is empty', '""', todo);
  } else if (!isNdArray(picture)) report.fail(where, 'it must be a picture or a text', show(picture), todo);
  else if (!(picture.data instanceof Uint8Array) || picture.shape.length !== 3 || picture.shape[2] !== 3)
    report.fail(
      where,
      'a picture is uint8 [height, width, 3]',
      `${picture.data.constructor.name} [${picture.shape.join(', ')}]`,
      todo,
    );
  else if (picture.data.length !== sizeOf(picture.shape))
    report.fail(
      where,
      `its data must fill the shape [${picture.shape.join(', ')}]`,
      `${picture.data.length} values`,
      todo,
    );
  return picture;
}

/** The first part of a snapshot that is neither JSON nor an array. */
export function notPlain(value: Snapshot | unknown, path: string): { path: string; actual: string } | undefined {
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

/**
 * Checks a single environment against the contract: Gymnasium's `check_env` and `PassiveEnvChecker`, and besides that
 * two environments of one seed against each other, snapshots, actions outside the space, and calls out of order.
 *
 * @param source an environment, or (better) a function that makes one. An environment itself is closed at the end; skip
 *   `'close'` to go on with it.
 * @returns what was found; an empty list is what one hopes for.
 * @throws GymError E_NAME on an unknown name to skip.
 */
export function checkEnv<O, A>(source: EnvSource<O, A>, options: EnvCheckOptions<A> = {}): Promise<Finding[]> {
  const subject = envSubject(source, options) as unknown as EnvSubject<unknown, unknown>;
  return runChecks(selectChecks(envChecks, options), subject);
}

/**
 * {@link checkEnv} for tests without a suite.
 * @throws GymError E_CHECK with everything that was found, when there is an error among it.
 */
export async function assertEnv<O, A>(source: EnvSource<O, A>, options: EnvCheckOptions<A> = {}): Promise<void> {
  assertNoFindings('checkEnv', await checkEnv(source, options));
}
