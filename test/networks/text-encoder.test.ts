import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { readJson } from '../../core/files.js';
import { Random } from '../../core/random.js';
import { BertModel } from '../../networks/bert-model.js';
import { TextTokenizer } from '../../networks/text-tokenizer.js';

let folder = '';
beforeAll(async () => {
  await useBackend();
  folder = await mkdtemp(join(tmpdir(), 'text-'));
});
afterAll(() => rm(folder, { recursive: true }));

const bert = 'test/fixtures/rewards/bert';
// Made by transformers 5.24: RobertaModel(RobertaConfig(...)) and a byte-level BPE of the library tokenizers.
const roberta = 'test/fixtures/roberta';

it("gives the ids and hidden states of transformers' RobertaModel, of texts that are cut too", async () => {
  const cases = (await readJson(`${roberta}/cases.json`)) as { text: string; ids: number[]; hidden: number[] }[];
  const model = await BertModel.load(roberta);
  const tokenizer = await TextTokenizer.load(roberta, model.longest);
  expect(model.longest).toBe(12);
  expect(tokenizer.maxLength).toBe(10);
  expect([...tokenizer.special]).toEqual([0, 2]);
  const tensors = tf.memory().numTensors;
  for (const { text, ids, hidden } of cases) {
    expect(tokenizer.encode(text)).toEqual(ids);
    const actual = tf.tidy(() => model.apply(tf.tensor2d([ids], undefined, 'int32')));
    const data = await actual.data();
    hidden.forEach((value, i) => {
      expect(data[i]).toBeCloseTo(value, 4);
    });
    actual.dispose();
  }
  expect(tf.memory().numTensors).toBe(tensors);
  model.dispose();
});

describe('a tokenizer', () => {
  it('reads vocab.txt as it reads tokenizer.json', async () => {
    const other = join(folder, 'vocab');
    await cp(bert, other, { recursive: true });
    await rm(join(other, 'tokenizer.json'));
    const [whole, plain] = [await TextTokenizer.load(bert, 32), await TextTokenizer.load(other, 32)];
    for (const text of ['A small BLUE triangle, and a yellow star', 'circles', 'zebra', '', 'a [SEP] a'])
      expect(plain.encode(text)).toEqual(whole.encode(text));
    // transformers' BertTokenizer of this vocabulary: [CLS] a small blue triangle [UNK] and a yellow star [SEP]
    expect(plain.encode('A small BLUE triangle, and a yellow star')).toEqual([2, 5, 33, 10, 16, 1, 23, 5, 11, 17, 3]);
  });

  it('cuts a text before its last special token', async () => {
    const tokenizer = await TextTokenizer.load(bert, 32);
    expect(tokenizer.encode('a red circle on the left', 5)).toEqual([2, 5, 8, 14, 3]);
  });

  it.each([
    ['none', {}, /has neither tokenizer.json nor vocab.txt/],
    ['a vocabulary without special tokens', { 'vocab.txt': 'a\nb\n' }, /vocab.txt: has no token \[UNK\]/],
    ['another thing', { 'tokenizer.json': '{"model":{"type":"Other"}}' }, /tokenizer.json: is no tokenizer/],
  ])('says what is wrong with %s', async (name, files: Record<string, string>, message) => {
    const broken = await mkdtemp(join(folder, 'x'));
    for (const [file, text] of Object.entries(files)) await writeFile(join(broken, file), text);
    await expect(TextTokenizer.load(broken, 8), name).rejects.toThrow(message);
  });
});

it.each([
  [{ hidden_size: 10, num_attention_heads: 3 }, /hidden_size 10 is no multiple of num_attention_heads 3/],
  [{ hidden_act: 'relu' as 'gelu' }, /unknown hidden_act `relu`/],
  [{ model_type: 'deberta' as 'bert' }, /unknown model_type `deberta`/],
])('refuses the configuration %j', (config, message) => {
  expect(() => BertModel.create(config, new Random(0))).toThrow(message);
});

it('refuses more tokens than there are places', () => {
  const config = { vocab_size: 9, hidden_size: 4, num_attention_heads: 2, num_hidden_layers: 1, intermediate_size: 4 };
  const model = BertModel.create({ ...config, max_position_embeddings: 3 }, new Random(0));
  expect(() => model.apply(tf.zeros([1, 4], 'int32'))).toThrow(/4 tokens a text, but there are 3 positions/);
  model.dispose();
});
