import { isNdArray } from '../core/ndarray.js';
import type { Awaitable, Info } from '../core/types.js';
import type { Env } from '../envs/env.js';
import type { VectorEnv, VectorResetOptions, VectorResetResult, VectorStepResult } from '../envs/vector-env.js';
import { type ActionChoice, closeQuietly, mustThrow, needInterface, needKeys, reportUnlike } from './driver.js';
import { checkPicture, notPlain } from './env.js';
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
import { copied, difference, isPlainObject, shared, show } from './values.js';

/** A vector environment, or a function that makes one: then every check has a new one, and two can be compared. */
export type VectorEnvSource<O, A> = VectorEnv<O, A> | (() => Awaitable<VectorEnv<O, A>>);

/** Options of {@link checkVectorEnv}. */
export interface VectorEnvCheckOptions<O, A> extends CheckOptions {
  /** Vector steps that each check takes. Default 60. */
  readonly steps?: number;
  /** Vector steps in which an episode's end is looked for. Default 2000. */
  readonly maxSteps?: number;
  /** Where not every action of the space is legal at any time: chooses one. Default: a sample of the space. */
  readonly chooseAction?: ActionChoice<A>;
  /** Makes the environment that this is many of: each must then behave as a single one does. */
  readonly single?: () => Awaitable<Env<O, A>>;
}

/** What the checks of a vector environment are about. */
export interface VectorEnvSubject<O, A> {
  readonly source: VectorEnvSource<O, A>;
  readonly steps: number;
  readonly maxSteps: number;
  readonly choose: ActionChoice<A>;
  readonly single?: () => Awaitable<Env<O, A>>;
}

export function vectorEnvSubject<O, A>(
  source: VectorEnvSource<O, A>,
  options: VectorEnvCheckOptions<O, A>,
): VectorEnvSubject<O, A> {
  const { steps = 60, maxSteps = 2000, chooseAction = (space) => space.sample(), single } = options;
  return { source, steps, maxSteps, choose: chooseAction, single };
}

/** A reset or a vector step as it looked when it was returned. */
interface Moment<O> {
  readonly where: string;
  readonly observations: O[];
  readonly infos: Info[];
  readonly rewards?: Float64Array;
  readonly terminated?: Uint8Array;
  readonly truncated?: Uint8Array;
}

interface Play<O, A> {
  readonly moments: Moment<O>[];
  readonly actions: A[][];
}

/** Drives one vector environment for a check: whatever it throws, or a result of another form, ends the check. */
class VectorDriver<O, A> {
  readonly env: VectorEnv<O, A>;
  readonly report: Report;
  readonly #choose: ActionChoice<A>;
  #infos: readonly Info[] = [];
  #steps = 0;

  constructor(env: VectorEnv<O, A>, report: Report, choose: ActionChoice<A>) {
    this.env = env;
    this.report = report;
    this.#choose = choose;
    env.actionSpace.seed(1); // the same actions at every run of the check
  }

  /** All episodes begin and end together, so there is nothing to reset alone. */
  get lockstep(): boolean {
    return this.env.horizon !== undefined && this.env.autoreset === 'disabled';
  }

  actions(): A[] {
    return Array.from({ length: this.env.numEnvs }, (_, i) => this.#choose(this.env.actionSpace, this.#infos[i] ?? {}));
  }

  async reset(options?: VectorResetOptions): Promise<VectorResetResult<O>> {
    const where = `reset(${options === undefined ? '' : show(options)})`;
    const result = await this.report.attempt(where, () => this.env.reset(options));
    this.#needForm(where, result, ['observations', 'infos']);
    if (options?.mask === undefined) this.#steps = 0;
    return result;
  }

  async step(actions: readonly A[] = this.actions()): Promise<VectorStepResult<O>> {
    const where = `step ${++this.#steps}`;
    const result = await this.report.attempt(where, () => this.env.step(actions));
    this.#needForm(where, result, ['observations', 'rewards', 'terminated', 'truncated', 'infos']);
    return result;
  }

  #needForm(where: string, result: VectorResetResult<O>, keys: readonly string[]): void {
    needKeys(this.report, where, result, keys);
    const { numEnvs } = this.env;
    const types = {
      observations: Array,
      infos: Array,
      rewards: Float64Array,
      terminated: Uint8Array,
      truncated: Uint8Array,
    };
    for (const [key, type] of Object.entries(types)) {
      if (!keys.includes(key)) continue;
      const list = (result as unknown as Record<string, unknown>)[key];
      const form = `${type === Array ? 'a list' : `a ${type.name}`} of ${numEnvs}, one entry an environment`;
      if (!(list instanceof type) || list.length !== numEnvs)
        this.report.fail(`${where}: ${key}`, `it must be ${form}`, show(list), `return ${form}`);
    }
    this.#infos = result.infos.map((info) => (isPlainObject(info) ? info : {}));
  }

