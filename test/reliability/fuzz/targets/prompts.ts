import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { Random } from '../../../../core/random.js';
import { promptFile } from '../../../../envs/denoising/prompt-files.js';
import { CLIPTokenizer } from '../../../../networks/clip-tokenizer.js';
import { shapesReward, shapesVocabulary } from '../../../../rewards/index.js';
import { jsonText, mutated, mutatedText, oddNames } from '../arbitraries.js';
import { expectThat } from '../judge.js';
import { target } from '../target.js';

const letters = 'abcdefghijklmnopqrstuvwxyz';

const prompt = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .array(
        fc.constantFrom(
          ...shapesVocabulary,
          ...oddNames,
          '<|endoftext|>',
          '<|startoftext|>',
          "'s",
          'İ',
          'Σ',
          'ﬁ',
          '\u0301',
          '漢字',
          '🏳️‍🌈',
          '\r\n',
        ),
        { maxLength: 30 },
      )
      .map((words) => words.join(' ')),
  },
  { weight: 3, arbitrary: fc.string({ unit: 'binary', maxLength: 200 }) },
  { weight: 2, arbitrary: mutatedText('a red circle and a blue square') },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        fc.constantFrom('a', 'ab', '🏳️‍🌈', '  ', "'", '\u0301', 'é', '<|endoftext|>'),
        fc.constantFrom(100, 4096, 20_000),
      )
      .map(([text, times]) => text.repeat(times)),
  },
  {
    weight: 1,
    arbitrary: fc.array(fc.constantFrom(...letters), { minLength: 2000, maxLength: 5000 }).map((list) => list.join('')),
  },
);

const words = CLIPTokenizer.fromWords(shapesVocabulary, 16);
/** One with many merges, as CLIP's own has. */
const spelled = CLIPTokenizer.fromWords(
  [...shapesVocabulary, ...Array.from({ length: 600 }, (_, i) => letters[i % 26]! + letters[Math.floor(i / 26)]!)],
  77,
);

/** Any text as a prompt: a tokenizer gives ids of its vocabulary, between start and end token. */
export const prompts = target<string>({
  name: 'prompts',
  inputs: 200,
  input: prompt,
  async check(text) {
    for (const tokenizer of [words, spelled]) {
      const ids = tokenizer.tokenize(text);
      expectThat(ids[0] === tokenizer.bosTokenId && ids.at(-1) === tokenizer.eosTokenId, 'no start or end token');
      expectThat(
        ids.every((id) => Number.isInteger(id) && id >= 0 && id < tokenizer.vocabSize),
        'an id is none of the vocabulary',
      );
      tokenizer.decode(ids);
      const { inputIds } = tokenizer.encode(text, { truncation: true });
      expectThat(inputIds.length === tokenizer.maxLength, 'it is not padded to the length');
    }
    const { score } = shapesReward();
    await score({
      images: { data: new Uint8Array(16 * 16 * 3), shape: [1, 16, 16, 3] },
      prompts: [text],
      signal: new AbortController().signal,
    });
  },
});

/** Files of prompts, text and JSON. */
export const promptFiles = target<{ name: string; content: string }>({
  name: 'files of prompts',
  inputs: 100,
  input: fc.oneof(
    fc
      .oneof(
        mutatedText('# prompts\na cat\n\na dog\n'),
        prompt,
        fc.array(prompt, { maxLength: 50 }).map((list) => list.join('\n')),
      )
      .map((content) => ({ name: 'prompts.txt', content })),
    fc
      .oneof(
        mutated(['a', { prompt: 'b', metadata: 1 }, 'c']).map(jsonText),
        mutatedText('["a", {"prompt": "b", "metadata": {"n": 1}}]'),
      )
      .map((content) => ({ name: 'prompts.json', content })),
  ),
  async check({ name, content }, { files }) {
    const path = join(files, name);
    await writeFile(path, content);
    const source = await promptFile(path);
    for (const episode of [0, 1, 1e6])
      expectThat(typeof source.at(episode, new Random(episode)).prompt === 'string', 'a prompt is no text');
  },
});
