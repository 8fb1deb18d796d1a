import * as fc from 'fast-check';

/** Names that every object inherits, and others that are not what they seem. */
export const oddNames = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '__metadata__',
  '$array',
  '$number',
  '',
  ' ',
  '.',
  '..',
  '-1',
  '0',
  'NaN',
  '\0',
  '\ud800',
  '\u2028',
  '😀',
  'x'.repeat(5000),
];

/** Numbers at which something changes. */
export const oddNumbers = [
  0,
  -0,
  1,
  -1,
  0.5,
  1.5,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  1e9,
  1e17,
  1e30,
  1e308,
  -1e308,
  5e-324,
  1e-9,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
];

/** Lists in lists. */
export function nested(levels: number): unknown {
  let value: unknown = 0;
  for (let i = 0; i < levels; i++) value = i % 3 === 0 ? { a: value } : [value];
  return value;
}

/** Values that are seldom what is asked for. */
export const oddValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<unknown>(...oddNumbers) },
  { weight: 3, arbitrary: fc.constantFrom<unknown>(...oddNames) },
  {
    weight: 3,
    arbitrary: fc
      .constantFrom('null', 'true', 'false', '[]', '{}', '[[]]', '[null]', '{"a":1}')
      .map((text) => JSON.parse(text)),
  },
  { weight: 2, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  { weight: 1, arbitrary: fc.constantFrom(100, 5000, 10_000).map(nested) },
  { weight: 1, arbitrary: fc.constantFrom(1e5, 1e6).map((n) => 'y'.repeat(n)) },
  { weight: 1, arbitrary: fc.constantFrom(1000, 20_000).map((n) => new Array(n).fill(1)) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(1000, 10_000)
      .map((n) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, i]))),
  },
);

/** A change of one place of a tree of JSON, wherever that is. */
interface Change {
  readonly place: number;
  /** `like`: by another value of the same type. */
  readonly kind: 'like' | 'replace' | 'remove' | 'add' | 'rename' | 'double';
  readonly value: unknown;
  readonly number: number;
  readonly name: string;
}

const change: fc.Arbitrary<Change> = fc.record({
  place: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  kind: fc.constantFrom('like', 'like', 'like', 'replace', 'replace', 'remove', 'add', 'rename', 'double'),
  value: oddValue,
  number: fc.constantFrom(...oddNumbers),
  name: fc.constantFrom(...oddNames),
});

/** Lists and objects of a tree with their keys, in order. */
function placesOf(root: unknown): { holder: Record<string, unknown>; key: string }[] {
  const places: { holder: Record<string, unknown>; key: string }[] = [];
  const visit = (value: unknown, depth: number) => {
    if (typeof value !== 'object' || value === null || depth > 20) return;
    // Of a long list the first places stand for all.
    for (const key of Object.keys(value).slice(0, 40)) {
      places.push({ holder: value as Record<string, unknown>, key });
      visit((value as Record<string, unknown>)[key], depth + 1);
    }
  };
  visit(root, 0);
  return places;
}

function put(holder: object, key: string, value: unknown): void {
  Object.defineProperty(holder, key, { value, enumerable: true, writable: true, configurable: true });
}

function changed(root: unknown, changes: readonly Change[]): unknown {
  const box: { root: unknown } = { root: structuredClone(root) };
  for (const { place, kind, value, number, name } of changes) {
    const all = placesOf(box);
    const alike = all.filter(({ holder, key }) => typeof holder[key] !== 'object');
    const places = kind === 'like' && alike.length > 0 ? alike : all;
    const { holder, key } = places[Math.floor(place * places.length)]!;
    if (kind === 'like' && typeof holder[key] === 'number') put(holder, key, number);
    else if (kind === 'like' && typeof holder[key] === 'string') put(holder, key, name);
    else if (kind === 'like' && typeof holder[key] === 'boolean') put(holder, key, !holder[key]);
    else if (kind === 'replace' || kind === 'like' || holder === box) put(holder, key, value);
    else if (kind === 'add') put(holder, name, value);
    else if (kind === 'double') put(holder, name, holder[key]);
    else {
      const old = holder[key];
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete holder[key];
      if (kind === 'rename') put(holder, name, old);
    }
  }
  return box.root;
}

/** A tree of JSON with a few places changed. */
export function mutated(original: unknown, most = 3): fc.Arbitrary<unknown> {
  return fc.array(change, { minLength: 1, maxLength: most }).map((changes) => changed(original, changes));
}

/** JSON text; with what JavaScript's own would leave out or not write: depth, infinite numbers. */
export function jsonText(value: unknown): string {
  if (typeof value === 'number') return Number.isNaN(value) ? '"NaN"' : String(value).replace('Infinity', '1e999');
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value !== 'object' || value === null) return String(value);
  // A tree may be deeper than the stack; a chain of single lists and objects is written in a loop.
  let [before, after] = ['', ''];
  let inner: unknown = value;
  while (typeof inner === 'object' && inner !== null && Object.keys(inner).length === 1) {
    const [[key, part]] = Object.entries(inner) as [[string, unknown]];
    before += Array.isArray(inner) ? '[' : `{${JSON.stringify(key)}:`;
    after = `${Array.isArray(inner) ? ']' : '}'}${after}`;
    inner = part;
  }
  if (typeof inner !== 'object' || inner === null) return `${before}${jsonText(inner)}${after}`;
  // A list may have been given a `constructor`, of which its own `map` would make the result.
  const parts = Array.isArray(inner)
    ? Array.from({ length: inner.length }, (_, i) => jsonText(inner[i]))
    : Object.entries(inner).map(([key, part]) => `${JSON.stringify(key)}:${jsonText(part)}`);
  return `${before}${Array.isArray(inner) ? '[' : '{'}${parts.join(',')}${Array.isArray(inner) ? ']' : '}'}${after}`;
}

interface Edit {
  readonly at: number;
  readonly length: number;
  readonly insert: Uint8Array;
}

/** Bytes with a few of them removed, replaced, inserted, or cut off. */
export function mutatedBytes(original: Uint8Array): fc.Arbitrary<Uint8Array> {
  const edit: fc.Arbitrary<Edit> = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.oneof(fc.integer({ min: 0, max: 4 }), fc.constantFrom(0, 1, 8, 100, 1e9)),
    insert: fc.oneof(
      fc.uint8Array({ maxLength: 8 }),
      fc
        .constantFrom('"', '{', '}', '[', ']', ',', ':', '\\', '\n', '-', '1e9', '\0', '\xff')
        .map((text) => Buffer.from(text, 'latin1')),
    ),
  });
  return fc.array(edit, { minLength: 1, maxLength: 3 }).map((edits) => {
    let bytes = Buffer.from(original);
    for (const { at, length, insert } of edits) {
      const start = Math.floor(at * bytes.length);
      bytes = Buffer.concat([bytes.subarray(0, start), insert, bytes.subarray(start + length)]);
    }
    return new Uint8Array(bytes);
  });
}

/** Text with a few characters changed. */
export function mutatedText(original: string): fc.Arbitrary<string> {
  return mutatedBytes(Buffer.from(original)).map((bytes) => Buffer.from(bytes).toString());
}
