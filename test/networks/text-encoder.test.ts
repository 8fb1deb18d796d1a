import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { readJson } from '../../core/files.js';
import { bucketOf } from '../../networks/deberta-model.js';
import { TextEncoder } from '../../networks/text-encoder.js';
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
  const model = await TextEncoder.load(roberta);
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

// Made by transformers 5.24: random weights; DebertaModel configured as deberta-xlarge-mnli, with a byte-level BPE;
// DebertaV2ForSequenceClassification as deberta-v3, with SentencePiece's unigrams; DebertaV2Model with the other settings.
// Cases without a text have random ids, up to more than there are buckets of distances.
it.each([
  'distilbert',
  'deberta',
  'deberta_v2',
  'deberta_v3',
])("gives the ids and hidden states of transformers' %s", async (kind) => {
  const own = `test/fixtures/encoders/${kind}`;
  const cases = (await readJson(`${own}/cases.json`)) as { text?: string; ids: number[]; hidden: number[] }[];
  const before = tf.memory().numTensors;
  const model = await TextEncoder.load(own);
  const held = tf.memory().numTensors;
  const texts = cases.flatMap(({ text, ids }) => (text === undefined ? [] : [[text, ids] as const]));
  const tokenizer = texts.length > 0 ? await TextTokenizer.load(own, model.longest) : undefined;
  for (const [text, ids] of texts) expect(tokenizer!.encode(text), text).toEqual(ids);
  for (const { ids, hidden } of cases) {
    // Twice in a batch, so that samples must be told apart.
    const actual = tf.tidy(() => model.apply(tf.tensor2d([ids, ids.toReversed(), ids], undefined, 'int32')));
    const data = await actual.data();
    hidden.forEach((value, i) => {
      expect(data[i]).toBeCloseTo(value, 4);
      expect(data[2 * hidden.length + i]).toBeCloseTo(value, 4);
    });
    actual.dispose();
  }
  expect(tf.memory().numTensors).toBe(held);
  model.dispose();
  expect(tf.memory().numTensors).toBe(before);
});

it.each([
  // Σ over distances d from 1 to most − 1 of the bucket times (7 d mod 1009), of transformers' make_log_bucket_position.
  [256, 512, 42_679_808],
  [64, 512, 12_947_809],
  [128, 256, 10_985_528],
  [8, 40, 36_631],
])('puts distances into %i buckets up to %i as Python does', (buckets, most, sum) => {
  let own = 0;
  for (let d = 1; d < most; d++) own += bucketOf(d, buckets, most) * ((7 * d) % 1009);
  expect(own).toBe(sum);
  expect(bucketOf(-most + 1, buckets, most)).toBe(-bucketOf(most - 1, buckets, most));
});

it.each([
  [{ hidden_size: 10, num_attention_heads: 3 }, /hidden_size 10 is no multiple of num_attention_heads 3/],
  [{ hidden_act: 'relu' }, /unknown hidden_act `relu`/],
  [{ model_type: 'distilbert', activation: 'relu' }, /unknown hidden_act `relu`/],
  [{ model_type: 'electra' }, /unknown model_type `electra`.*bert.*deberta-v2/],
  [{ model_type: 'deberta' }, /relative_attention` is false; only true is supported/],
  [{ model_type: 'deberta', relative_attention: true }, /pos_att_type` is undefined; it must name c2p, p2c or both/],
  [{ model_type: 'deberta', relative_attention: true, pos_att_type: 'p2p' }, /pos_att_type` is "p2p"/],
  [{ model_type: 'deberta-v2', relative_attention: true, conv_kernel_size: 3 }, /conv_kernel_size` is 3; only 0/],
])('refuses the configuration %j', async (config, message) => {
  const own = await mkdtemp(join(folder, 'c'));
  await writeFile(join(own, 'config.json'), JSON.stringify(config));
  await expect(TextEncoder.load(own)).rejects.toThrow(message);
});

it('refuses more tokens than there are places', async () => {
  const model = await TextEncoder.load(roberta);
  expect(() => model.apply(tf.zeros([1, 13], 'int32'))).toThrow(/13 tokens a text, but there are 12 positions/);
  model.dispose();
});
