import * as tf from '@tensorflow/tfjs';
import { beforeAll, expect, it } from 'vitest';
import { useBackend } from '../../../backend/index.js';
import { BertScorer } from '../../../rewards/text/bert-score.js';

const folder = 'test/fixtures/rewards/bert';
beforeAll(() => useBackend());

it('gives the same text 1, whatever stands beside it, and frees what it makes', async () => {
  const before = tf.memory().numTensors;
  const scorer = await BertScorer.load(folder, { layer: 2, batchSize: 2 });
  const held = tf.memory().numTensors;
  const one = await scorer.score(['two red stars'], [' two red stars ']);
  expect(one.f1[0]).toBeCloseTo(1, 5);
  const texts = ['two red stars', 'a blue circle on the right', 'the star', 'a star', 'a circle'];
  const many = await scorer.score(texts, texts.toReversed());
  const again = await scorer.score([texts[1]!], [texts[3]!]);
  expect(many.recall[1]).toBe(again.recall[0]);
  expect(tf.memory().numTensors).toBe(held);
  scorer.dispose();
  expect(tf.memory().numTensors).toBe(before);
});

it('asks for the layer where bert_score knows none for the encoder', async () => {
  const tensors = tf.memory().numTensors;
  await expect(BertScorer.load(folder)).rejects.toThrow(/layer: say whose hidden states are compared, 1 to 3/);
  await expect(BertScorer.load(folder, { layer: 4 })).rejects.toThrow(/actual value 4/);
  expect(tf.memory().numTensors).toBe(tensors);
});

it('wants a reference for each candidate', async () => {
  const scorer = await BertScorer.load(folder, { layer: 1 });
  await expect(scorer.score(['a'], [])).rejects.toThrow(/1 candidates for 0 references/);
  scorer.dispose();
});
