import * as tf from '@tensorflow/tfjs';
import { expect, it } from 'vitest';
import { readSafetensors } from '../../core/safetensors.js';
import { TextEncoder } from '../../networks/text-encoder.js';
import { BertScorer } from '../../rewards/text/bert-score.js';
import { fixturePath, largestError, readFixture, startBackend } from './fixtures.js';

await startBackend();
const folder = fixturePath('rewards', 'bert');

interface Expected {
  layer: number;
  candidates: string[];
  references: string[];
  precision: number[];
  recall: number[];
  f1: number[];
  /** Of the references, padded to the longest. */
  input_ids: number[][];
  attention_mask: number[][];
}
const expected = await readFixture<Expected>('rewards', 'bert', 'expected.json');
const idsOf = (i: number) => expected.input_ids[i]!.filter((_, k) => expected.attention_mask[i]![k] === 1);

it("gives the ids and the hidden states of transformers' BertModel", async () => {
  const hidden = (await readSafetensors(fixturePath('rewards', 'bert', 'io.safetensors'))).get('hidden')!;
  const [, longest, width] = hidden.shape as [number, number, number];
  const model = await TextEncoder.load(folder);
  const scorer = await BertScorer.load(folder, { layer: expected.layer });
  for (const [i, reference] of expected.references.entries()) {
    expect(scorer.encode(reference)).toEqual(idsOf(i));
    const actual = tf.tidy(() => model.apply(tf.tensor2d([idsOf(i)], undefined, 'int32'), expected.layer));
    const start = i * longest * width;
    const row = hidden.data.slice(start, start + idsOf(i).length * width);
    expect(largestError(await actual.data(), row)).toBeLessThan(1e-4);
    actual.dispose();
  }
  scorer.dispose();
  model.dispose();
});

it("gives the precision, recall and F1 of Python's bert_score", async () => {
  const scorer = await BertScorer.load(folder, { layer: expected.layer });
  const { precision, recall, f1 } = await scorer.score(expected.candidates, expected.references);
  expect(largestError(precision, expected.precision)).toBeLessThan(1e-4);
  expect(largestError(recall, expected.recall)).toBeLessThan(1e-4);
  expect(largestError(f1, expected.f1)).toBeLessThan(1e-4);
  scorer.dispose();
});
