import type { Snapshot } from '../../core/snapshot.js';
import type { Awaitable, Info } from '../../core/types.js';
import type { EnvSpec } from '../../envs/env.js';
import type { Space } from '../../envs/spaces/space.js';
import type { VectorResetOptions } from '../../envs/vector-env.js';
import type { Report } from '../findings.js';
import { copied, isPlainObject, show } from '../values.js';

// Single and vector environments promise nearly the same. A driver hides where they differ (one value or a list of
// values, the names of the parts of a result, who resets after an end), so that a check which needs no difference is
// written once, for both.

/** Chooses an action that is legal now; `info` is that of the present observation. */
export type ActionChoice<A> = (space: Space<A>, info: Info) => A;

/** What single and vector environments have in common. */
export interface Drivable {
  readonly observationSpace: Space<unknown>;
  readonly actionSpace: Space<unknown>;
  readonly spec?: EnvSpec;
  reset(options?: VectorResetOptions): Awaitable<unknown>;
  step(action: unknown): Awaitable<unknown>;
  render?(): Awaitable<unknown>;
  snapshot?(): Awaitable<Snapshot>;
  restore?(snapshot: Snapshot): Awaitable<unknown>;
  close?(): Awaitable<void>;
}

/** The types of one of the two kinds of environment. */
export interface Kind {
  readonly env: Drivable;
  /** What `step` takes: an action, or a list of one action for each environment. */
  readonly action: unknown;
  readonly options: VectorResetOptions;
  readonly reset: object;
  readonly step: object;
}

/** The parts of a result, by the names that a single environment gives them. */
export type Part = 'observation' | 'reward' | 'terminated' | 'truncated' | 'info';

const resetParts: readonly Part[] = ['observation', 'info'];
const stepParts: readonly Part[] = ['observation', 'reward', 'terminated', 'truncated', 'info'];

/** A result of `reset` or `step`, copied when it was returned, and which call it was: `reset`, or `step 3`. */
export type Moment<R = object> = R & { readonly where: string };

/** What an environment returned, call by call, and the actions that it was given. */
export interface Play<K extends Kind = Kind> {
  readonly moments: Moment<K['reset'] | K['step']>[];
  readonly actions: K['action'][];
}

export interface PlayOptions<K extends Kind = Kind> {
  readonly seed?: number;
  /** These actions are taken, instead of newly chosen ones. */
  readonly actions?: readonly K['action'][];
  /** Called after each reset and step. */
  readonly meanwhile?: () => Promise<void>;
}

/**
 * Drives an environment for a check. Whatever the environment throws, and any result of another form, ends the check.
 */
export abstract class Driver<K extends Kind = Kind> {
  readonly env: K['env'];
  readonly report: Report;
  readonly #choose: ActionChoice<unknown>;
  #infos: readonly unknown[] = [];
  #steps = 0;

  constructor(env: K['env'], report: Report, choose: ActionChoice<unknown>) {
    this.env = env;
    this.report = report;
    this.#choose = choose;
    env.actionSpace.seed(1); // so that a check takes the same actions whenever it runs
  }

  /** The names of the parts in a result of this kind. */
  abstract readonly keys: Readonly<Record<Part, string>>;
  /** How findings speak of the episodes and of the argument of `step`. */
  abstract readonly words: {
    readonly another: 'another episode' | 'other episodes';
    readonly same: 'the same episode' | 'the same observations';
    readonly action: 'action' | 'actions';
  };
  /** What says that an episode ended, or did not end. */
  abstract readonly flag: { is(value: unknown): boolean; readonly what: string; readonly todo: string };
  /** How many environments are driven. */
  abstract readonly size: number;

