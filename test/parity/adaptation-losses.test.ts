import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { contrastive, crossEntropy, diversity, negativeLearning } from '../../envs/adaptation/losses.js';
import {
  argmaxRows,
  keptNegatives,
  nearestNeighbours,
  oneHot,
  uncertaintyWeights,
  vote,
} from '../../envs/adaptation/rules.js';
import { largestError, readFixture, startBackend } from './fixtures.js';

type Rows = number[][];
interface Case {
  k: number;
  temperature: number;
  bankFeatures: Rows;
  bankProbs: Rows;
  features: Rows;
  neighbours: Rows;
  refined: Rows;
  pseudoLabels: number[];
  weights: number[];
  logits: Rows;
  complementary: number[];
  negativeLearning: number;
  negativeLearningGrad: Rows;
  crossEntropy: number;
  crossEntropyGrad: Rows;
  diversity: number;
  diversityGrad: Rows;
  query: Rows;
  positiveKeys: Rows;
  queue: Rows;
  history: Rows;
  queueHistory: Rows;
  keep: Rows;
  contrastive: number;
  contrastiveGrad: Rows;
}

const { cases } = await readFixture<{ cases: Case[] }>('adaptation_losses.json');
const floats = (rows: Rows) => ({ data: Float32Array.from(rows.flat()), shape: [rows.length, rows[0]!.length] });
const ints = (rows: Rows) => ({ data: Int32Array.from(rows.flat()), shape: [rows.length, rows[0]!.length] });

describe.each(cases.map((one, i) => ({ ...one, name: `case ${i}` })))('adaptation_losses.json, $name', (one) => {
  beforeAll(async () => void (await startBackend()));

  const neighbours = nearestNeighbours(floats(one.features), floats(one.bankFeatures), one.k);
  const refined = vote(neighbours, floats(one.bankProbs));

  it('neighbours, refined probabilities, pseudo-labels and weights', () => {
    // The order among neighbours does not matter to their vote.
    const sorted = (rows: Rows) => rows.map((row) => [...row].sort((a, b) => a - b));
    const found = one.neighbours.map((_, i) => [...neighbours.data.subarray(i * one.k, (i + 1) * one.k)]);
    expect(sorted(found)).toEqual(sorted(one.neighbours));
    expect(largestError(refined.data, one.refined.flat())).toBeLessThan(1e-5);
    expect([...argmaxRows(refined)]).toEqual(one.pseudoLabels);
    expect(largestError(uncertaintyWeights(refined), one.weights)).toBeLessThan(1e-5);
  });

  it('the mask of kept negatives', () => {
    expect([...keptNegatives(ints(one.history), ints(one.queueHistory)).data]).toEqual(one.keep.flat());
  });

  const classes = one.logits[0]!.length;
  const fixed = () => {
    const hot = (labels: number[]) => tf.tensor2d(oneHot(labels, classes).data, [labels.length, classes]);
    return {
      labels: hot(one.pseudoLabels),
      complementary: hot(one.complementary),
      weights: tf.tensor1d(one.weights),
      positives: tf.tensor2d(one.positiveKeys),
      queue: tf.tensor2d(one.queue),
      keep: tf.tensor2d(one.keep),
    };
  };
  type Fixed = ReturnType<typeof fixed>;
  it.each<[string, (x: tf.Tensor2D, f: Fixed) => tf.Scalar, Rows, number, Rows]>([
    [
      'cross-entropy',
      (x, f) => crossEntropy(x, f.labels, f.weights),
      one.logits,
      one.crossEntropy,
      one.crossEntropyGrad,
    ],
    [
      'negative learning',
      (x, f) => negativeLearning(x, f.complementary, f.weights),
      one.logits,
      one.negativeLearning,
      one.negativeLearningGrad,
    ],
    ['diversity', (x) => diversity(x), one.logits, one.diversity, one.diversityGrad],
    [
      'contrastive',
      (x, f) => contrastive(x, f.positives, f.queue, f.keep, one.temperature),
      one.query,
      one.contrastive,
      one.contrastiveGrad,
    ],
  ])('%s and its gradient', async (_, loss, input, value, gradient) => {
    const f = fixed();
    const x = tf.tensor2d(input);
    const result = tf.valueAndGrad((t: tf.Tensor2D) => loss(t, f))(x);
    expect(largestError(await result.value.data(), [value])).toBeLessThan(1e-5);
    expect(largestError(await result.grad.data(), gradient.flat())).toBeLessThan(1e-5);
    tf.dispose([f as unknown as tf.TensorContainer, x, result.value, result.grad]);
  });
});
