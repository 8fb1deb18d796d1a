import type { Awaitable, Info } from '../core/types.js';
import type { Env, ResetOptions, ResetResult, StepResult } from '../envs/env.js';
import type { Space } from '../envs/spaces/space.js';
import type { Report } from './findings.js';
import { isSpace } from './spaces.js';
import { copied, difference, isPlainObject, show } from './values.js';

/** Chooses an action that is legal now; `info` is that of the present observation. */
export type ActionChoice<A> = (space: Space<A>, info: Info) => A;

/** A reset or a step as it looked when it was returned. */
export interface Moment<O> {
  /** `reset`, or `step 3`. */
  readonly where: string;
  readonly observation: O;
  readonly info: Info;
  readonly reward?: number;
  readonly terminated?: boolean;
  readonly truncated?: boolean;
}

export interface Play<O, A> {
  readonly moments: Moment<O>[];
  readonly actions: A[];
}

export interface PlayOptions<A> {
  seed?: number;
  /** Taken again, instead of new ones. */
  actions?: readonly A[];
  /** Called after each reset and step. */
  meanwhile?: () => Promise<void>;
}

/** Fails the check unless this is an environment's interface. */
export function needInterface(report: Report, env: unknown, kind: 'an Env' | 'a VectorEnv'): void {
  if (typeof env !== 'object' || env === null)
    report.fail('make', `it must give ${kind}`, show(env), `return an object with spaces, reset() and step()`);
  const parts = env as Record<string, unknown>;
  for (const name of ['observationSpace', 'actionSpace'])
    if (!isSpace(parts[name]))
      report.fail(
        name,
        'it must be a space',
        show(parts[name]),
        "use a space of 'denoise-gym/envs', or extend BaseSpace",
      );
  for (const name of ['reset', 'step'])
    if (typeof parts[name] !== 'function')
      report.fail(name, 'it must be a method', show(parts[name]), `implement ${name}()`);
  if (typeof parts.seed === 'function')
    report.warning('seed', 'it is a method of Gym before 0.26', 'seed()', 'take the seed in reset({ seed })');
  for (const name of ['render', 'snapshot', 'restore', 'close'])
    if (parts[name] !== undefined && typeof parts[name] !== 'function')
      report.error(name, 'it must be a method or absent', show(parts[name]), `implement ${name}(), or leave it out`);
  for (const [one, other] of [
    ['snapshot', 'restore'],
    ['restore', 'snapshot'],
  ] as const)
    if (typeof parts[one] === 'function' && parts[other] === undefined)
      report.error(one, `it is there and ${other}() is not`, `no ${other}()`, 'implement both or neither');
}

/** Fails the check unless a result is an object with these keys. */
export function needKeys(report: Report, where: string, result: unknown, keys: readonly string[]): void {
  const form = `{ ${keys.join(', ')} }`;
  const words = [`it must give ${form}`, show(result)] as const;
  if (Array.isArray(result))
    report.fail(where, ...words, `return an object ${form} and not a list, which is Python's form`);
  if (!isPlainObject(result)) report.fail(where, ...words, `return an object ${form}`);
  const missing = keys.filter((key) => !Object.hasOwn(result, key));
  if (missing.length === 0) return;
  report.fail(
    where,
    `it lacks ${missing.join(', ')}`,
    `keys ${Object.keys(result).join(', ')}`,
    Object.hasOwn(result, 'done')
      ? '`done` is of Gym before 0.26: say `terminated` where the task ended, `truncated` where a limit cut it'
      : `return an object ${form}`,
  );
}

/** Drives one environment for a check: whatever it throws, or a result of another form, ends the check. */
export class Driver<O, A> {
  readonly env: Env<O, A>;
  readonly report: Report;
  readonly #choose: ActionChoice<A>;
  #info: Info = {};
  #steps = 0;

  constructor(env: Env<O, A>, report: Report, choose: ActionChoice<A>) {
    this.env = env;
    this.report = report;
    this.#choose = choose;
    env.actionSpace.seed(1); // the same actions at every run of the check
  }

  /** An action for the present observation. */
  action(): A {
    return this.#choose(this.env.actionSpace, this.#info);
  }

  async reset(options?: ResetOptions): Promise<ResetResult<O>> {
    const where = `reset(${options === undefined ? '' : show(options)})`;
    const result = await this.report.attempt(where, () => this.env.reset(options));
    needKeys(this.report, where, result, ['observation', 'info']);
    this.#steps = 0;
    this.#info = isPlainObject(result.info) ? result.info : {};
    return result;
  }

  async step(action: A = this.action()): Promise<StepResult<O>> {
    const where = `step ${++this.#steps}`;
    const result = await this.report.attempt(where, () => this.env.step(action));
    needKeys(this.report, where, result, ['observation', 'reward', 'terminated', 'truncated', 'info']);
    this.#info = isPlainObject(result.info) ? result.info : {};
    return result;
  }

  /** So many steps from a reset on, with resets in between where episodes end. */
  async play(steps: number, { seed, actions: given, meanwhile }: PlayOptions<A> = {}): Promise<Play<O, A>> {
    const first = await this.reset(seed === undefined ? undefined : { seed });
    const moments: Moment<O>[] = [{ where: 'reset', ...copied(first) }];
    await meanwhile?.();
    return await this.goOn(steps, { actions: given, meanwhile }, moments);
  }

  /** So many steps from where the environment is. */
  async goOn(
    steps: number,
    { actions: given, meanwhile }: Omit<PlayOptions<A>, 'seed'> = {},
    moments: Moment<O>[] = [],
  ): Promise<Play<O, A>> {
    const actions: A[] = [];
    for (let t = 0; t < steps; t++) {
      const action = given ? copied(given[t]!) : this.action();
      actions.push(copied(action));
      const result = await this.step(action);
      moments.push({ where: `step ${t + 1}`, ...copied(result) });
      await meanwhile?.();
      if (!result.terminated && !result.truncated) continue;
      moments.push({ where: `the reset after step ${t + 1}`, ...copied(await this.reset()) });
      await meanwhile?.();
    }
    return { moments, actions };
  }
}

/**
 * Reports where two plays of what should be one differ first; one that differs by rounding or in an info alone is a
 * warning.
 */
export function reportUnlike(
  report: Report,
  a: readonly { where: string }[],
  b: readonly { where: string }[],
  what: string,
  todo: string,
): void {
  const split = (moment: object) => {
    const { info, infos, where: _, ...plain } = moment as { info?: unknown; infos?: unknown; where: string };
    return { plain, info: info ?? infos };
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

/** Calls what must be refused; reports an error when it is not. */
export async function mustThrow(report: Report, where: string, todo: string, call: () => unknown): Promise<void> {
  let result: unknown;
  try {
    result = await call();
  } catch {
    return;
  }
  report.error(where, 'it must throw', show(result), todo);
}

/** Closes at the end of a check; what goes wrong in it is told by the check of closing. */
export async function closeQuietly(env: { close?(): Awaitable<void> }): Promise<void> {
  try {
    await env.close?.();
  } catch {
    // told by the check of closing
  }
}