  /** So many vector steps from a reset on; where autoreset is disabled, ended environments are reset in between. */
  async play(steps: number, { seed, actions }: { seed?: number; actions?: readonly A[][] } = {}): Promise<Play<O, A>> {
    const first = await this.reset(seed === undefined ? undefined : { seed });
    return await this.goOn(steps, actions, [{ where: 'reset', ...copied(first) }]);
  }

  async goOn(steps: number, given?: readonly A[][], moments: Moment<O>[] = []): Promise<Play<O, A>> {
    const taken: A[][] = [];
    for (let t = 0; t < steps; t++) {
      const actions = given ? given[t]! : this.actions();
      taken.push(copied(actions));
      const result = await this.step(actions);
      moments.push({ where: `step ${t + 1}`, ...copied(result) });
      const over = ended(result);
      if (this.env.autoreset === 'disabled' && over.includes(1))
        moments.push({ where: `the reset after step ${t + 1}`, ...copied(await this.resetEnded(over)) });
    }
    return { moments, actions: taken };
  }

  resetEnded(over: Uint8Array): Promise<VectorResetResult<O>> {
    return this.reset(this.lockstep ? undefined : { mask: over });
  }

  /** Steps on until an episode ends; undefined when none does. */
  async untilEnd(maxSteps: number): Promise<{ result: VectorStepResult<O>; actions: A[][] } | undefined> {
    const actions: A[][] = [];
    for (let t = 0; t < maxSteps; t++) {
      actions.push(this.actions());
      const result = await this.step(copied(actions.at(-1)!));
      if (ended(result).includes(1)) return { result, actions };
    }
    return undefined;
  }
}

/** 1 where an episode ended with this step. */
function ended({ terminated, truncated }: { terminated: Uint8Array; truncated: Uint8Array }): Uint8Array {
  return terminated.map((flag, i) => (flag || truncated[i] ? 1 : 0));
}

type Use<O, A> = (driver: VectorDriver<O, A>, report: Report, subject: VectorEnvSubject<O, A>) => Promise<void>;

function check(
  name: string,
  title: string,
  use: Use<unknown, unknown>,
  more: readonly string[] = [],
): Check<VectorEnvSubject<unknown, unknown>> {
  const needs = [...needsOf(['interface', 'spaces', 'reset', 'step'], name), ...more];
  return { name, title, needs, run: (subject, report) => withEnv(subject, report, use) };
}

async function withEnv<O, A>(subject: VectorEnvSubject<O, A>, report: Report, use: Use<O, A>): Promise<void> {
  const { source } = subject;
  const env = typeof source === 'function' ? await report.attempt('make', source) : source;
  needInterface(report, env, 'a VectorEnv');
  const { numEnvs, autoreset, horizon } = env;
  if (!(Number.isInteger(numEnvs) && numEnvs >= 1))
    report.fail('numEnvs', 'it must be an integer of at least 1', show(numEnvs), 'say how many environments there are');
  if (!['next-step', 'same-step', 'disabled'].includes(autoreset))
    report.fail(
      'autoreset',
      "it must be 'next-step', 'same-step' or 'disabled'",
      show(autoreset),
      'say when a finished environment is reset',
    );
  if (horizon !== undefined && !(Number.isInteger(horizon) && horizon >= 1))
    report.fail(
      'horizon',
      'it must be an integer of at least 1, or absent',
      show(horizon),
      'leave it out where episodes differ in length',
    );
  try {
    await use(new VectorDriver(env, report, subject.choose), report, subject);
  } finally {
    if (typeof source === 'function') await closeQuietly(env);
  }
}

/** A check of each entry of each moment of a play; the first that has a finding is enough. */
function entries(
  name: string,
  title: string,
  ask: (report: Report, where: string, moment: Moment<unknown>, i: number, env: VectorEnv<unknown, unknown>) => void,
): Check<VectorEnvSubject<unknown, unknown>> {
  return check(name, title, async (driver, report, { steps }) => {
    const { moments } = await driver.play(steps, { seed: 1 });
    for (const moment of moments)
      for (let i = 0; i < driver.env.numEnvs; i++) {
        ask(report, moment.where, moment, i, driver.env);
        if (report.findings.length > 0) return;
      }
  });
}

