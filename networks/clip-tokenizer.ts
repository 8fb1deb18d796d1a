import { join } from 'node:path';
import { GymError } from '../core/errors.js';
import { removeFile, writeFileAtomic } from '../core/files.js';
import { shownJson, shownName } from '../core/shown.js';
import { type Found, finder, split } from './added-tokens.js';
import { type CLIPTokenizerOptions, readTokenizerFiles } from './clip-tokenizer-files.js';

/** A prompt in the form that a text encoder takes. */
export interface Encoding {
  /** `maxLength` ids: the start token, the tokens of the prompt, the end token, padding. */
  readonly inputIds: Int32Array;
  /** For each id, 1 where it is a token and 0 where it is padding. */
  readonly attentionMask: Int32Array;
}

const START = '<|startoftext|>';
const END = '<|endoftext|>';
const WORD_END = '</w>';
const VERSION = '#version: 0.2';
/** The longest prompt, in tokens, that a tokenizer may be configured for; no text encoder of CLIP takes a tenth of it. */
const MOST_TOKENS = 4096;

/**
 * The pieces of a text that are tokenized one by one: contractions, runs of letters, single digits, and runs of
 * anything else that is no space (CLIP, Radford et al. 2021).
 */
const PIECES = /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}]+/gu;

/**
 * A printable character for each of the 256 bytes, as in GPT-2: a byte that is a printable character of Latin-1 has
 * that character, and the other bytes have those from 256 on.
 */
const BYTE_SYMBOLS: readonly string[] = (() => {
  const printable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
})();
const SYMBOL_BYTES = new Map(BYTE_SYMBOLS.map((symbol, byte) => [symbol, byte]));

/** The bytes of a word as symbols, of which the last is marked as the end of the word. */
function symbolsOf(piece: string): string[] {
  const symbols = Array.from(new TextEncoder().encode(piece), (byte) => BYTE_SYMBOLS[byte]!);
  symbols[symbols.length - 1] += WORD_END;
  return symbols;
}

/**
 * Normalises a text to NFC, single spaces and lower case. Each character is lowered by itself, as in Python's
 * tokenizers, so that a capital sigma becomes σ even at the end of a word.
 */
function normalize(text: string): string {
  const spaced = text.normalize('NFC').replace(/\p{White_Space}+/gu, ' ');
  return Array.from(spaced, (character) => character.toLowerCase()).join('');
}

/** The ranks of the merges, by which the symbols of a word are joined: always the pair of lowest rank first. */
class Merges {
  readonly #ranks = new Map<string, number>();

  add(left: string, right: string): void {
    const pair = `${left} ${right}`;
    if (!this.#ranks.has(pair)) this.#ranks.set(pair, this.#ranks.size);
  }

  pairs(): IterableIterator<string> {
    return this.#ranks.keys();
  }

  join(symbols: readonly string[]): string[] {
    let word = [...symbols];
    for (;;) {
      let best: number | undefined;
      let left = '';
      let right = '';
      for (let i = 0; i + 1 < word.length; i++) {
        const rank = this.#ranks.get(`${word[i]} ${word[i + 1]}`);
        if (rank !== undefined && (best === undefined || rank < best)) {
          best = rank;
          left = word[i]!;
          right = word[i + 1]!;
        }
      }
      if (best === undefined) return word;
      const joined: string[] = [];
      for (let i = 0; i < word.length; i++) {
        if (word[i] === left && word[i + 1] === right) {
          joined.push(left + right);
          i++;
        } else joined.push(word[i]!);
      }
      word = joined;
    }
  }
}

/**
 * The byte-pair tokenizer of CLIP, which gives the ids of Python's `transformers.CLIPTokenizer`. It normalises a text
 * (NFC, lower case), splits it into words, digits and punctuation, and joins the bytes of each piece by the learnt
 * merges.
 */
export class CLIPTokenizer {
  readonly maxLength: number;
  readonly bosTokenId: number;
  readonly eosTokenId: number;
  readonly padTokenId: number;
  readonly #unkTokenId: number;
  readonly #options: Required<CLIPTokenizerOptions>;
  readonly #ids: ReadonlyMap<string, number>;
  readonly #tokens: ReadonlyMap<number, string>;
  readonly #special: ReadonlySet<string>;
  readonly #added: ReadonlySet<string>;
  /** The ids of added and special tokens that are found in a text as it is written, and a pattern that finds them. */
  readonly #written: Found;
  /** The same of those that are found in the normalised text. */
  readonly #normalized: Found;
  #largestId = -1;
  readonly #merges = new Merges();
  readonly #cache = new Map<string, readonly number[]>();

