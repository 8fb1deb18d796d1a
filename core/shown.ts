import { inspect } from 'node:util';

/**
 * A value as an error shows it: as text of a bounded length, whatever the value is. (JSON.stringify would throw on a
 * BigInt or a cycle, and write a million numbers of a large array.)
 */
export function shown(value: unknown): string {
  const text = inspect(value, {
    depth: 3,
    breakLength: Number.POSITIVE_INFINITY,
    maxArrayLength: 12,
    maxStringLength: 400,
  });
  return text.length > 300 ? `${text.slice(0, 300)}...` : text;
}

/**
 * A value of a file as an error shows it: as JSON, of at most 80 characters. Only as much is written as is shown, so
 * that a value may be large, nested without end, or a part of itself.
 */
export function shownJson(value: unknown): string {
  const text = begunJson(value, 80);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** The beginning of a value's JSON: all of it where that has at most so many characters, and at least one more if not. */
function begunJson(value: unknown, most: number): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, Math.max(0, most)));
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value !== 'object' || value === null) return String(value);
  let text = '';
  const left = () => most - 1 - text.length;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length && left() >= 0; i++) text += `${i > 0 ? ',' : ''}${begunJson(value[i], left())}`;
    return `[${text}]`;
  }
  for (const key in value) {
    if (left() < 0) break;
    if (!Object.hasOwn(value, key)) continue;
    text += `${text === '' ? '' : ','}${begunJson(key, left())}:`;
    text += begunJson((value as Record<string, unknown>)[key], left());
  }
  return `{${text}}`;
}

/** A name as an error shows it: the beginning of it where somebody put a text in its place. */
export function shownName(name: string): string {
  return name.length > 100 ? `${name.slice(0, 97)}...` : name;
}

/** A shape as an error shows it: `[2, 3]`. */
export function shownShape(shape: readonly unknown[]): string {
  return `[${shape.slice(0, 16).map(shownJson).join(', ')}${shape.length > 16 ? `, ... (${shape.length} axes)` : ''}]`;
}