/** The checks of a vector environment, in order; those after the first ones rely on them. */
export const vectorEnvChecks: readonly Check<VectorEnvSubject<unknown, unknown>>[] = [
  check('interface', 'has numEnvs, a mode of autoreset, two spaces, reset and step', async () => {}),

  check('spaces', 'has spaces whose samples are elements and whose bounds make sense', async ({ env }, report) => {
    await checkSpaces(report, env);
  }),

  check('reset', 'returns lists of one entry an environment from reset', async (driver) => {
    for (const options of [undefined, {}, { seed: 1 }, { seed: 0, options: {} }]) await driver.reset(options);
  }),

  check(
    'step',
    'returns lists and typed arrays of one entry an environment from step',
    async (driver, _, { steps }) => {
      await driver.play(steps, { seed: 1 });
    },
  ),

  entries('observation', 'observes elements of its space', (report, where, { observations }, i, env) => {
    reportMisfits(report, `${where}: observations[${i}]`, env.observationSpace, observations[i]);
  }),

  entries('reward', 'gives finite numbers as rewards', (report, where, { rewards }, i) => {
    if (rewards && !Number.isFinite(rewards[i]))
      report.error(
        `${where}: rewards[${i}]`,
        'it must be finite',
        show(rewards[i]),
        'find the division or logarithm that gives this',
      );
  }),

  entries('flags', 'says by 0 and 1 whether episodes are terminated or truncated', (report, where, moment, i) => {
    for (const flag of ['terminated', 'truncated'] as const) {
      const value = moment[flag]?.[i] ?? 0;
      if (value > 1) report.error(`${where}: ${flag}[${i}]`, 'it must be 0 or 1', show(value), 'write 1 for an end');
    }
  }),

  entries('info', 'gives a plain object as info of each environment', (report, where, { infos }, i) => {
    if (!isPlainObject(infos[i]))
      report.error(
        `${where}: infos[${i}]`,
        'it must be a plain object',
        show(infos[i]),
        'return {} where there is nothing to say',
      );
  }),

  check('actions', 'refuses another number of actions than environments', async (driver, report) => {
    await driver.reset({ seed: 1 });
    for (const actions of [driver.actions().slice(1), [...driver.actions(), driver.actions()[0]!]])
      await mustThrow(report, `step() with ${actions.length} actions`, 'throw a GymError E_VALUE', () =>
        driver.env.step(actions),
      );
  }),

  check('determinism', 'does the same again with the same seed and actions', async (driver, report, subject) => {
    const todo = 'draw all randomness from streams that reset({ seed }) begins anew, and reset all state there';
    for (const seed of [0, 123]) {
      const one = await driver.play(subject.steps, { seed });
      const again = await driver.play(subject.steps, { seed, actions: one.actions });
      reportUnlike(report, one.moments, again.moments, `seed ${seed} gives other episodes the second time`, todo);
      if (typeof subject.source !== 'function' || report.findings.length > 0) continue;
      await withEnv(subject, report, async (other) => {
        const { moments } = await other.play(subject.steps, { seed, actions: one.actions });
        const what = `seed ${seed} gives other episodes in another environment of the kind`;
        reportUnlike(report, one.moments, moments, what, todo);
      });
    }
  }),

  check('seeds', 'seeds environment i with seed + i, or each by a list', async (driver, report) => {
    const { numEnvs } = driver.env;
    const firsts: unknown[] = [];
    for (let seed = 1; seed <= 8; seed++) firsts.push(copied((await driver.reset({ seed })).observations));
    const vary = (list: readonly unknown[]) => list.slice(1).some((item) => difference(list[0], item));
    if (vary(firsts)) {
      await driver.reset({ seed: 1 });
      const unseeded: unknown[] = [];
      for (let i = 0; i < 10; i++) unseeded.push(copied((await driver.reset()).observations));
      if (!vary(unseeded))
        report.error(
          'reset()',
          'ten resets without a seed give the same observations',
          show(unseeded[0]),
          'without a seed go on with the streams; begin them anew only where `seed` is given',
        );
    }
    if (driver.lockstep) return; // one seed may fix all episodes together
    const { observations } = await driver.reset({ seed: 5 });
    const kept = copied(observations);
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
    for (let i = 1; i < numEnvs; i++)
      compare(
        `reset({ seed: 6 }): observations[${i - 1}]`,
        i,
        next.observations[i - 1],
        'seed environment i with seed + i',
      );
    const list = Array.from({ length: numEnvs }, (_, i) => 5 + i);
    const listed = await driver.reset({ seed: list });
    for (let i = 0; i < numEnvs; i++)
      compare(
        `reset({ seed: ${show(list)} }): observations[${i}]`,
        i,
        listed.observations[i],
        'give each environment the seed of the list',
      );
    await mustThrow(
      report,
      `reset() with ${numEnvs + 1} seeds`,
      'throw a GymError E_VALUE where there is not one seed an environment',
      () => driver.env.reset({ seed: [...list, 1] }),
    );
  }),

  check('mask', 'resets the environments of a mask, and no other', async (driver, report) => {
    const { env } = driver;
    if (driver.lockstep) return;
    await driver.reset({ seed: 1 });
    for (const mask of [new Uint8Array(env.numEnvs + 1).fill(1), new Uint8Array(env.numEnvs)])
      await mustThrow(
        report,
        `reset({ mask: [${mask}] })`,
        'throw a GymError E_VALUE unless the mask has one entry an environment, and a 1',
        () => env.reset({ mask }),
      );
    const reference = await driver.play(6, { seed: 1 });
    const before = await driver.play(3, { seed: 1, actions: reference.actions });
    const mask = new Uint8Array(env.numEnvs);
    mask[0] = 1;
    const { observations } = await driver.reset({ mask });
    const last = before.moments.at(-1)!;
    const after = await driver.goOn(3, reference.actions.slice(3));
    const rest = reference.moments.filter(isStep).slice(3);
    for (let i = 1; i < env.numEnvs; i++) {
      const where = `reset({ mask: [${mask}] })`;
      const found = difference(last.observations[i], observations[i], `observations[${i}]`);
      if (found)
        report.fail(
          `${where}: ${found.path}`,
          'it is not the last observation of an environment that the mask leaves out',
          found.actual,
          'leave those environments alone, and return their last observations',
        );
      after.moments.filter(isStep).forEach((moment, t) => {
        const other = difference(entry(rest[t]!, i), entry(moment, i));
        if (other)
          report.fail(
            `step ${t + 1} after ${where}: environment ${i}, ${other.path}`,
            'an environment that the mask leaves out goes another way than without the reset',
            other.actual,
            'leave those environments alone',
          );
      });
    }
  }),

  check('autoreset', 'resets finished environments as its mode says', async (driver, report, { maxSteps }) => {
    await driver.reset({ seed: 1 });
    const end = await driver.untilEnd(maxSteps);
    if (!end) return;
    const mode = driver.env.autoreset;
    await { 'next-step': nextStep, 'same-step': sameStep, disabled }[mode](driver, report, end);
  }),

  check('pending-reset', 'begins anew at a reset, whatever ended before', async (driver, report, { maxSteps }) => {
    const fresh = await driver.play(4, { seed: 2 });
    await driver.reset({ seed: 1 });
    if (!(await driver.untilEnd(maxSteps))) return;
    const again = await driver.play(4, { seed: 2, actions: fresh.actions });
    reportUnlike(
      report,
      fresh.moments,
      again.moments,
      'after an episode ended, reset({ seed }) is followed by another episode than otherwise',
      'a reset by the caller must end a pending autoreset',
    );
  }),

  check('horizon', 'ends every episode after `horizon` steps, where it says so', async (driver, report) => {
    const { horizon, numEnvs, autoreset } = driver.env;
    if (horizon === undefined) return;
    const lengths = new Int32Array(numEnvs);
    const idle = new Uint8Array(numEnvs);
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
  }),

  check('single', 'does what single environments do', async (driver, report, { single, steps }) => {
    if (!single) return;
    const { env } = driver;
    const envs: Env<unknown, unknown>[] = [];
    try {
      for (let i = 0; i < env.numEnvs; i++) envs.push(await report.attempt('single', single));
      await compareWithSingles(driver, report, envs, steps);
    } finally {
      for (const one of envs) await closeQuietly(one);
    }
  }),

  check('fresh-objects', 'returns fresh objects, and leaves alone what it returned', async (driver, report) => {
    const results: { where: string; result: object; copy: unknown }[] = [];
    const keep = (where: string, result: object) => {
      for (const earlier of results) {
        const path = shared(earlier.result, result);
        if (path !== undefined)
          report.fail(
            `${where}: ${path}`,
            `it is the very object that ${earlier.where} returned`,
            show(result),
            'return new lists, arrays and objects at each call',
          );
      }
      results.push({ where, result, copy: copied(result) });
    };
    for (const episode of ['first', 'second']) {
      keep(`the ${episode} reset`, await driver.reset({ seed: 1 }));
      for (const step of [1, 2]) {
        const result = await driver.step();
        keep(`step ${step} after the ${episode} reset`, result);
        if (driver.env.autoreset === 'disabled' && ended(result).includes(1)) break;
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
  }),

  check('inputs', 'leaves actions, seeds, options and masks as they were handed in', async (driver, report) => {
    const { env } = driver;
    const unchanged = (where: string, before: unknown, after: unknown) => {
      const changed = difference(before, after);
      if (changed)
        report.error(where + changed.path, 'the call changes it', changed.actual, 'copy it before you change it');
    };
    const list = Array.from({ length: env.numEnvs }, (_, i) => i);
    const calls: VectorResetOptions[] = driver.lockstep
      ? [{ seed: 1, options: {} }]
      : [
          { seed: list, options: {} },
          { options: {}, mask: new Uint8Array(env.numEnvs).fill(1) },
        ];
    const probing: VectorResetOptions = { seed: 1, options: { probe: { a: 1 } } };
    const kept = copied(probing);
    try {
      await env.reset(probing);
    } catch {
      // it may refuse options that it does not know, and still must not change them
    }
    unchanged('options of reset(): ', kept, probing);
    for (const options of calls) {
      const before = copied(options);
      await driver.reset(options);
      unchanged('options of reset(): ', before, options);
    }
    const given: { actions: unknown; copy: unknown }[] = [];
    for (let t = 0; t < 5; t++) {
      const actions = driver.actions();
      given.push({ actions, copy: copied(actions) });
      const result = await driver.step(actions);
      if (env.autoreset === 'disabled' && ended(result).includes(1)) await driver.resetEnded(ended(result));
    }
    for (const { actions, copy } of given) unchanged('actions of step() ', copy, actions);
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
      for (let more = 0; more < 3 && !isStep(before.moments.at(-1)!); more++)
        await driver.goOn(1, undefined, before.moments);
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
      after.actions.push(...(await driver.goOn(half - 1, undefined, after.moments)).actions);
      const changed = soon ?? difference(kept, snapshot);
      if (changed)
        report.error(
          `snapshot(): ${changed.path}`,
          'later steps change the snapshot',
          changed.actual,
          'copy what goes on to change',
        );
      const compare = async (other: VectorDriver<unknown, unknown>, where: string) => {
        const { observations } = await report.attempt(where, () => other.env.restore!(copied(kept)));
        const found = difference(before.moments.at(-1)!.observations, observations, 'observations');
        if (found)
          report.error(
            `${where}: ${found.path}`,
            'these are not the observations at the snapshot',
            found.actual,
            'return the present observations from restore()',
          );
        const again = await other.goOn(half, after.actions);
        reportUnlike(
          report,
          after.moments,
          again.moments,
          `after ${where} it goes another way`,
          'save all state in snapshot(): dynamics, counters, streams, which resets are pending',
        );
      };
      await compare(driver, 'restore()');
      if (typeof subject.source === 'function' && report.findings.length === 0)
        await withEnv(subject, report, (other) => compare(other, 'restore() into a new environment'));
    },
    ['observation', 'determinism'],
  ),

  check('render', 'renders a picture or text of each environment', async (driver, report) => {
    const { env } = driver;
    if (!env.render) return;
    await driver.reset({ seed: 1 });
    const pictures: unknown[] = [];
    for (let round = 0; round < 2; round++) {
      const list = await report.attempt('render()', () => env.render!());
      if (!Array.isArray(list) || list.length !== env.numEnvs)
        report.fail(
          'render()',
          `it must be a list of ${env.numEnvs} pictures or texts`,
          show(list),
          'return one an environment',
        );
      for (const [i, picture] of list.entries()) checkPicture(report, `render()[${i}]`, picture);
      pictures.push(list.filter(isNdArray));
    }
    if (shared(pictures[0], pictures[1]) !== undefined)
      report.error(
        'render()',
        'the second call returns the same array',
        show(pictures[1]),
        'draw into a new array at each call',
      );
  }),

  check('close', 'may be closed twice', async ({ env }, report) => {
    if (!env.close) return;
    await report.attempt('close()', () => env.close!());
    await report.attempt('the second close()', () => env.close!());
  }),
];

type Step = Required<Moment<unknown>>;

function isStep(moment: Moment<unknown>): moment is Step {
  return moment.rewards !== undefined;
}

/** What a vector step says of one environment. */
function entry({ observations, rewards, terminated, truncated }: Omit<Step, 'where' | 'infos'>, i: number) {
  return {
    observation: observations[i],
    reward: rewards[i],
    terminated: terminated[i],
    truncated: truncated[i],
  };
}

interface End {
  readonly result: VectorStepResult<unknown>;
  readonly actions: unknown[][];
}

/** The step after the end ignores its action, and returns the reset's observation with reward 0. */
async function nextStep(
  driver: VectorDriver<unknown, unknown>,
  report: Report,
  { result, actions }: End,
): Promise<void> {
  const i = ended(result).indexOf(1);
  const taken = driver.actions();
  const after = copied(await driver.step(copied(taken)));
  const { observation: _, ...rest } = entry(after, i);
  const expected = { reward: 0, terminated: 0, truncated: 0 };
  const found = difference(expected, rest);
  if (found)
    report.fail(
      `the step after the end of environment ${i}: ${found.path}`,
      "under 'next-step' this step is a reset: reward 0, no end",
      found.actual,
      'reset the environment in the step after its end, and return 0, 0 and 0 with its first observation',
    );
  // once more, with other actions in that step
  await driver.reset({ seed: 1 });
  for (const list of actions) await driver.step(list);
  let changed = driver.actions();
  for (let tries = 0; tries < 20 && !difference(taken[i], changed[i]); tries++) changed = driver.actions();
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

/** The step of the end returns the reset's observation; the last one is in `infos[i].finalObservation`. */
async function sameStep(driver: VectorDriver<unknown, unknown>, report: Report, { result }: End): Promise<void> {
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

/** Nothing is reset but by the caller; to step on is an error until then. */
async function disabled(driver: VectorDriver<unknown, unknown>, report: Report, { result }: End): Promise<void> {
  await mustThrow(
    report,
    'step() after the end of an episode',
    "under 'disabled' throw a GymError E_STATE that names the environments to reset",
    () => driver.env.step(driver.actions()),
  );
  await driver.resetEnded(ended(result));
  await driver.step();
}

/** Steps a vector environment and as many single ones side by side. */
async function compareWithSingles(
  driver: VectorDriver<unknown, unknown>,
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
  const pending = new Uint8Array(envs.length);
  for (let t = 1; t <= steps; t++) {
    const actions = driver.actions();
    const result = await driver.step(copied(actions));
    const over = new Uint8Array(envs.length);
    const expectedResets: unknown[] = [];
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
      else expectedResets[i] = (await report.attempt('single: reset()', () => env.reset())).observation;
      if (autoreset === 'same-step') {
        compare(where, { observation: expectedResets[i], ...flags }, actual);
        const { finalObservation } = result.infos[i]!;
        compare(where, { finalObservation: one.observation }, { finalObservation });
      }
    }
    if (autoreset !== 'disabled' || !over.includes(1)) continue;
    const { observations } = await driver.resetEnded(over);
    for (const [i, observation] of expectedResets.entries())
      if (over[i] === 1)
        compare(`the reset after step ${t}, environment ${i}`, { observation }, { observation: observations[i] });
  }
}

/**
 * Checks a vector environment: forms and types, seeds, masks, the three modes of autoreset, horizon, snapshots, and
 * (with `single`) that each environment in it does what a single one does.
 *
 * @param source a vector environment, or (better) a function that makes one; best of 2 or more environments. An
 *   environment itself is closed at the end; skip `'close'` to go on with it.
 * @throws GymError E_NAME on an unknown name to skip.
 */
export function checkVectorEnv<O, A>(
  source: VectorEnvSource<O, A>,
  options: VectorEnvCheckOptions<O, A> = {},
): Promise<Finding[]> {
  const subject = vectorEnvSubject(source, options) as unknown as VectorEnvSubject<unknown, unknown>;
  return runChecks(selectChecks(vectorEnvChecks, options), subject);
}

/**
 * {@link checkVectorEnv} for tests without a suite.
 * @throws GymError E_CHECK with everything that was found, when there is an error among it.
 */
export async function assertVectorEnv<O, A>(
  source: VectorEnvSource<O, A>,
  options: VectorEnvCheckOptions<O, A> = {},
): Promise<void> {
  assertNoFindings('checkVectorEnv', await checkVectorEnv(source, options));
}
