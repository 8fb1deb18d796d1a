import { isAbsolute, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { shownName } from './shown.js';

const marker = Symbol.for('denoise-gym.error');

/** What went wrong, for programs; the message is for people. */
export type ErrorCode =
  | 'E_CONFIG'
  | 'E_SHAPE'
  | 'E_VALUE'
  | 'E_NAME'
  | 'E_FILE'
  | 'E_BACKEND'
  | 'E_REWARD'
  | 'E_STATE'
  | 'E_SPACE'
  | 'E_CHECK'
  | 'E_DIVERGED'
  | 'E_TRUST';

/**
 * Every error that this package throws on purpose. The message reads "place: what is wrong, with the actual value; what to do".
 * `GymError.is(e)` works across duplicate copies of the package.
 */
export class GymError extends Error {
  readonly code: ErrorCode;
  readonly [marker] = true;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'GymError';
    this.code = code;
  }

  /** Whether a caught value is a `GymError` (of this or another copy of the package). */
  static is(error: unknown): error is GymError {
    return typeof error === 'object' && error !== null && marker in error;
  }
}

/** The message of anything that was thrown, which need not be an error; never empty. */
export function messageOf(error: unknown): string {
  if (typeof error === 'string' && error !== '') return error;
  if (!(error instanceof Error)) return inspect(error, { breakLength: Number.POSITIVE_INFINITY });
  return error.message || (error as NodeJS.ErrnoException).code || error.name;
}

/** An error and what caused it, the outermost first. */
function chainOf(error: unknown): unknown[] {
  const chain: unknown[] = [];
  for (let next = error; next !== undefined && !chain.includes(next); next = causeOf(next)) chain.push(next);
  return chain;
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}

/** The folder of this package's modules: that of the repository, or `dist/`. */
const root = fileURLToPath(new URL('../', import.meta.url));
/** What of it is this package where that is the repository, in which its users may keep files of their own. */
export const rooms = [
  'agents',
  'backend',
  'benchmarks',
  'cli',
  'core',
  'diffusion',
  'envs',
  'index.ts',
  'networks',
  'rewards',
  'testing',
  'training',
];

/** Whether a file is neither Node's, nor an installed package's, nor this package's. */
function isUsers(file: string): boolean {
  if (!isAbsolute(file) || file.includes(`${sep}node_modules${sep}`)) return false;
  if (!file.startsWith(root)) return true;
  return !import.meta.url.endsWith('.js') && !rooms.includes(file.slice(root.length).split(sep)[0]!);
}

/** File, line and column of a line of a stack, if it is in a file of the user's. */
function placeOf(frame: string): string | undefined {
  const call = /^\s+at (?:async )?(.*)$/.exec(frame)?.[1];
  if (call === undefined) return undefined;
  const location = call.endsWith(')') ? call.slice(call.indexOf(' (') + 2, -1) : call;
  const [, name, line] = /^(.*?)(?:\?.*?)?(:\d+:\d+)$/.exec(location) ?? [];
  if (name === undefined) return undefined;
  const file = name.startsWith('file:') ? fileURLToPath(name) : name;
  if (!isUsers(file)) return undefined;
  return `${pathFromHere(file)}${line}`;
}

/** A file's path from the working directory where it is below it, else its absolute path. */
export function pathFromHere(file: string): string {
  const path = relative(process.cwd(), file);
  return path.startsWith('..') || isAbsolute(path) ? file : path;
}

/**
 * The line of the user's own code in which an error, or what caused it, came about: `my-reward.ts:12:9`, from the working
 * directory where the file is below it, else absolute; undefined where no line of the user's own was involved. Modules
 * that were loaded by `importUserModule` are shown as they were written, TypeScript too.
 */
export function userFrame(error: unknown): string | undefined {
  for (const link of chainOf(error).reverse()) {
    if (!(link instanceof Error)) continue;
    for (const frame of (link.stack ?? '').split('\n')) {
      const place = placeOf(frame);
      if (place !== undefined) return place;
    }
  }
  return undefined;
}

/**
 * What to print of an error: its message; a line for each cause that the message does not tell already (`fetch failed` hides
 * that a connection was refused); and the line of the user's own code in which it came about, if any.
 *
 * @param options.debug also every stack.
 */
export function describeError(error: unknown, { debug = false }: { debug?: boolean } = {}): string {
  const lines = [messageOf(error)];
  const tell = (text: string, how: string) => {
    if (!lines.some((line) => line.includes(text))) lines.push(`  ${how} ${text}`);
  };
  for (const cause of chainOf(error).slice(1)) {
    // What tries several addresses fails with all of their errors, and may have no message of its own.
    const parts = cause instanceof AggregateError ? cause.errors : [cause];
    for (const part of parts) tell(messageOf(part), 'caused by:');
  }
  const place = userFrame(error);
  if (place !== undefined) tell(place, 'at');
  return debug ? `${lines.join('\n')}\n${inspect(error)}` : lines.join('\n');
}

/** Edit distance with adjacent swaps (optimal string alignment). */
function distance(a: string, b: string): number {
  const rows: number[][] = [];
  for (let i = 0; i <= a.length; i++) {
    const row: number[] = [];
    for (let j = 0; j <= b.length; j++) {
      if (i === 0 || j === 0) {
        row.push(i + j);
        continue;
      }
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, rows[i - 2]![j - 2]! + 1);
      row.push(best);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}

/** The known name nearest to a mistyped one (case ignored), or undefined when none is near. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    // As many edits at least as the lengths differ by: a name of a megabyte is near to nothing.
    if (Math.abs(name.length - candidate.length) > farthest(candidate)) continue;
    const d = distance(name.toLowerCase(), candidate.toLowerCase());
    if (d < bestDistance) {
      best = candidate;
      bestDistance = d;
    }
  }
  return best !== undefined && bestDistance <= farthest(best) ? best : undefined;
}

/** How many edits a name may be away from a known one to be taken for it. */
function farthest(known: string): number {
  return Math.max(2, Math.ceil(known.length * 0.4));
}

/** The error for a name that is not in a list: with the nearest known one and all that are known. */
export function unknownName(where: string, kind: string, name: string, known: Iterable<string>): GymError {
  const names = [...known];
  const guess = nearest(name, names);
  const hint = guess === undefined ? '' : ` Did you mean \`${guess}\`?`;
  return new GymError(
    'E_NAME',
    `${where}: unknown ${kind} \`${shownName(name)}\`.${hint} Known: ${names.join(', ') || '(none)'}.`,
  );
}
