import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { GymError } from '../core/errors.js';
import { readPythonJson, readText } from '../core/files.js';
import { shownJson } from '../core/shown.js';
import type { AddedToken } from './added-tokens.js';

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
  /** Tokens beside the vocabulary, as `tokenizer.add_tokens` makes them in Python. */
  readonly addedTokens?: readonly AddedToken[];
}

/** The files that a tokenizer is read from, where they are there. */
export const TOKENIZER_FILES: readonly string[] = [
  'added_tokens.json',
  'merges.txt',
  'special_tokens_map.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'vocab.json',
];

/**
 * Reads a tokenizer's folder, as `CLIPTokenizer.load` says.
 * @throws GymError E_FILE when vocabulary or merges are missing or broken
 */
export async function readTokenizerFiles(folder: string): Promise<CLIPTokenizerOptions> {
  const config = await readOptional(join(folder, 'tokenizer_config.json'));
  const special = await readOptional(join(folder, 'special_tokens_map.json'));
  // The special tokens may stand in both files. Those of the map, which is the older place, are used, unless the
  // configuration has the newer `added_tokens_decoder`.
  const names = 'added_tokens_decoder' in config ? { ...special, ...config } : { ...config, ...special };
  const fastFile = join(folder, 'tokenizer.json');
  const fastTokens = (await exists(fastFile)) ? record(fastFile, await readPythonJson(fastFile)) : undefined;
  const { vocab, merges } =
    fastTokens && !(await exists(join(folder, 'vocab.json'))) ? fastOf(fastFile, fastTokens) : await readSlow(folder);
  const maxLength = config.model_max_length;
  return {
    vocab,
    merges,
    // Some configurations say 1e30 for no limit. The text encoder of every CLIP has 77 positions, which is the
    // default.
    maxLength: maxLength == null || Number(maxLength) >= 1e9 ? undefined : (maxLength as number),
    bosToken: contentOf(names.bos_token),
    eosToken: contentOf(names.eos_token),
    unkToken: contentOf(names.unk_token),
    padToken: contentOf(names.pad_token),
    addedTokens: addedOf(
      folder,
      fastTokens?.added_tokens,
      config.added_tokens_decoder,
      await readOptional(join(folder, 'added_tokens.json')),
    ),
  };
}

/**
 * The added tokens of a tokenizer's files, each once: of `tokenizer.json`, of the decoder in `tokenizer_config.json`, and the
 * ids by token in `added_tokens.json`, which older versions write.
 */
function addedOf(
  folder: string,
  list: unknown,
  decoder: unknown,
  ids: Readonly<Record<string, unknown>>,
): AddedToken[] {
  const described = [
    ...(Array.isArray(list) ? list : []),
    ...Object.entries((decoder ?? {}) as object).map(([id, token]) => ({ ...(token as object), id: Number(id) })),
  ] as { content: string; id: number; normalized?: boolean; single_word?: boolean; special?: boolean }[];
  const added = new Map<string, AddedToken>();
  for (const { content, id, normalized, single_word: singleWord, special } of described) {
    if (typeof content !== 'string' || content === '')
      throw new GymError(
        'E_CONFIG',
        `${folder}: the added token with the id ${shownJson(id)} has the content ${shownJson(content)}; it must be a text.`,
      );
    added.set(content, { content, id, normalized: normalized ?? !special, singleWord, special });
  }
  for (const [content, id] of Object.entries(ids))
    if (!added.has(content)) added.set(content, { content, id: id as number });
  return [...added.values()];
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
  return (await exists(path)) ? record(path, await readPythonJson(path)) : {};
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
    vocab: record(vocab, await readPythonJson(vocab)) as Record<string, number>,
    merges: lines.filter((line) => line !== '').map((line) => pair(merges, line.split(' '))),
  };
}

function fastOf(path: string, file: Readonly<Record<string, unknown>>): VocabAndMerges {
  const model = record(path, file.model);
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
