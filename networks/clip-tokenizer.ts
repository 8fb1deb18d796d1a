import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { GymError } from '../core/errors.js';
import { readJson, readText, removeFile, writeFileAtomic } from '../core/files.js';
import { shownJson, shownName } from '../core/shown.js';

/** The vocabulary, merges and special tokens of a {@link CLIPTokenizer}. */
export interface CLIPTokenizerOptions {
  /** The id of each token. Tokens are written in the byte alphabet of GPT-2; one that ends a word ends in `</w>`. */
  readonly vocab: Readonly<Record<string, number>>;
  /** Pairs of tokens that are joined, in the order in which they are. */
  readonly merges: readonly (readonly [string, string])[];
  /** The number of ids to which a prompt is padded, including start and end token. The default is 77. */
  readonly maxLength?: number;
  readonly bosToken?: string;
  readonly eosToken?: string;
  /** The token for what the vocabulary cannot spell. */
  readonly unkToken?: string;
  readonly padToken?: string;
}

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
  #largestId = -1;
  readonly #merges = new Merges();
  readonly #cache = new Map<string, readonly number[]>();

  /**
   * @throws GymError E_CONFIG when a special token or a merge is not in the vocabulary, two tokens share an id, or the
   * maximal length has no room for a token.
   */
  constructor(options: CLIPTokenizerOptions) {
    const { vocab, merges, maxLength = 77, bosToken = START, eosToken = END, unkToken = END, padToken = END } = options;
    this.maxLength = maxLength;
    this.#options = { vocab, merges, maxLength, bosToken, eosToken, unkToken, padToken };
    if (!(Number.isInteger(maxLength) && maxLength >= 3 && maxLength <= MOST_TOKENS))
      throw new GymError(
        'E_CONFIG',
        `CLIPTokenizer: the maximal length (model_max_length) must be an integer from 3 to ${MOST_TOKENS}, actual value ${shownJson(maxLength)}.`,
      );
    this.#ids = new Map(Object.entries(vocab));
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
    this.#special = new Set([bosToken, eosToken, unkToken, padToken]);
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
   * transformers write, and `tokenizer_config.json` and `special_tokens_map.json` if they are there.
   * @throws GymError E_FILE when vocabulary or merges are missing or broken, E_CONFIG when they do not fit together.
   */
  static async load(folder: string): Promise<CLIPTokenizer> {
    const config = await readOptional(join(folder, 'tokenizer_config.json'));
    const special = await readOptional(join(folder, 'special_tokens_map.json'));
    // The special tokens may stand in both files. Those of the map, which is the older place, are used, unless the
    // configuration has the newer `added_tokens_decoder`.
    const names = 'added_tokens_decoder' in config ? { ...special, ...config } : { ...config, ...special };
    const fast = !(await exists(join(folder, 'vocab.json'))) && (await exists(join(folder, 'tokenizer.json')));
    const { vocab, merges } = fast ? await readFast(folder) : await readSlow(folder);
    const maxLength = config.model_max_length;
    return new CLIPTokenizer({
      vocab,
      merges,
      // Some configurations say 1e30 for no limit. The text encoder of every CLIP has 77 positions, which is the
      // default.
      maxLength: maxLength == null || Number(maxLength) >= 1e9 ? undefined : (maxLength as number),
      bosToken: contentOf(names.bos_token),
      eosToken: contentOf(names.eos_token),
      unkToken: contentOf(names.unk_token),
      padToken: contentOf(names.pad_token),
    });
  }

  /**
   * Writes the four files that {@link load} and Python's transformers read, and removes those that transformers would
   * read instead of them: `tokenizer.json` and `added_tokens.json`.
   * @throws GymError E_FILE when they cannot be written
   */
  async save(folder: string): Promise<void> {
    const { vocab, merges, maxLength, bosToken, eosToken, unkToken, padToken } = this.#options;
    const special = { bos_token: bosToken, eos_token: eosToken, unk_token: unkToken, pad_token: padToken };
    const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;
    const lines = [VERSION, ...merges.map(([left, right]) => `${left} ${right}`), ''];
    await writeFileAtomic(join(folder, 'vocab.json'), json(vocab));
    await writeFileAtomic(join(folder, 'merges.txt'), lines.join('\n'));
    await writeFileAtomic(
      join(folder, 'tokenizer_config.json'),
      json({ tokenizer_class: 'CLIPTokenizer', model_max_length: maxLength, do_lower_case: true, ...special }),
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
    for (const part of this.#splitSpecial(text)) {
      if (this.#special.has(part)) ids.push(this.#ids.get(part)!);
      else for (const [piece] of normalize(part).matchAll(PIECES)) for (const id of this.#pieceIds(piece)) ids.push(id);
    }
    ids.push(this.eosTokenId);
    return ids;
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
            `(start and end included), but the text encoder takes ${this.maxLength}; shorten it, or pass truncation: true.`,
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
      if (!this.#special.has(token)) symbols += token.replace(WORD_END, BYTE_SYMBOLS[0x20]!);
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

  /** Splits a text at its special tokens, which are parts of their own in the result. */
  #splitSpecial(text: string): string[] {
    const escaped = [...this.#special]
      .sort((a, b) => b.length - a.length)
      .map((token) => token.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    return text.split(new RegExp(`(${escaped.join('|')})`));
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

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function record(path: string, value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new GymError('E_FILE', `${path}: must hold a JSON object; restore it from its source.`);
  return value as Record<string, unknown>;
}

async function readOptional(path: string): Promise<Record<string, unknown>> {
  return (await exists(path)) ? record(path, await readJson(path)) : {};
}

/** A special token of a configuration file: a text, or an object that has it as `content`. */
function contentOf(token: unknown): string | undefined {
  const content = typeof token === 'object' && token !== null ? (token as { content?: unknown }).content : token;
  return typeof content === 'string' ? content : undefined;
}

type VocabAndMerges = Pick<CLIPTokenizerOptions, 'vocab' | 'merges'>;

async function readSlow(folder: string): Promise<VocabAndMerges> {
  const vocab = join(folder, 'vocab.json');
  const merges = join(folder, 'merges.txt');
  const lines = (await readText(merges)).split('\n').map((line) => line.trimEnd());
  if (lines[0]?.startsWith('#version')) lines.shift();
  return {
    vocab: record(vocab, await readJson(vocab)) as Record<string, number>,
    merges: lines.filter((line) => line !== '').map((line) => pair(merges, line.split(' '))),
  };
}

async function readFast(folder: string): Promise<VocabAndMerges> {
  const path = join(folder, 'tokenizer.json');
  const model = record(path, record(path, await readJson(path)).model);
  const merges = model.merges;
  if (!Array.isArray(merges)) throw new GymError('E_FILE', `${path}: model.merges must be a list.`);
  return {
    vocab: record(path, model.vocab) as Record<string, number>,
    merges: merges.map((merge: unknown) => pair(path, typeof merge === 'string' ? merge.split(' ') : merge)),
  };
}

function pair(path: string, merge: unknown): [string, string] {
  if (!Array.isArray(merge) || merge.length !== 2 || !merge.every((token) => typeof token === 'string' && token !== ''))
    throw new GymError('E_FILE', `${path}: a merge is two tokens, actual value ${shownJson(merge)}.`);
  return merge as [string, string];
}
