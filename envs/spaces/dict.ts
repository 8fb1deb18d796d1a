import { GymError } from '../../core/errors.js';
import { shown } from '../../core/shown.js';
import { checkSpace } from './arguments.js';
import { type FlatLayout, oneRestriction } from './base.js';
import { CompositeSpace, compositeLayout, type PartTest } from './composite.js';
import type { ElementOf, Space } from './space.js';
import type { MaskOf, ProbabilityOf } from './tuple.js';

type Spaces = Readonly<Record<string, Space<unknown>>>;
/** An element of a {@link Dict}: one of each of its spaces. */
export type DictElement<S extends Spaces> = { [K in keyof S]: ElementOf<S[K]> };

export interface DictSample<S extends Spaces> {
  mask?: { readonly [K in keyof S]: MaskOf<S[K]> | undefined };
  probability?: { readonly [K in keyof S]: ProbabilityOf<S[K]> | undefined };
}

/** Plain objects with an element of a space under each key: `new Dict({ position: new Box(-1, 1), gear: new Discrete(5) })`. */
export class Dict<S extends Spaces = Spaces> extends CompositeSpace<DictElement<S>> {
  readonly kind = 'Dict';
  readonly spaces: S;
  /** In sorted order (as Gymnasium has them), which is that of flattening and seeding. */
  readonly keys: readonly (keyof S & string)[];
  readonly flat?: FlatLayout<DictElement<S>>;

  /** @throws GymError E_SPACE on anything but an object of spaces. */
  constructor(spaces: S, { sortKeys = true }: { sortKeys?: boolean } = {}) {
    super();
    if (typeof spaces !== 'object' || spaces === null || Array.isArray(spaces))
      throw new GymError(
        'E_SPACE',
        `Dict: spaces must be an object, actual value ${shown(spaces)}; a list is a Tuple.`,
      );
    this.spaces = { ...spaces };
    for (const key in this.spaces) checkSpace(`Dict: spaces.${key}`, this.spaces[key]);
    const keys = Object.keys(spaces) as (keyof S & string)[];
    this.keys = sortKeys ? keys.sort((a, b) => (a < b ? -1 : 1)) : keys;
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

  /** @throws GymError E_VALUE when the masks or probabilities do not have the space's keys. */
  sample(options?: DictSample<S>): DictElement<S> {
    const restriction = oneRestriction('Dict', options);
    const parts = restriction && (options![restriction] as Record<string, unknown>);
    if (parts && (Object.keys(parts).length !== this.keys.length || !this.keys.every((key) => key in parts)))
      throw new GymError(
        'E_VALUE',
        `Dict.sample: the ${restriction} has keys ${Object.keys(parts).join(', ')}; the space has ${this.keys.join(', ')}.`,
      );
    const element: Record<string, unknown> = {};
    for (const key of this.keys) element[key] = this.spaces[key]!.sample(restriction && { [restriction]: parts![key] });
    return element as DictElement<S>;
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
