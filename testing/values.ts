import { isNdArray, type TypedArray } from '../core/ndarray.js';

function isTypedArray(value: unknown): value is TypedArray {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

/** Whether a value is an object whose keys are its content: `{}`, and not an instance of something. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null;
}

/** A value as short text, with its type where that is the point. */
export function show(value: unknown): string {
  const text = (inner: unknown, above: readonly unknown[] = []): string => {
    if (above.includes(inner)) return '(itself)';
    const part = (value: unknown) => text(value, [...above, inner]);
    if (typeof inner === 'string') return JSON.stringify(inner);
    if (typeof inner === 'function') return `function ${inner.name || '(nameless)'}`;
    if (isTypedArray(inner)) return `${inner.constructor.name} [${clipped([...inner].map(String))}]`;
    if (isNdArray(inner)) return `${text(inner.data)} of shape [${inner.shape.join(', ')}]`;
    if (inner instanceof Error) return `${inner.name}: ${inner.message}`;
    if (Array.isArray(inner)) return `[${clipped(inner.map(part))}]`;
    if (isPlainObject(inner))
      return `{ ${clipped(Object.entries(inner).map(([key, value]) => `${key}: ${part(value)}`))} }`;
    if (typeof inner === 'object' && inner !== null) return `an instance of ${inner.constructor.name}`;
    return String(inner);
  };
  const whole = text(value);
  return whole.length > 300 ? `${whole.slice(0, 300)}...` : whole;
}

function clipped(parts: readonly string[]): string {
  return parts.length > 12 ? `${parts.slice(0, 12).join(', ')}, ... (${parts.length})` : parts.join(', ');
}

/**
 * A copy, which later changes of the original do not reach. What is neither an array nor a plain object is not copied.
 */
export function copied<T>(value: T): T {
  const copies = new Map<unknown, unknown>(); // of what was met: a value may contain itself
  const copy = (inner: unknown): unknown => {
    if (isTypedArray(inner)) return inner.slice();
    if (!Array.isArray(inner) && !isPlainObject(inner)) return inner;
    if (copies.has(inner)) return copies.get(inner);
    const own: object = Array.isArray(inner) ? [] : {};
    copies.set(inner, own);
    for (const [key, part] of Object.entries(inner)) Object.assign(own, { [key]: copy(part) });
    return own;
  };
  return copy(value) as T;
}

/** The path of the first part of a value that contains itself; undefined where there is none. */
export function cycle(value: unknown, path = '', above: readonly unknown[] = []): string | undefined {
  if (!Array.isArray(value) && !isPlainObject(value)) return undefined;
  if (above.includes(value)) return path;
  for (const [key, part] of Object.entries(value)) {
    const found = cycle(part, `${path}.${key}`, [...above, value]);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A place where two values differ. */
export interface Difference {
  /** A path such as `observation.data[2]`; empty where the two values differ as wholes. */
  readonly path: string;
  /** Both values, as text. */
  readonly actual: string;
  /** Whether the values differ by rounding alone: within 1e-5, absolutely or relatively (Gymnasium's tolerance). */
  readonly close: boolean;
}

/**
 * The first place where two values differ by more than rounding, or else the first where they differ by rounding;
 * undefined where they are equal.
 */
export function difference(a: unknown, b: unknown, path = '', above: readonly unknown[] = []): Difference | undefined {
  const here = (close = false): Difference => ({ path, actual: `${show(a)} and ${show(b)}`, close });
  if (Object.is(a, b) || above.includes(a)) return undefined;
  const inner = (key: string | number, under: string) =>
    difference((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key], under, [...above, a]);
  if (typeof a === 'number' && typeof b === 'number') return here(Math.abs(a - b) <= 1e-5 + 1e-5 * Math.abs(b));
  if (isTypedArray(a) && isTypedArray(b)) {
    if (a.constructor !== b.constructor || a.length !== b.length) return here();
    return firstOf(a.length, (i) => inner(i, `${path}[${i}]`));
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    if (a.length !== b.length) return here();
    return firstOf(a.length, (i) => inner(i, `${path}[${i}]`));
  }
  if (isPlainObject(a) && isPlainObject(b)) {
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];
    return firstOf(keys.length, (i) => {
      const key = keys[i]!;
      return inner(key, path === '' ? key : `${path}.${key}`);
    });
  }
  // Functions and instances of classes have no content that could be compared.
  const opaque = (value: unknown) => typeof value === 'function' || (typeof value === 'object' && value !== null);
  return opaque(a) && opaque(b) && (a as object).constructor === (b as object).constructor && !isPlainObject(a)
    ? undefined
    : here();
}

function firstOf(n: number, at: (i: number) => Difference | undefined): Difference | undefined {
  let close: Difference | undefined;
  for (let i = 0; i < n; i++) {
    const found = at(i);
    if (found && !found.close) return found;
    close ??= found;
  }
  return close;
}

/**
 * The path in `b` of its first part that is, or shares memory with, a mutable part of `a`; undefined where there is
 * none.
 */
export function shared(a: unknown, b: unknown): string | undefined {
  const objects = new Set<object>();
  const arrays: TypedArray[] = [];
  walk(a, '', (part) => {
    if (isTypedArray(part)) arrays.push(part);
    else if (!Object.isFrozen(part)) objects.add(part);
  });
  let found: string | undefined;
  walk(b, '', (part, path) => {
    if (found !== undefined) return;
    const same = isTypedArray(part) ? arrays.some((other) => overlap(part, other)) : objects.has(part);
    if (same) found = path;
  });
  return found;
}

/** Visits all arrays, plain objects and typed arrays in a value, except the shape of an array, which nobody writes. */
function walk(
  value: unknown,
  path: string,
  visit: (part: object, path: string) => void,
  above: readonly unknown[] = [],
): void {
  if (above.includes(value)) return;
  const within = [...above, value];
  const under = (key: string) => (path === '' ? key : `${path}.${key}`);
  if (isTypedArray(value)) visit(value, path);
  else if (isNdArray(value)) visit(value.data, under('data'));
  else if (Array.isArray(value)) {
    visit(value, path);
    value.forEach((part, i) => {
      walk(part, `${path}[${i}]`, visit, within);
    });
  } else if (isPlainObject(value)) {
    visit(value, path);
    for (const [key, part] of Object.entries(value)) walk(part, under(key), visit, within);
  }
}

function overlap(a: TypedArray, b: TypedArray): boolean {
  return (
    a.buffer === b.buffer &&
    a.byteLength > 0 &&
    a.byteOffset < b.byteOffset + b.byteLength &&
    b.byteOffset < a.byteOffset + a.byteLength
  );
}
