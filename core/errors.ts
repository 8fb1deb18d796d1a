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
  | 'E_CHECK';

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

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
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
    const d = distance(name.toLowerCase(), candidate.toLowerCase());
    if (d < bestDistance) {
      best = candidate;
      bestDistance = d;
    }
  }
  return best !== undefined && bestDistance <= Math.max(2, Math.ceil(best.length * 0.4)) ? best : undefined;
}

/** The error for a name that is not in a list: with the nearest known one and all that are known. */
export function unknownName(where: string, kind: string, name: string, known: Iterable<string>): GymError {
  const names = [...known];
  const guess = nearest(name, names);
  const hint = guess === undefined ? '' : ` Did you mean \`${guess}\`?`;
  return new GymError(
    'E_NAME',
    `${where}: unknown ${kind} \`${name}\`.${hint} Known: ${names.join(', ') || '(none)'}.`,
  );
}
