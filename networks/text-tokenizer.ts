import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { GymError, messageOf } from '../core/errors.js';
import { readJson, readText } from '../core/files.js';

const present = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

/** A tokenizer as {@link TextTokenizer} reads it from `vocab.txt`: WordPiece as in BERT (Devlin et al. 2018). */
function wordPiece(where: string, text: string, lowercase: boolean): object {
  const tokens = text.split(/\r?\n/);
  if (tokens.at(-1) === '') tokens.pop();
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
  const missing = special.slice(1, 4).find((token) => vocab[token] === undefined);
  if (missing !== undefined)
    throw new GymError('E_FILE', `${where}: has no token ${missing}; it is no vocabulary of BERT's.`);
  const token = (name: string) => ({ SpecialToken: { id: name, type_id: 0 } });
  const named = (name: string) => ({ id: name, ids: [vocab[name]], tokens: [name] });
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: special
      .filter((content) => vocab[content] !== undefined)
      .map((content) => ({
        id: vocab[content],
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      })),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [token('[CLS]'), { Sequence: { id: 'A', type_id: 0 } }, token('[SEP]')],
      pair: [],
      special_tokens: { '[CLS]': named('[CLS]'), '[SEP]': named('[SEP]') },
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab,
    },
  };
}

/**
 * The tokenizer of a folder in Hugging Face's layout, which gives the ids of Python's tokenizers: from `tokenizer.json`, or
 * from BERT's `vocab.txt` where there is none.
 */
export class TextTokenizer {
  /** The most ids of a text, special tokens included; longer texts are cut there. */
  readonly maxLength: number;
  /** The ids that every text begins and ends with ([CLS] and [SEP], <s> and </s>). */
  readonly special: ReadonlySet<number>;
  readonly #tokenizer: Tokenizer;

  private constructor(tokenizer: Tokenizer, maxLength: number) {
    this.#tokenizer = tokenizer;
    this.maxLength = maxLength;
    this.special = new Set(this.#ids('', true));
  }

  /**
   * @param longest the most tokens that the model takes; `model_max_length` of `tokenizer_config.json` counts where it is
   *   less
   * @throws GymError E_FILE where no tokenizer is there, or it cannot be read
   */
  static async load(folder: string, longest: number): Promise<TextTokenizer> {
    const paths = ['tokenizer.json', 'vocab.txt', 'tokenizer_config.json'].map((name) => join(folder, name));
    const [whole, vocabulary, settings] = paths as [string, string, string];
    const [hasWhole, hasVocabulary, hasSettings] = await Promise.all(paths.map(present));
    const config = (hasSettings ? await readJson(settings) : {}) as {
      model_max_length?: unknown;
      do_lower_case?: unknown;
    };
    if (!hasWhole && !hasVocabulary)
      throw new GymError(
        'E_FILE',
        `${folder}: has neither tokenizer.json nor vocab.txt; copy that of the model there, or have Python write it by transformers.AutoTokenizer.from_pretrained(MODEL).save_pretrained(FOLDER).`,
      );
    const definition = hasWhole
      ? ((await readJson(whole)) as object)
      : wordPiece(vocabulary, await readText(vocabulary), config.do_lower_case !== false);
    const own = config.model_max_length;
    try {
      const maxLength = Math.min(longest, typeof own === 'number' ? own : longest);
      return new TextTokenizer(new Tokenizer(definition, config), maxLength);
    } catch (error) {
      const path = hasWhole ? whole : vocabulary;
      throw new GymError('E_FILE', `${path}: is no tokenizer that can be read (${messageOf(error)}).`, {
        cause: error,
      });
    }
  }

  /**
   * The ids of a text, special tokens included.
   * @param maxLength the most of them; a longer text loses its last words, as with `truncation=True`.
   */
  encode(text: string, maxLength = this.maxLength): number[] {
    const ids = this.#ids(text, true);
    if (ids.length <= maxLength) return ids;
    const own = this.#ids(text, false);
    const before = ids.findIndex((_, at) => own.every((id, i) => ids[at + i] === id));
    const after = ids.length - before - own.length;
    return [...ids.slice(0, before), ...own.slice(0, maxLength - before - after), ...ids.slice(before + own.length)];
  }

  // The package's declarations of its types do not resolve under Node's rules for modules.
  #ids(text: string, special: boolean): number[] {
    return (this.#tokenizer.encode(text, { add_special_tokens: special }) as { ids: number[] }).ids;
  }
}
