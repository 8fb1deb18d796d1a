import { inspect } from 'node:util';

/**
 * A value as an error shows it: as text of a bounded length, whatever the value is. (JSON.stringify would throw on a
 * BigInt or a cycle, and write a million numbers of a large array.)
 */
export function shown(value: unknown): string {
  const text = inspect(value, { depth: 3, breakLength: Number.POSITIVE_INFINITY, maxArrayLength: 12 });
  return text.length > 300 ? `${text.slice(0, 300)}...` : text;
}