  /** An argument of `step` for the present observations. */
  abstract action(): K['action'];
  /** Whether no step may follow before the caller has reset what ended. */
  abstract mustReset(result: K['step']): boolean;
  /** The reset that must follow. */
  abstract resetEnded(result: K['step']): Promise<K['reset']>;
  /** Options of `reset` in all their forms, with which it must not tamper. */
  abstract resetOptions(): K['options'][];
  /** What findings call the step with this number after the first or the second reset. */
  abstract stepName(step: number, reset: 'first' | 'second'): string;
  /**
   * What environment `i` has of a part of a result, under the name that findings give it: `reward`, or `rewards[2]`.
   */
  abstract part(result: object, part: Part, i: number): { readonly name: string; readonly value: unknown };
  /** What the environment draws, picture by picture, with the place of each. */
  abstract pictures(): Promise<[where: string, picture: unknown][]>;

  /** An action that environment `i` may take now. */
  protected choose(i: number): unknown {
    const info = this.#infos[i];
    return this.#choose(this.env.actionSpace, isPlainObject(info) ? info : {});
  }

  async reset(options?: K['options']): Promise<K['reset']> {
    const where = `reset(${options === undefined ? '' : show(options)})`;
    const result: unknown = await this.report.attempt(where, () => this.env.reset(options));
    if (options?.mask === undefined) this.#steps = 0; // with a mask, the episodes of the others go on
    return this.accept(where, result, resetParts);
  }

  async step(action: K['action'] = this.action()): Promise<K['step']> {
    const where = `step ${++this.#steps}`;
    const result: unknown = await this.report.attempt(where, () => this.env.step(action));
    return this.accept(where, result, stepParts);
  }

  /** Restores a snapshot; the environment must be able to. */
  async restore(where: string, snapshot: Snapshot): Promise<K['reset']> {
    const result: unknown = await this.report.attempt(where, () => this.env.restore!(snapshot));
    return this.accept(where, result, resetParts);
  }

  /** Fails the check unless a result has the form that it must have. */
  protected accept(where: string, result: unknown, parts: readonly Part[]): object {
    const keys = parts.map((part) => this.keys[part]);
    needKeys(this.report, where, result, keys);
    this.#infos = Array.from({ length: this.size }, (_, i) => this.part(result, 'info', i).value);
    return result;
  }

  /** All that was observed, in the form in which the result has it. */
  observed(result: K['reset']): unknown {
    return (result as Record<string, unknown>)[this.keys.observation];
  }

  /** So many steps from a reset on, with a reset after each end where the environment leaves that to its caller. */
  async play(steps: number, { seed, ...options }: PlayOptions<K> = {}): Promise<Play<K>> {
    const first = await this.reset(seed === undefined ? undefined : { seed });
    const moments: Play<K>['moments'] = [{ where: 'reset', ...copied(first) }];
    await options.meanwhile?.();
    return await this.goOn(steps, options, moments);
  }

  /** So many steps from where the environment is; what they return is added to `moments`. */
  async goOn(
    steps: number,
    { actions: given, meanwhile }: Omit<PlayOptions<K>, 'seed'> = {},
    moments: Play<K>['moments'] = [],
  ): Promise<Play<K>> {
    const actions: K['action'][] = [];
    for (let t = 0; t < steps; t++) {
      const action = given ? copied(given[t]) : this.action();
      actions.push(copied(action));
      const result = await this.step(action);
      moments.push({ where: `step ${t + 1}`, ...copied(result) });
      await meanwhile?.();
      if (!this.mustReset(result)) continue;
      moments.push({ where: `the reset after step ${t + 1}`, ...copied(await this.resetEnded(result)) });
      await meanwhile?.();
    }
    return { moments, actions };
  }
}

/** Whether a moment is a step; if not, it is a reset. */
export function isStep<M extends object>(moment: M): moment is Extract<M, { readonly terminated: unknown }> {
  return 'terminated' in moment;
}

/** Fails the check unless a result is an object with these keys. */
function needKeys(report: Report, where: string, result: unknown, keys: readonly string[]): asserts result is object {
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