  /**
   * @throws GymError E_CONFIG when a special token or a merge is not in the vocabulary, two tokens share an id, or the
   * maximal length has no room for a token.
   */
  constructor(options: CLIPTokenizerOptions) {
    const { vocab, merges, maxLength = 77, bosToken = START, eosToken = END, unkToken = END, padToken = END } = options;
    const { addedTokens = [] } = options;
    this.maxLength = maxLength;
    this.#options = { vocab, merges, maxLength, bosToken, eosToken, unkToken, padToken, addedTokens };
    if (!(Number.isInteger(maxLength) && maxLength >= 3 && maxLength <= MOST_TOKENS))
      throw new GymError(
        'E_CONFIG',
        `CLIPTokenizer: the maximal length (model_max_length) must be an integer from 3 to ${MOST_TOKENS}, actual value ${shownJson(maxLength)}.`,
      );
    const ids = new Map(Object.entries(vocab));
    for (const { content, id } of addedTokens) {
      const own = ids.get(content);
      if (own !== undefined && own !== id)
        throw new GymError(
          'E_CONFIG',
          `CLIPTokenizer: the added token \`${shownName(content)}\` has the id ${id}, but in the vocabulary ${own}.`,
        );
      ids.set(content, id);
    }
    this.#ids = ids;
    this.#tokens = new Map(Array.from(this.#ids, ([token, id]) => [id, token]));
    for (const [token, id] of this.#ids) {
      if (!(Number.isInteger(id) && id >= 0 && id < 2 ** 31))
        throw new GymError(
          'E_CONFIG',
          `CLIPTokenizer: token \`${shownName(token)}\` has the id ${shownJson(id)}; ids are integers from 0 to 2^31 − 1.`,
        );
      if (this.#tokens.get(id) !== token)
        throw new GymError(
          'E_CONFIG',
          `CLIPTokenizer: tokens \`${shownName(token)}\` and \`${shownName(this.#tokens.get(id)!)}\` share the id ${id}.`,
        );
      this.#largestId = Math.max(this.#largestId, id);
    }
    for (const [left, right] of merges) {
      for (const token of [left, right, left + right]) this.#id(token, `the merge "${left} ${right}"`);
      this.#merges.add(left, right);
    }
    this.bosTokenId = this.#id(bosToken, 'the start token');
    this.eosTokenId = this.#id(eosToken, 'the end token');
    this.#unkTokenId = this.#id(unkToken, 'the unknown token');
    this.padTokenId = this.#id(padToken, 'the padding token');
    const special = addedTokens.filter((token) => token.special).map(({ content }) => content);
    this.#special = new Set([bosToken, eosToken, unkToken, padToken, ...special]);
    const added = addedTokens.filter(({ content }) => !this.#special.has(content));
    this.#added = new Set(added.map(({ content }) => content));
    this.#written = finder([
      ...Array.from(this.#special, (content) => ({ content, id: this.#ids.get(content)! })),
      ...added.filter(({ normalized = true }) => !normalized),
    ]);
    this.#normalized = finder(
      added
        .filter(({ normalized = true }) => normalized)
        .map((token) => ({ ...token, content: normalize(token.content) })),
    );
  }

