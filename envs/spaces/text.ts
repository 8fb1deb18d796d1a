import { GymError } from '../../core/errors.js';
import { shown } from '../../core/shown.js';
import { choiceIndex } from '../random-source.js';
import { checkSize } from './arguments.js';
import { BaseSpace, checkMask, checkProbability, type FlatLayout, indicesOf, oneRestriction } from './base.js';
import type { Space } from './space.js';

/** Letters and digits. */
export const alphanumeric = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** What a keyboard writes: ASCII from the space to the tilde. */
export const printable = String.fromCharCode(...Array.from({ length: 95 }, (_, i) => 32 + i));

export interface TextOptions {
  /** The least number of characters. Default 1. */
  minLength?: number | undefined;
  /**
   * The characters that may occur. Default: letters and digits. 'any' allows all characters; samples are then printable
   * ASCII.
   */
  charset?: string | undefined;
}

/**
 * Restricts a sample of a {@link Text}, by its length (undefined for a random one) and by an entry for each character.
 */
export interface TextSample {
  mask?: readonly [length: number | undefined, characters: ArrayLike<number | boolean> | undefined] | undefined;
  probability?: readonly [length: number | undefined, characters: ArrayLike<number> | undefined] | undefined;
}

/** Strings of minLength to maxLength characters (code points), which are all of one set. */
export class Text extends BaseSpace<string> {
  readonly kind = 'Text';
  readonly minLength: number;
  readonly maxLength: number;
  /** The set of characters as it was named; 'any' stands for all characters. */
  readonly charset: string;
  readonly flat?: FlatLayout<string>;
  readonly #characters: readonly string[];
  readonly #index: ReadonlyMap<string, number>;

  /** @throws GymError E_SPACE on lengths that are no integers or in the wrong order, or an empty set. */
  constructor(maxLength: number, { minLength = 1, charset = alphanumeric }: TextOptions = {}) {
    super();
    if (!Number.isInteger(minLength) || minLength < 0)
      throw new GymError(
        'E_SPACE',
        `Text: minLength must be an integer of at least 0, actual value ${shown(minLength)}.`,
      );
    if (!Number.isInteger(maxLength) || maxLength < minLength)
      throw new GymError(
        'E_SPACE',
        `Text: maxLength must be an integer of at least minLength (${minLength}), actual value ${shown(maxLength)}.`,
      );
    checkSize(`Text: a text of maxLength ${maxLength}`, maxLength);
    if (typeof charset !== 'string')
      throw new GymError('E_SPACE', `Text: charset must be text, actual value ${shown(charset)}.`);
    this.#characters = [...new Set(charset === 'any' ? printable : charset)];
    if (this.#characters.length === 0)
      throw new GymError('E_SPACE', "Text: charset has no character; name some, or 'any' for all text.");
    this.minLength = minLength;
    this.maxLength = maxLength;
    this.charset = charset;
    this.#index = new Map(this.#characters.map((character, i) => [character, i]));
    if (charset !== 'any') this.flat = this.#layout();
  }

  /** The index of each character. The places behind the end of the text hold the number of characters in the set. */
  #layout(): FlatLayout<string> {
    const size = this.maxLength;
    const pad = this.#characters.length;
    return {
      size,
      dtype: 'int32',
      bounds: (low, high, offset) => {
        low.fill(0, offset, offset + size);
        high.fill(pad, offset, offset + size);
      },
      write: (value, into, offset) => {
        into.fill(pad, offset, offset + size);
        let i = offset;
        for (const character of value) into[i++] = this.#index.get(character)!;
      },
      read: (from, offset) => {
        let text = '';
        for (let i = offset; i < offset + size && from[i] !== pad; i++) {
          const character = this.#characters[from[i]!];
          if (character === undefined)
            throw new GymError('E_VALUE', `unflatten: a Text of ${pad} characters has none with index ${from[i]}.`);
          text += character;
        }
        return text;
      },
    };
  }

  /** A random text: its length is uniform in minLength..maxLength, and each character uniform in the set. */
  sample(options?: TextSample): string {
    const restriction = oneRestriction('Text', options);
    const [length, characters] = (restriction && options![restriction]) ?? [];
    if (length !== undefined && !(Number.isInteger(length) && length >= this.minLength && length <= this.maxLength))
      throw new GymError(
        'E_VALUE',
        `Text.sample: length must be an integer from ${this.minLength} to ${this.maxLength}, actual value ${length}.`,
      );
    // As numpy.random.choice draws with equal probabilities: by the inverse of their cumulative sum.
    let draw = () => Math.floor(this.random.next() * this.#characters.length);
    let most = length;
    if (characters !== undefined && restriction === 'probability') {
      checkProbability('Text.sample', characters as ArrayLike<number>, this.#characters.length);
      draw = () => choiceIndex(this.random, characters as ArrayLike<number>);
    } else if (characters !== undefined) {
      checkMask('Text.sample', characters, this.#characters.length);
      const valid = indicesOf(characters);
      if (valid.length === 0) {
        if (this.minLength > 0 || (length ?? 0) > 0)
          throw new GymError(
            'E_VALUE',
            `Text.sample: the mask allows no character, but the text must have at least ${length ?? this.minLength}.`,
          );
        most = 0;
      }
      draw = () => valid[Math.floor(this.random.next() * valid.length)]!;
    }
    const n = most ?? this.minLength + this.random.integer(this.maxLength - this.minLength + 1);
    let text = '';
    for (let i = 0; i < n; i++) text += this.#characters[draw()]!;
    return text;
  }

  contains(value: unknown): value is string {
    if (typeof value !== 'string') return false;
    let length = 0;
    for (const character of value) {
      if (this.charset !== 'any' && !this.#index.has(character)) return false;
      length++;
    }
    return length >= this.minLength && length <= this.maxLength;
  }

  equals(other: Space<unknown>): boolean {
    return (
      other instanceof Text &&
      other.minLength === this.minLength &&
      other.maxLength === this.maxLength &&
      (other.charset === 'any') === (this.charset === 'any') &&
      other.#characters.join('') === this.#characters.join('')
    );
  }

  toJson(): unknown {
    return { kind: this.kind, maxLength: this.maxLength, minLength: this.minLength, charset: this.charset };
  }

  toString(): string {
    return `Text(${this.minLength}, ${this.maxLength}, charset=${this.charset === 'any' ? 'any' : JSON.stringify(this.charset)})`;
  }
}
