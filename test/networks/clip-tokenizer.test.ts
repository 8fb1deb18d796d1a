import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLIPTokenizer } from '../../networks/clip-tokenizer.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tokenizer-'));
});
afterAll(() => rm(folder, { recursive: true }));

const words =
  'a an and the on of left right top bottom one two three four red green blue yellow circle circles square squares star stars';
const tokenizer = CLIPTokenizer.fromWords(words.split(' '), 8);

describe('a tokenizer of words', () => {
  it('has one token a word, in any case', () => {
    for (const word of words.split(' ')) {
      expect(tokenizer.tokenize(word)).toHaveLength(3);
      expect(tokenizer.tokenize(word.toUpperCase())).toEqual(tokenizer.tokenize(word));
    }
    expect(new Set(words.split(' ').map((word) => tokenizer.tokenize(word)[1])).size).toBe(words.split(' ').length);
  });

  it('has a token that is not a word only for letters and the starts of words', () => {
    expect(tokenizer.vocabSize).toBeLessThan(120);
    expect(tokenizer.tokenize('treats')).toHaveLength(2 + 6 - 1); // t r e a t s: "re" starts "red"
  });

  it('gives the unknown token for what its bytes cannot spell', () => {
    expect(tokenizer.tokenize('é')).toEqual([tokenizer.bosTokenId, ...Array(3).fill(tokenizer.eosTokenId)]);
  });

  it('refuses what is no single word', () => {
    expect(() => CLIPTokenizer.fromWords(['two words'], 8)).toThrow(/"two words" is no single word/);
    expect(() => CLIPTokenizer.fromWords(['x2'], 8)).toThrow(/"x2"/);
    expect(() => CLIPTokenizer.fromWords([''], 8)).toThrow(/"" is no single word/);
  });
});

describe('encode', () => {
  it('pads with the padding token and masks it', () => {
    const { inputIds, attentionMask } = tokenizer.encode('A  red\tcircle');
    expect([...inputIds.slice(0, 5)]).toEqual(tokenizer.tokenize('a red circle'));
    expect([...inputIds.slice(5)]).toEqual(Array(3).fill(tokenizer.padTokenId));
    expect([...attentionMask]).toEqual([1, 1, 1, 1, 1, 0, 0, 0]);
  });

  it('says how long a prompt is that does not fit, and cuts it only on request', () => {
    const long = 'one two three four one two three';
    expect(() => tokenizer.encode(long)).toThrow(/has 9 tokens \(start and end included\).*takes 8/);
    const { inputIds } = tokenizer.encode(long, { truncation: true });
    expect([...inputIds]).toEqual([...tokenizer.tokenize('one two three four one two')]);
    expect(tokenizer.encode('one two three four one two').inputIds).toEqual(inputIds);
  });

  it('is undone by decode', () => {
    expect(tokenizer.decode(tokenizer.encode('A RED circle').inputIds)).toBe('a red circle');
    expect(tokenizer.decode([])).toBe('');
    expect(() => tokenizer.decode([9999])).toThrow(/no token has the id 9999/);
  });

  it('keeps special tokens of the text whole', () => {
    expect(tokenizer.tokenize('a<|endoftext|>red')).toEqual([
      tokenizer.bosTokenId,
      tokenizer.tokenize('a')[1],
      tokenizer.eosTokenId,
      tokenizer.tokenize('red')[1],
      tokenizer.eosTokenId,
    ]);
  });
});

describe('files', () => {
  it('are read back as they were written', async () => {
    await tokenizer.save(folder);
    const loaded = await CLIPTokenizer.load(folder);
    expect(loaded.maxLength).toBe(8);
    for (const text of ['', 'a red circle', 'TREATS of é'])
      expect(loaded.tokenize(text)).toEqual(tokenizer.tokenize(text));
    const config = JSON.parse(await readFile(join(folder, 'tokenizer_config.json'), 'utf8'));
    expect(config).toMatchObject({ tokenizer_class: 'CLIPTokenizer', model_max_length: 8 });
  });

  it('may say that padding is another token, as those of Stable Diffusion 2 do', async () => {
    await tokenizer.save(folder);
    await writeFile(join(folder, 'special_tokens_map.json'), '{"pad_token": {"content": "a"}}');
    const { inputIds } = (await CLIPTokenizer.load(folder)).encode('red');
    expect([...inputIds.slice(3)]).toEqual(
      Array(5).fill(JSON.parse(await readFile(join(folder, 'vocab.json'), 'utf8')).a),
    );
  });

  it('may be the one tokenizer.json of newer transformers', async () => {
    const other = join(folder, 'fast');
    await tokenizer.save(other);
    const vocab = JSON.parse(await readFile(join(other, 'vocab.json'), 'utf8'));
    const lines = (await readFile(join(other, 'merges.txt'), 'utf8')).trim().split('\n').slice(1);
    await writeFile(
      join(other, 'tokenizer.json'),
      JSON.stringify({ model: { vocab, merges: lines.map((line) => line.split(' ')) } }),
    );
    await rm(join(other, 'vocab.json'));
    await rm(join(other, 'merges.txt'));
    expect((await CLIPTokenizer.load(other)).tokenize('a red circle')).toEqual(tokenizer.tokenize('a red circle'));
  });

  it('that are missing or broken are named', async () => {
    await expect(CLIPTokenizer.load(join(folder, 'absent'))).rejects.toThrow(/absent.*does not exist/);
    const broken = join(folder, 'broken');
    await tokenizer.save(broken);
    await writeFile(join(broken, 'merges.txt'), 'r e d\n');
    await expect(CLIPTokenizer.load(broken)).rejects.toThrow(/merges.txt: a merge is two tokens/);
    await writeFile(join(broken, 'merges.txt'), 'z z\n');
    await expect(CLIPTokenizer.load(broken)).rejects.toThrow(/the merge "z z" needs `z`/);
    await writeFile(join(broken, 'vocab.json'), '{"a": 0,');
    await expect(CLIPTokenizer.load(broken)).rejects.toThrow(/vocab.json: not valid JSON/);
    expect(() => new CLIPTokenizer({ vocab: { a: 0, b: 0 }, merges: [] })).toThrow(/share the id 0/);
    expect(() => new CLIPTokenizer({ vocab: { a: 0 }, merges: [] })).toThrow(/start token needs `<\|startoftext\|>`/);
  });
});