  /**
   * Makes a small tokenizer in which each of the given words is one token. Other words are spelt by their letters.
   * @param words each is what the tokenizer does not split: letters, a digit, or punctuation. Upper and lower case are
   *   the same, and a word that is given twice is taken once.
   * @param maxLength the number of ids to which a prompt is padded, including start and end token.
   * @throws GymError E_VALUE on a word that the tokenizer would split, like "two words" or "x2".
   */
  static fromWords(words: Iterable<string>, maxLength: number): CLIPTokenizer {
    const merges = new Merges();
    const symbols = new Set<string>();
    const joined = new Set<string>();
    for (const given of words) {
      const word = normalize(given);
      if (word.match(PIECES)?.[0] !== word)
        throw new GymError(
          'E_VALUE',
          `CLIPTokenizer.fromWords: "${given}" is no single word (letters, one digit, or punctuation); give its parts.`,
        );
      const spelt = symbolsOf(word);
      for (const symbol of spelt) {
        symbols.add(symbol.replace(WORD_END, ''));
        symbols.add(symbol);
      }
      // New merges rank behind all earlier ones, so that earlier words are still joined as before.
      for (let parts = merges.join(spelt); parts.length > 1; parts = merges.join(spelt)) {
        merges.add(parts[0]!, parts[1]!);
        joined.add(parts[0]! + parts[1]!);
      }
    }
    const tokens = [...[...symbols].sort(), ...joined, START, END];
    return new CLIPTokenizer({
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: Array.from(merges.pairs(), (pair) => pair.split(' ') as [string, string]),
      maxLength,
    });
  }

  /**
   * Reads a tokenizer's folder: `vocab.json` and `merges.txt`, or the `tokenizer.json` that newer versions of
   * transformers write, and `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` if they are there.
   * @throws GymError E_FILE when vocabulary or merges are missing or broken, E_CONFIG when they do not fit together.
   */
  static async load(folder: string): Promise<CLIPTokenizer> {
    return new CLIPTokenizer(await readTokenizerFiles(folder));
  }

  /**
   * Writes the four files that {@link load} and Python's transformers read, and removes those that transformers would
   * read instead of them: `tokenizer.json` and `added_tokens.json`.
   * @throws GymError E_FILE when they cannot be written
   */
  async save(folder: string): Promise<void> {
    const { vocab, merges, maxLength, bosToken, eosToken, unkToken, padToken, addedTokens } = this.#options;
    const special = { bos_token: bosToken, eos_token: eosToken, unk_token: unkToken, pad_token: padToken };
    const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;
    const lines = [VERSION, ...merges.map(([left, right]) => `${left} ${right}`), ''];
    await writeFileAtomic(join(folder, 'vocab.json'), json(vocab));
    await writeFileAtomic(join(folder, 'merges.txt'), lines.join('\n'));
    const config = { tokenizer_class: 'CLIPTokenizer', model_max_length: maxLength, do_lower_case: true, ...special };
    const added = addedTokens.map(({ content, id, normalized = true, singleWord = false, special = false }) => [
      String(id),
      { content, lstrip: false, rstrip: false, normalized, single_word: singleWord, special },
    ]);
    await writeFileAtomic(
      join(folder, 'tokenizer_config.json'),
      json({ ...config, ...(added.length > 0 && { added_tokens_decoder: Object.fromEntries(added) }) }),
    );
    await writeFileAtomic(join(folder, 'special_tokens_map.json'), json(special));
    for (const name of ['tokenizer.json', 'added_tokens.json']) await removeFile(join(folder, name));
  }

  /** The largest id plus one: the number of rows that the embedding of a text encoder must have at least. */
  get vocabSize(): number {
    return this.#largestId + 1;
  }

