import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../../backend/index.js';
import { Random } from '../../../core/random.js';
import { proportions, weightedSum } from '../../../envs/federated/averages.js';
import {
  consistencyLoss,
  contrastiveLoss,
  linearLoss,
  modelContrastiveLoss,
  proximalLoss,
} from '../../../envs/federated/losses.js';

beforeAll(async () => void (await useBackend()));

const value = async (loss: tf.Scalar) => (await loss.data())[0]!;
const labels = (...list: number[]) => tf.tensor1d(list, 'int32');

describe('contrastiveLoss', () => {
  const features = tf.tensor2d([[1, 0]]);
  const prototypes = () => ({
    vectors: tf.tensor2d([
      [1, 0],
      [0.8, 0.6],
      [0, 1],
    ]),
    classes: labels(0, 0, 1),
  });
  // numpy: s = [1, .8, 0]/tau; -log(sum(exp(s[own]))/sum(exp(s)))
  it.each([
    [0.02, 0, 50.000045],
    [0.1, 0.00004, 10.126968],
    [0.5, 0.077908, 2.590924],
    [1, 0.184214, 1.782352],
  ])('at temperature %d is %d for class 0 and %d for class 1', async (temperature, first, second) => {
    expect(await value(contrastiveLoss(features, labels(0), prototypes(), temperature))).toBeCloseTo(first, 5);
    const other = await value(contrastiveLoss(features, labels(1), prototypes(), temperature));
    expect(Math.abs(other / second - 1)).toBeLessThan(1e-6);
  });

  it('is finite, and so is its gradient, at τ = .01 and for features of length 0', async () => {
    const z = tf.tensor2d([
      [1, 0],
      [0, 0],
      [-1, 0],
    ]);
    const { value: loss, grad } = tf.valueAndGrad((x: tf.Tensor) =>
      contrastiveLoss(x as tf.Tensor2D, labels(1, 0, 0), prototypes(), 0.01),
    )(z);
    // (100 + log(1 + e^-20)) for the first; two of three equal for the second; log 3 dimensions: −1, −.8, 0.
    expect((await loss.data())[0]).toBeCloseTo((100 + Math.log(1.5) + 80) / 3, 3);
    expect((await grad.data()).every(Number.isFinite)).toBe(true);
  });

  it('counts examples of a class without prototypes as 0', async () => {
    const two = tf.tensor2d([
      [1, 0],
      [1, 0],
    ]);
    const both = await value(contrastiveLoss(two, labels(1, 2), prototypes(), 1));
    expect(both).toBeCloseTo(1.782352 / 2, 5);
  });

  it('frees what it made', async () => {
    const [p, l] = [prototypes(), labels(0)];
    const before = tf.memory().numTensors;
    contrastiveLoss(features, l, p, 0.1).dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('consistencyLoss', () => {
  // (1 − .9)² + (0 − .3)² = .1
  it.each([
    ['sum', 0.1],
    ['mean', 0.05],
  ] as const)('by the %s over dimensions is %d', async (reduction, expected) => {
    const target = { vectors: tf.tensor2d([[0.9, 0.3]]), present: tf.tensor1d([1]) };
    expect(await value(consistencyLoss(tf.tensor2d([[1, 0]]), labels(0), target, reduction))).toBeCloseTo(expected, 6);
  });
});

describe('gradients', () => {
  const random = new Random(3);
  const rows = (n: number) => tf.tensor2d(random.normals(n * 4), [n, 4]);
  const [z, p, other, third] = [rows(3), rows(5), rows(3), rows(3)];
  const y = labels(0, 1, 3);
  const losses: Record<string, (x: tf.Tensor2D) => tf.Scalar> = {
    contrastive: (x) => contrastiveLoss(x, y, { vectors: p, classes: labels(0, 0, 1, 1, 2) }, 0.3),
    consistency: (x) =>
      consistencyLoss(x, y, { vectors: p.slice([0, 0], [4, 4]), present: tf.tensor1d([1, 1, 1, 0]) }, 'sum'),
    proximal: (x) => proximalLoss([x], [other]),
    linear: (x) => linearLoss([x], [other]),
    'model-contrastive': (x) => modelContrastiveLoss(x, other, third, 0.5),
  };

  it.each(Object.keys(losses))('of the %s loss equals central differences', async (name) => {
    const loss = losses[name]!;
    const gradient = await tf
      .grad((x: tf.Tensor) => loss(x as tf.Tensor2D))(z)
      .data();
    const point = await z.data();
    const h = 1e-2;
    for (let i = 0; i < point.length; i++) {
      const moved = async (by: number) =>
        await value(
          loss(
            tf.tensor2d(
              Float32Array.from(point, (x, j) => (j === i ? x + by : x)),
              [3, 4],
            ),
          ),
        );
      const slope = ((await moved(h)) - (await moved(-h))) / (2 * h);
      expect(Math.abs(slope - gradient[i]!)).toBeLessThan(2e-3 * Math.max(1, Math.abs(slope)));
    }
  });
});

describe('weightedSum', () => {
  it('is exact, and does not look at what has no weight', () => {
    const vectors = [Float32Array.of(1, 2), Float32Array.of(Number.NaN, 1), Float32Array.of(3, 6)];
    expect([...weightedSum(vectors, [0.25, 0, 0.75])]).toEqual([2.5, 5]);
    expect(() => weightedSum(vectors, [1])).toThrow(/1 weights and lengths 2, 2, 2/);
  });

  it('takes proportions', () => {
    expect([...proportions([1, 3])]).toEqual([0.25, 0.75]);
    expect([...proportions([0, 0])]).toEqual([0, 0]);
  });
});
