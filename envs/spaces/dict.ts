import { GymError } from '../../core/errors.js';
import { shown } from '../../core/shown.js';
import { checkSpace } from './arguments.js';
import { type FlatLayout, oneRestriction } from './base.js';
import { CompositeSpace, compositeLayout, type PartTest } from './composite.js';
import type { ElementOf, Space } from './space.js';
import type { MaskOf, ProbabilityOf } from './tuple.js';

type Spaces = Readonly<Record<string, Space<unknown>>>;
/** An element of a {@link Dict}: under each key an element of the space of that key. */
export type DictElement<S extends Spaces> = { [K in keyof S]: ElementOf<S[K]> };

export interface DictSample<S extends Spaces> {
  mask?: { readonly [K in keyof S]: MaskOf<S[K]> | undefined } | undefined;
  probability?: { readonly [K in keyof S]: ProbabilityOf<S[K]> | undefined } | undefined;
}

function isIterable(value: object): value is Iterable<unknown> {
  return typeof (value as Partial<Iterable<unknown>>)[Symbol.iterator] === 'function';
}

/**
 * What a Dict's constructor was given, as a list of entries.
 * @throws GymError E_SPACE unless each is a key of its own and a space.
 */
function entriesOf(spaces: unknown): (readonly [string, Space<unknown>])[] {
  if (typeof spaces !== 'object' || spaces === null)
    throw new GymError(
      'E_SPACE',
      `Dict: spaces must be an object, or a list or Map of [key, space], actual value ${shown(spaces)}.`,
    );
  const entries: unknown[] = isIterable(spaces) ? [...spaces] : Object.entries(spaces);
  const keys = new Set<string>();
  return entries.map((entry) => {
    if (!Array.isArray(entry) || entry.length !== 2 || typeof entry[0] !== 'string')
      throw new GymError(
        'E_SPACE',
        `Dict: an entry of a list must be [key, space] (a list of spaces is a Tuple), actual value ${shown(entry)}.`,
      );
    const [key, space] = entry as [string, Space<unknown>];
    checkSpace(`Dict: spaces.${key}`, space);
    if (keys.has(key)) throw new GymError('E_SPACE', `Dict: key \`${key}\` is there twice; give each space its own.`);
    keys.add(key);
    return [key, space];
  });
}

/**
 * Plain objects with an element of a space under each key: `new Dict({ position: new Box(-1, 1), gear: new Discrete(5)
 * })`.
 *
 * The order of the keys is that of flattening and seeding. An object's keys are sorted (as Gymnasium does); those of a
 * list or a Map of `[key, space]` stay in their order. `sortKeys` says otherwise. JavaScript itself puts the keys of an
 * object that look like integers before all others, so where these must stand elsewhere, give a list.
 */
export class Dict<S extends Spaces = Spaces> extends CompositeSpace<DictElement<S>> {
  readonly kind = 'Dict';
  readonly spaces: S;
  /** The keys in the order of flattening and seeding. The order of the properties of `spaces` may be another one. */
  readonly keys: readonly (keyof S & string)[];
  readonly flat?: FlatLayout<DictElement<S>>;

  /** @throws GymError E_SPACE on anything but spaces, each under a key of its own. */
  constructor(
    spaces: S | Iterable<readonly [string, Space<unknown>]>,
    { sortKeys }: { sortKeys?: boolean | undefined } = {},
  ) {
    super();
    const entries = entriesOf(spaces);
    this.spaces = Object.fromEntries(entries) as S;
    const keys = entries.map(([key]) => key);
    this.keys = (sortKeys ?? !isIterable(spaces)) ? keys.sort((a, b) => (a < b ? -1 : 1)) : keys;
    const { keys: order } = this;
    this.flat = compositeLayout(
      this.parts,
      (value: DictElement<S>) => order.map((key) => value[key]),
      (parts) => Object.fromEntries(order.map((key, i) => [key, parts[i]])) as DictElement<S>,
    );
  }

  protected override get parts(): readonly Space<unknown>[] {
    return this.keys.map((key) => this.spaces[key]!);
  }

  /** A random element. @throws GymError E_VALUE when the masks or probabilities do not have the space's keys. */
  sample(options?: DictSample<S>): DictElement<S> {
    const restriction = oneRestriction('Dict', options);
    const parts = restriction && (options![restriction] as Record<string, unknown>);
    if (
      parts &&
      (Object.keys(parts).length !== this.keys.length || !this.keys.every((key) => Object.hasOwn(parts, key)))
    )
      throw new GymError(
        'E_VALUE',
        `Dict.sample: the ${restriction} has keys ${Object.keys(parts).join(', ')}; the space has ${this.keys.join(', ')}.`,
      );
    const sampled = (key: string) => this.spaces[key]!.sample(restriction && { [restriction]: parts![key] });
    return Object.fromEntries(this.keys.map((key) => [key, sampled(key)])) as DictElement<S>;
  }

  /** Plain objects with exactly the space's keys and a member of each. */
  protected consists(value: unknown, test: PartTest): boolean {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
    const record = value as Record<string, unknown>;
    if (Object.keys(record).length !== this.keys.length) return false;
    return this.keys.every((key) => Object.hasOwn(record, key) && test(this.spaces[key]!, record[key]));
  }

  equals(other: Space<unknown>): boolean {
    return (
      other instanceof Dict &&
      other.keys.length === this.keys.length &&
      this.keys.every((key, i) => other.keys[i] === key && this.spaces[key]!.equals(other.spaces[key]!))
    );
  }

  toJson(): unknown {
    return { kind: this.kind, spaces: this.keys.map((key) => [key, this.spaces[key]!.toJson()]) };
  }

  toString(): string {
    return `Dict(${this.keys.map((key) => `${JSON.stringify(key)}: ${this.spaces[key]}`).join(', ')})`;
  }
}
