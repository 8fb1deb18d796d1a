import type { Awaitable } from '../../core/types.js';
import { type Check, type CheckOptions, needsOf, type Report } from '../findings.js';
import { isSpace } from '../spaces.js';
import { show } from '../values.js';
import type { ActionChoice, Drivable, Driver } from './driver.js';

/** What the checks of an environment are about, and how far they drive it. */
export interface Subject<E, A> {
  /** An environment, or a function that makes one: then each check has a new one, and two can be compared. */
  readonly source: E | (() => Awaitable<E>);
  readonly steps: number;
  readonly maxSteps: number;
  readonly choose: ActionChoice<A>;
}

/** Options of `checkEnv`, and of `checkVectorEnv`, for which a step is one of all its environments. */
export interface EnvCheckOptions<A> extends CheckOptions {
  /** Steps that each check takes. Default 60. */
  readonly steps?: number;
  /** Steps in which an episode's end is looked for. Default 2000. */
  readonly maxSteps?: number;
  /** Where not every action of the space is legal at any time: chooses one. Default: a sample of the space. */
  readonly chooseAction?: ActionChoice<A>;
}

export function subjectOf<E, A>(
  source: Subject<E, A>['source'],
  { steps = 60, maxSteps = 2000, chooseAction = (space) => space.sample() }: EnvCheckOptions<A>,
): Subject<E, A> {
  return { source, steps, maxSteps, choose: chooseAction };
}

/** What a check has to work with. */
export interface Trial<D = Driver, S = Subject<unknown, unknown>> {
  readonly driver: D;
  readonly report: Report;
  readonly subject: S;
  /** Drives another environment of the same maker, and closes it afterwards; absent where there is no maker. */
  readonly withAnother?: (use: (driver: D) => Promise<void>) => Promise<void>;
}

/** A check of an environment; one that takes any {@link Driver} serves single and vector environments alike. */
export interface EnvCheck<D = Driver, S = Subject<unknown, unknown>> {
  readonly name: string;
  /** What holds where nothing is found: reads as the name of a test. */
  readonly title: string;
  /** Besides the first checks, which all others need: checks without which this one would tell their errors again. */
  readonly needs?: readonly string[];
  run(trial: Trial<D, S>): Promise<void>;
}

interface DriverClass<D> {
  readonly drives: 'an Env' | 'a VectorEnv';
  new (env: never, report: Report, choose: ActionChoice<unknown>): D;
}

/** Checks of one kind of environment, each of which drives an environment of its own where the subject has a maker. */
export function envChecksOf<D extends Driver, S extends Subject<Drivable, unknown>>(
  driverClass: DriverClass<D>,
  checks: readonly EnvCheck<D, S>[],
): Check<S>[] {
  const tryOut = async (subject: S, report: Report, use: (driver: D) => Promise<void>): Promise<void> => {
    const { source } = subject;
    const env: unknown = typeof source === 'function' ? await report.attempt('make', source) : source;
    needInterface(report, env, driverClass.drives);
    try {
      await use(new driverClass(env as never, report, subject.choose));
    } finally {
      if (typeof source === 'function') await closeQuietly(env);
    }
  };
  return checks.map((check) => ({
    name: check.name,
    title: check.title,
    needs: [...needsOf(['interface', 'spaces', 'reset', 'step'], check.name), ...(check.needs ?? [])],
    run: (subject, report) =>
      tryOut(subject, report, (driver) => {
        const withAnother = (use: (other: D) => Promise<void>) => tryOut(subject, report, use);
        return check.run({
          driver,
          report,
          subject,
          ...(typeof subject.source === 'function' ? { withAnother } : {}),
        });
      }),
  }));
}

/** Fails the check unless an environment has what all checks call. */
function needInterface(report: Report, env: unknown, kind: string): asserts env is Drivable {
  if (typeof env !== 'object' || env === null)
    report.fail('make', `it must give ${kind}`, show(env), 'return an object with spaces, reset() and step()');
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
}

/** Closes at the end of a check. What goes wrong in it is told by the check of closing. */
export async function closeQuietly(env: { close?(): Awaitable<void> }): Promise<void> {
  try {
    await env.close?.();
  } catch {
    // the check of closing tells it
  }
}
