import { GymError, messageOf, unknownName } from '../core/errors.js';
import type { Awaitable } from '../core/types.js';
import { show } from './values.js';

/** One thing that is wrong with an environment, a reward or an agent. */
export interface Finding {
  /** The check that found it: what `skip` takes. */
  readonly check: string;
  /** The call, and the place in its result: `step 3: observation.position`. */
  readonly where: string;
  readonly what: string;
  /** The actual value, as text. */
  readonly actual: string;
  readonly todo: string;
  /** 'error' breaks the contract; 'warning' is legal, and more often than not a mistake. */
  readonly severity: 'error' | 'warning';
}

/** What every checker understands. */
export interface CheckOptions {
  /** Names of checks to leave out. */
  readonly skip?: readonly string[];
}

/** A place in a finding, what is wrong there, with which value, and what to do. */
type Words = readonly [where: string, what: string, actual: string, todo: string];

/** Ends a check whose subject cannot be driven any further; the finding is already reported. */
class Stopped extends Error {}

/** What a check writes its findings into. */
export class Report {
  readonly findings: Finding[] = [];
  readonly check: string;

  constructor(check: string) {
    this.check = check;
  }

  #add(severity: Finding['severity'], [where, what, actual, todo]: Words): void {
    this.findings.push({ check: this.check, where, what, actual, todo, severity });
  }

  error(...words: Words): void {
    this.#add('error', words);
  }

  warning(...words: Words): void {
    this.#add('warning', words);
  }

  /** An error after which the check cannot go on. */
  fail(...words: Words): never {
    this.#add('error', words);
    throw new Stopped();
  }

  /** The result of a call of the subject's; what it throws is an error that ends the check. */
  async attempt<T>(where: string, call: () => Awaitable<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (error instanceof Stopped) throw error;
      return this.fail(where, 'it throws', messageOf(error), 'make the call work; see the stack of what it throws');
    }
  }

  /** Makes a call that the subject must refuse; that it does not throw is an error. */
  async refusal(where: string, todo: string, call: () => unknown): Promise<void> {
    let result: unknown;
    try {
      result = await call();
    } catch {
      return;
    }
    this.error(where, 'it must throw', show(result), todo);
  }
}

/** A named question about a subject, which reports what is wrong. */
export interface Check<S> {
  readonly name: string;
  /** What holds where nothing is found: reads as the name of a test. */
  readonly title: string;
  /** Checks without which this one would tell their errors again: it is left out where they find some. */
  readonly needs?: readonly string[];
  run(subject: S, report: Report): Awaitable<void>;
}

/** All checks except those to skip. @throws GymError E_NAME on a name to skip that is no check's. */
export function selectChecks<S>(checks: readonly Check<S>[], { skip = [] }: CheckOptions): Check<S>[] {
  const names = checks.map((check) => check.name);
  for (const name of skip) if (!names.includes(name)) throw unknownName('skip', 'check', name, names);
  return checks.filter((check) => !skip.includes(check.name));
}

/**
 * What one check finds. Whatever the subject throws where no check expects it (a getter, a method of a space) is an
 * error too.
 */
export async function runCheck<S>(check: Check<S>, subject: S): Promise<Finding[]> {
  const report = new Report(check.name);
  try {
    await check.run(subject, report);
  } catch (error) {
    if (!(error instanceof Stopped))
      report.error('somewhere', 'it throws where it is only looked at', messageOf(error), placeOf(error));
  }
  return report.findings;
}

/** What to do about an error, with the first line of its stack. */
function placeOf(error: unknown): string {
  const line = error instanceof Error ? error.stack?.split('\n').find((text) => /^\s+at /.test(text)) : undefined;
  return `make getters, and the methods of spaces, throw nothing${line === undefined ? '' : `; it is thrown ${line.trim()}`}`;
}

/**
 * What all checks find, except those whose needs are not met. Where several checks find the same, the first one tells
 * it.
 */
export async function runChecks<S>(checks: readonly Check<S>[], subject: S): Promise<Finding[]> {
  const findings: Finding[] = [];
  const told = new Set<string>();
  const failed = new Set<string>();
  const key = ({ what, actual }: Finding) => `${what}\n${actual}`;
  for (const check of checks) {
    if (check.needs?.some((name) => failed.has(name))) continue;
    const found = await runCheck(check, subject);
    if (found.some(({ severity }) => severity === 'error')) failed.add(check.name);
    const fresh = found.filter((finding) => !told.has(key(finding)));
    for (const finding of fresh) told.add(key(finding));
    findings.push(...fresh);
  }
  return findings;
}

/** What a check needs where the first checks are needed by all others: those of them that come before it. */
export function needsOf(first: readonly string[], name: string): readonly string[] {
  return first.includes(name) ? first.slice(0, first.indexOf(name)) : first;
}

/** The findings as text, one in two lines; 'nothing found' where there is none. */
export function describeFindings(findings: readonly Finding[]): string {
  if (findings.length === 0) return 'nothing found';
  return findings
    .map(
      ({ severity, check, where, what, actual, todo }) =>
        `${severity} [${check}] ${where}: ${what}; actual: ${actual}\n    to do: ${todo}`,
    )
    .join('\n');
}

/**
 * @throws GymError E_CHECK with all findings as text, when there is an error among them (or a warning, if these count).
 */
export function assertNoFindings(name: string, findings: readonly Finding[], { warnings = false } = {}): void {
  const bad = warnings ? findings : findings.filter((finding) => finding.severity === 'error');
  if (bad.length > 0)
    throw new GymError(
      'E_CHECK',
      `${name}: ${bad.length} ${bad.length === 1 ? 'finding' : 'findings'}\n${describeFindings(bad)}`,
    );
}