  /** Gives all ids of a text, with start and end token, neither padded nor truncated. */
  tokenize(text: string): number[] {
    const ids = [this.bosTokenId];
    for (const part of this.#parts(text)) {
      if (typeof part === 'number') ids.push(part);
      else for (const id of this.#pieceIds(part)) ids.push(id);
    }
    ids.push(this.eosTokenId);
    return ids;
  }

  /**
   * The words of a text that the vocabulary cannot spell, each once. Their unknown parts become the token for what is unknown,
   * which for CLIP is the end token: what follows it in a prompt has little effect.
   */
  unknownWords(text: string): string[] {
    const pieces = [...this.#parts(text)].filter((part) => typeof part === 'string');
    return [...new Set(pieces)].filter((piece) =>
      this.#merges.join(symbolsOf(piece)).some((symbol) => !this.#ids.has(symbol)),
    );
  }

  /**
   * Gives the ids of a prompt, padded to `maxLength`.
   * @param options.truncation whether a prompt that is too long is cut, and given an end token, instead of refused.
   * @throws GymError E_VALUE that says how many tokens the prompt has.
   */
  encode(text: string, { truncation = false }: { truncation?: boolean } = {}): Encoding {
    const ids = this.tokenize(text);
    if (ids.length > this.maxLength) {
      if (!truncation)
        throw new GymError(
          'E_VALUE',
          `CLIPTokenizer: the prompt "${text.length > 60 ? `${text.slice(0, 60)}...` : text}" has ${ids.length} tokens ` +
            `(start and end included), but the text encoder takes ${this.maxLength}; shorten it, or have it cut (prompts.truncation, \`sample --truncate\`, or \`truncation: true\` in code).`,
        );
      ids.splice(this.maxLength - 1, Number.POSITIVE_INFINITY, this.eosTokenId);
    }
    const inputIds = new Int32Array(this.maxLength).fill(this.padTokenId);
    inputIds.set(ids);
    return { inputIds, attentionMask: new Int32Array(this.maxLength).fill(1, 0, ids.length) };
  }

  /**
   * Gives the normalised text of ids, without special tokens.
   * @throws GymError E_VALUE on an id that no token has.
   */
  decode(ids: Iterable<number>): string {
    let symbols = '';
    for (const id of ids) {
      const token = this.#tokens.get(id);
      if (token === undefined)
        throw new GymError(
          'E_VALUE',
          `CLIPTokenizer.decode: no token has the id ${id}; ids are 0..${this.vocabSize - 1}.`,
        );
      if (this.#special.has(token)) continue;
      symbols += this.#added.has(token)
        ? symbolsOf(token).join('').replace(WORD_END, BYTE_SYMBOLS[0x20]!)
        : token.replace(WORD_END, BYTE_SYMBOLS[0x20]!);
    }
    const bytes = Uint8Array.from(symbols, (symbol) => SYMBOL_BYTES.get(symbol) ?? 0x3f);
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes).replace(/ $/, '');
  }

  #id(token: string, what: string): number {
    const id = this.#ids.get(token);
    if (id === undefined)
      throw new GymError('E_CONFIG', `CLIPTokenizer: ${what} needs \`${token}\`, which the vocabulary does not have.`);
    return id;
  }

  /** The ids of the added and special tokens of a text, and between them the pieces that the merges are for. */
  *#parts(text: string): Iterable<number | string> {
    for (const part of split(text, this.#written)) {
      if (typeof part === 'number') yield part;
      else
        for (const inner of split(normalize(part), this.#normalized)) {
          if (typeof inner === 'number') yield inner;
          else for (const [piece] of inner.matchAll(PIECES)) yield piece;
        }
    }
  }

  #pieceIds(piece: string): readonly number[] {
    let ids = this.#cache.get(piece);
    if (!ids) {
      ids = this.#merges.join(symbolsOf(piece)).map((token) => this.#ids.get(token) ?? this.#unkTokenId);
      // The prompts of a run use few words. The limit keeps a stream of ever new words from filling the memory.
      if (this.#cache.size < 10_000) this.#cache.set(piece, ids);
    }
    return ids;
  }
}