describe('added tokens', () => {
  // Ids of transformers 5.24's CLIPTokenizer on the fixture's files, after
  // add_tokens(['<cat-toy>', 'Big Dog', AddedToken('xyz', single_word=True), AddedToken('<s1>', normalized=False)]).
  const source = join('test', 'fixtures', 'models', 'tokenizer');
  const described = [
    { id: 680, content: '<cat-toy>', single_word: false, normalized: true, special: false },
    { id: 681, content: 'Big Dog', single_word: false, normalized: true, special: false },
    { id: 682, content: 'xyz', single_word: true, normalized: true, special: false },
    { id: 683, content: '<s1>', single_word: false, normalized: false, special: false },
  ];
  const cases: [string, number[]][] = [
    ['a <cat-toy> cat', [320, 680, 605]],
    ['a<cat-toy>cat', [320, 680, 605]],
    ['a <CAT-TOY> cat', [320, 680, 605]],
    ['a BIG  DOG!', [320, 681, 256]],
    ['bigdog', [588, 70, 645]],
    ['axyz xyz', [64, 87, 88, 345, 682]],
    ['a <s1> cat', [320, 683, 605]],
    ['a <S1> cat', [320, 283, 338, 272, 285, 605]],
  ];
  const files = ['vocab.json', 'merges.txt', 'special_tokens_map.json', 'tokenizer_config.json'];
  const read = async (name: string) => JSON.parse(await readFile(join(source, name), 'utf8'));

  it('are read from the three places where Python writes them, and written again', async () => {
    const [vocab, config] = [await read('vocab.json'), await read('tokenizer_config.json')];
    const merges = (await readFile(join(source, 'merges.txt'), 'utf8'))
      .split('\n')
      .filter((line) => line && line[0] !== '#');
    const decoder = Object.fromEntries(described.map(({ id, ...token }) => [id, token]));
    const written: Record<string, object>[] = [
      { 'tokenizer.json': { model: { vocab, merges }, added_tokens: described }, 'tokenizer_config.json': config },
      { 'tokenizer_config.json': { ...config, added_tokens_decoder: decoder } },
    ];
    for (const contents of written) {
      const path = await mkdtemp(join(folder, 'added-'));
      if (!contents['tokenizer.json']) for (const name of files) await cp(join(source, name), join(path, name));
      for (const [name, value] of Object.entries(contents)) await writeFile(join(path, name), JSON.stringify(value));
      const loaded = await CLIPTokenizer.load(path);
      const again = join(path, 'again');
      await loaded.save(again);
      for (const one of [loaded, await CLIPTokenizer.load(again)]) {
        for (const [text, ids] of cases) expect(one.tokenize(text), text).toEqual([678, ...ids, 679]);
        expect(one.vocabSize).toBe(684);
        expect(one.decode([320, 680, 605])).toBe('a <cat-toy> cat');
      }
    }
  });

  it('are read from the file of older versions', async () => {
    const path = await mkdtemp(join(folder, 'added-'));
    for (const name of files) await cp(join(source, name), join(path, name));
    await writeFile(join(path, 'added_tokens.json'), JSON.stringify({ '<cat-toy>': 680, 'Big Dog': 681 }));
    const loaded = await CLIPTokenizer.load(path);
    for (const [text, ids] of cases.slice(0, 4)) expect(loaded.tokenize(text), text).toEqual([678, ...ids, 679]);
    await writeFile(join(path, 'added_tokens.json'), JSON.stringify({ '<cat-toy>': 320 }));
    await expect(CLIPTokenizer.load(path)).rejects.toThrow(/share the id 320/);
  });
});

it('names the words that a vocabulary of words cannot spell', () => {
  expect(tokenizer.unknownWords('a Pink circle and a pink é!')).toEqual(['pink', 'é', '!']);
  expect(tokenizer.unknownWords('a red circle')).toEqual([]);
});
