import { GymError } from '../../core/errors.js';
import { exponential } from '../random-source.js';
import { checkSpace } from './arguments.js';
import { oneRestriction } from './base.js';
import { CompositeSpace, type PartTest } from './composite.js';
import type { ElementOf, Space } from './space.js';
import type { MaskOf, ProbabilityOf } from './tuple.js';

/** The length of a sample: a number, a list from which one is drawn, or undefined for a random one. */
export type LengthChoice = number | readonly number[] | undefined;

/** Restricts a sample of a {@link Sequence}, by its length and by what the space of its items takes. */
export interface SequenceSample<S extends Space<unknown>> {
  mask?: readonly [length: LengthChoice, feature: MaskOf<S> | undefined] | undefined;
  probability?: readonly [length: LengthChoice, feature: ProbabilityOf<S> | undefined] | undefined;
}

/** Lists of any length, the empty one included, of elements of one space. */
export class Sequence<S extends Space<unknown> = Space<unknown>> extends CompositeSpace<ElementOf<S>[]> {
  readonly kind = 'Sequence';
  readonly feature: S;
  /** Lists have no layout, since they have no fixed number of numbers. */
  readonly flat = undefined;

  /** @throws GymError E_SPACE on anything but a space. */
  constructor(feature: S) {
    super();
    checkSpace('Sequence: feature', feature);
    this.feature = feature;
  }

  protected override get parts(): readonly Space<unknown>[] {
    return [this.feature];
  }

  protected override get reseeds(): boolean {
    return true;
  }

  /**
   * A random list. Unless it is given, its length is drawn from the geometric distribution with p = 1/4: at least 1,
   * and 4 in the mean.
   */
  sample(options?: SequenceSample<S>): ElementOf<S>[] {
    const restriction = oneRestriction('Sequence', options);
    const [choice, feature] = (restriction && options![restriction]) ?? [];
    const length = this.#length(choice);
    return Array.from({ length }, () =>
      this.feature.sample(restriction && { [restriction]: feature }),
    ) as ElementOf<S>[];
  }

  #length(choice: LengthChoice): number {
    if (choice === undefined) return Math.max(1, Math.ceil(exponential(this.random) / -Math.log1p(-0.25)));
    const lengths = typeof choice === 'number' ? [choice] : choice;
    if (lengths.length === 0 || !lengths.every((n) => Number.isInteger(n) && n >= 0))
      throw new GymError(
        'E_VALUE',
        `Sequence.sample: a length must be an integer of at least 0, actual value ${JSON.stringify(choice)}.`,
      );
    return typeof choice === 'number' ? choice : lengths[this.random.integer(lengths.length)]!;
  }

  protected consists(value: unknown, test: PartTest): boolean {
    return Array.isArray(value) && value.every((item) => test(this.feature, item));
  }

  equals(other: Space<unknown>): boolean {
    return other instanceof Sequence && this.feature.equals(other.feature);
  }

  toJson(): unknown {
    return { kind: this.kind, feature: this.feature.toJson() };
  }

  toString(): string {
    return `Sequence(${this.feature})`;
  }
}
