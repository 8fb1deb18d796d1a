import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { shotLabels } from '../../../agents/adaptation/shot.js';
import { useBackend } from '../../../backend/index.js';
import { Random } from '../../../core/random.js';
import { type GuidedOptions, guidedAction } from '../../../envs/adaptation/guided.js';
import {
  contrastive,
  crossEntropy,
  diversity,
  meanEntropy,
  negativeLearning,
} from '../../../envs/adaptation/losses.js';
import { accuracyOf, informationOf } from '../../../envs/adaptation/measures.js';
import {
  keptNegatives,
  nearestNeighbours,
  normalizedEntropy,
  oneHot,
  uncertaintyWeights,
} from '../../../envs/adaptation/rules.js';
import type { AdaptationObservation } from '../../../envs/adaptation/spaces.js';
import { strongViews, weakViews } from '../../../envs/adaptation/views.js';

beforeAll(async () => void (await useBackend()));

const floats = (...rows: number[][]) => ({
  data: Float32Array.from(rows.flat()),
  shape: [rows.length, rows[0]!.length],
});
const ints = (...rows: number[][]) => ({ data: Int32Array.from(rows.flat()), shape: [rows.length, rows[0]!.length] });
const value = (t: tf.Tensor) => t.dataSync()[0]!;
const uniform = (classes: number) => new Array<number>(classes).fill(1 / classes);

// The golden numbers were computed in numpy from the paper's formulas, with 1e-5 within the base-2 logarithm.
describe('uncertainty', () => {
  it('weights by the entropy of the vote', () => {
    const [entropy] = normalizedEntropy(floats([0.7, 0.2, 0.1]));
    expect(entropy).toBeCloseTo(0.729819, 5);
    expect(uncertaintyWeights(floats([0.7, 0.2, 0.1]))[0]).toBeCloseTo(0.481996, 5);
    expect(uncertaintyWeights(floats([1, 0, 0]))[0]).toBeCloseTo(1.000009, 6);
    expect(uncertaintyWeights(floats(uniform(3)))[0]).toBeCloseTo(0.367889, 5);
    expect(uncertaintyWeights(floats(uniform(10)))[0]).toBeCloseTo(0.367895, 5);
    expect(uncertaintyWeights(floats([0.5, 0.5, 0, 0, 0, 0, 0, 0, 0, 0]))[0]).toBeCloseTo(0.740062, 5);
    expect([...uncertaintyWeights(floats(uniform(10)), 0)]).toEqual([1]);
  });
});

describe('losses', () => {
  const one = () => tf.tensor1d([1]);
  const hot = (label: number) => tf.tensor2d(oneHot([label], 3).data, [1, 3]);

  it('have the golden numbers', () => {
    const logits = tf.tensor2d([[2, 1, 0]]);
    expect(value(negativeLearning(logits, hot(1), one()))).toBeCloseTo(0.280678, 5);
    expect(value(negativeLearning(logits, hot(2), one()))).toBeCloseTo(0.094344, 5);
    expect(value(crossEntropy(logits, hot(0), one()))).toBeCloseTo(0.407606, 5);
    expect(value(negativeLearning(tf.tensor2d([[20, 0, 0]]), hot(0), one()))).toBeCloseTo(11.512925, 4);
    expect(
      value(
        diversity(
          tf.tensor2d([
            [2, 1, 0],
            [0, 1, 2],
          ]),
        ),
      ),
    ).toBeCloseTo(-1.079984, 5);
    expect(value(diversity(tf.zeros([4, 10]) as tf.Tensor2D))).toBeCloseTo(-Math.LN10, 5);
    expect(value(meanEntropy(tf.zeros([4, 10]) as tf.Tensor2D))).toBeCloseTo(Math.log(10), 5);
  });

  it('contrast: similarities .9 to the key, and .5, .1, -.2 to the negatives', () => {
    const query = tf.tensor2d([[2, 0]]); // normalised within
    const at = (cosine: number) => [cosine, Math.sqrt(1 - cosine * cosine)];
    const queue = tf.tensor2d([0.5, 0.1, -0.2].map(at));
    const loss = (keep: number[]) =>
      value(contrastive(query, tf.tensor2d([at(0.9)]), queue, tf.tensor2d([keep]), 0.07));
    expect(loss([1, 1, 1])).toBeCloseTo(0.003304, 5);
    expect(loss([1, 0, 1])).toBeCloseTo(0.003293, 5);
    expect(loss([0, 0, 0])).toBe(0);
  });

  it('have the gradients of finite differences', () => {
    const fixed = {
      targets: tf.tensor2d([
        [0.7, 0.2, 0.1],
        [0, 0, 1],
      ]),
      complementary: tf.tensor2d([
        [0, 1, 0],
        [1, 0, 0],
      ]),
      weights: tf.tensor1d([0.4, 0.9]),
      positives: tf.tensor2d([
        [1, 0, 0],
        [0, 1, 0],
      ]),
      queue: tf.tensor2d([
        [0, 0, 1],
        [0.6, 0.8, 0],
      ]),
      keep: tf.tensor2d([
        [1, 1],
        [0, 1],
      ]),
    };
    const losses: ((x: tf.Tensor2D) => tf.Scalar)[] = [
      (x) => crossEntropy(x, fixed.targets, fixed.weights),
      (x) => negativeLearning(x, fixed.complementary, fixed.weights),
      diversity,
      meanEntropy,
      (x) => contrastive(x, fixed.positives, fixed.queue, fixed.keep, 0.5),
    ];
    const start = [0.5, -0.3, 0.8, -1.2, 0.4, 0.1];
    const h = 1e-2;
    for (const loss of losses) {
      const at = (values: number[]) => value(loss(tf.tensor2d(values, [2, 3])));
      const gradient = tf
        .grad(loss as never)(tf.tensor2d(start, [2, 3]))
        .dataSync();
      start.forEach((_, k) => {
        const moved = (by: number) => at(start.map((v, i) => (i === k ? v + by : v)));
        expect(gradient[k]).toBeCloseTo((moved(h) - moved(-h)) / (2 * h), 3);
      });
    }
  });
});

describe('neighbours', () => {
  it('are those of brute force', () => {
    const random = new Random(7);
    const rows = (n: number) => ({ data: random.normals(n * 6), shape: [n, 6] });
    const [features, bank] = [rows(20), rows(50)];
    const { data } = nearestNeighbours(features, bank, 7);
    const row = (x: typeof bank, i: number) => [...x.data.subarray(i * 6, (i + 1) * 6)];
    const cosine = (a: number[], b: number[]) =>
      a.reduce((sum, v, d) => sum + v * b[d]!, 0) / Math.hypot(...a) / Math.hypot(...b);
    for (let i = 0; i < 20; i++) {
      const distances = Array.from({ length: 50 }, (_, j) => 1 - cosine(row(features, i), row(bank, j)));
      const order = distances.map((_, j) => j).sort((a, b) => distances[a]! - distances[b]!);
      expect([...data.subarray(i * 7, (i + 1) * 7)]).toEqual(order.slice(0, 7));
    }
    expect(() => nearestNeighbours(features, bank, 51)).toThrow(/k is 51, and the bank has 50 samples/);
  });
});

describe('exclusion', () => {
  it('keeps negatives that differ in every epoch, and empty slots match nothing', () => {
    const mask = keptNegatives(ints([1, 2, -1], [-1, -1, -1]), ints([3, 3, 3], [2, 1, -1], [1, 0, 0], [-1, -1, -1]));
    expect([...mask.data]).toEqual([1, 1, 0, 1, 1, 1, 1, 1]);
    const now = { labels: [5, 6], queueLabels: [5, 6, -1, 6] };
    const both = keptNegatives(
      ints([1, 2, -1], [-1, -1, -1]),
      ints([3, 3, 3], [2, 1, -1], [1, 0, 0], [-1, -1, -1]),
      now,
    );
    expect([...both.data]).toEqual([0, 1, 0, 1, 1, 0, 1, 0]);
  });

  it('of labels by chance excludes 1 - (1 - 1/C)^T, as the released code does before its history fills', () => {
    const random = new Random(3);
    // 41.0 % for 10 classes and 35.3 % for 12 over 5 epochs.
    for (const [classes, expected] of [
      [10, 0.40951],
      [12, 0.35277],
    ] as const) {
      const labels = (n: number) =>
        ints(...Array.from({ length: n }, () => Array.from({ length: 5 }, () => random.integer(classes))));
      const { data } = keptNegatives(labels(300), labels(300));
      expect(data.filter((keep) => keep === 0).length / data.length).toBeCloseTo(expected, 1.5);
    }
  });
});

/** Two classes in two clear clusters; the network is wrong about the second sample of the batch. */
function observed(): AdaptationObservation {
  const bankProbs = [
    [0.9, 0.1],
    [0.8, 0.2],
    [0.9, 0.1],
    [0.1, 0.9],
    [0.2, 0.8],
    [0.1, 0.9],
  ];
  return {
    featuresWeak: floats([1, 0.1], [0.1, 1]),
    probsWeak: floats([0.9, 0.1], [0.6, 0.4]),
    index: { data: Int32Array.of(0, 3), shape: [2] },
    bankFeatures: floats([1, 0], [1, 0.05], [0.9, 0.1], [0, 1], [0.05, 1], [0.1, 0.9]),
    bankProbs: floats(...bankProbs),
    queueIndex: { data: Int32Array.of(1, 4, -1), shape: [3] },
    queueLabels: { data: Int32Array.of(0, 1, -1), shape: [3] },
    history: ints([0, 0], [0, 1]),
    queueHistory: ints([0, 1], [1, 1], [-1, -1]),
    stats: floats(new Array(16).fill(0)),
  };
}

describe('guided pseudo-labels', () => {
  const whole: GuidedOptions = {
    ...{ neighbours: 3, sharpness: 1, confidence: 0, history: 2, keepAll: false, releasedOrder: false },
    losses: { contrast: 1, diversity: 1, negative: 0, learningRate: 1 },
  };
  it('labels by the vote of neighbours, weights by its certainty, excludes by labels now and before', () => {
    const { pseudoLabels, weights, negativeMask } = guidedAction(observed(), whole);
    expect([...pseudoLabels.data]).toEqual([1, 0, 0, 1]);
    const vote = [[(0.9 + 0.8 + 0.9) / 3, (0.1 + 0.2 + 0.1) / 3]];
    expect(weights.data[0]).toBeCloseTo(uncertaintyWeights(floats(...vote))[0]!, 5);
    // The first was 0 now and before, as the first of the queue was; the second is 1 now, as the second of the queue is.
    expect([...negativeMask.data]).toEqual([0, 1, 1, 0, 0, 1]);
  });

  it('each part can be turned off', () => {
    const own = guidedAction(observed(), { ...whole, neighbours: 0 });
    expect([...own.pseudoLabels.data]).toEqual([1, 0, 1, 0]);
    expect([...guidedAction(observed(), { ...whole, sharpness: 0 }).weights.data]).toEqual([1, 1]);
    expect([...guidedAction(observed(), { ...whole, keepAll: true }).negativeMask.data]).toEqual([1, 1, 1, 1, 1, 1]);
    // Without the past only present labels count, and in the released order only the past.
    expect([...guidedAction(observed(), { ...whole, history: 0 }).negativeMask.data]).toEqual([0, 1, 1, 1, 0, 1]);
    const released = guidedAction(observed(), { ...whole, history: 1, releasedOrder: true });
    expect([...released.negativeMask.data]).toEqual([0, 1, 1, 0, 1, 1]);
    expect([...guidedAction(observed(), { ...whole, confidence: 0.95 }).weights.data]).toEqual([0, 0]);
  });

  it('SHOT labels by the nearest centroid', () => {
    expect([...shotLabels(observed())]).toEqual([0, 1]);
  });
});

describe('measures', () => {
  it('accuracy is also meant over classes, of those that there are', () => {
    // Class 0: 3 of 4 right, class 1: 0 of 1.
    expect(accuracyOf([0, 0, 0, 1, 0], [0, 0, 0, 0, 1], 3)).toEqual({ overall: 0.6, perClass: 0.375 });
  });

  it('information is largest for predictions that are certain and diverse', () => {
    expect(informationOf(floats([1, 0], [0, 1])).score).toBeCloseTo(1, 3);
    expect(informationOf(floats([1, 0], [1, 0])).score).toBeCloseTo(0, 3);
    expect(informationOf(floats([0.5, 0.5], [0.5, 0.5])).score).toBeCloseTo(0, 3);
  });
});

describe('views', () => {
  const random = new Random(5);
  const pictures = {
    data: Uint8Array.from({ length: 4 * 12 * 12 * 3 }, () => random.integer(256)),
    shape: [4, 12, 12, 3],
  };

  it('are the same for the same stream, another picture for another, and of values near -1..1', () => {
    for (const views of [weakViews, strongViews]) {
      const first = views(pictures, [2, 0], new Random(1));
      expect(first).toHaveLength(2 * 432);
      expect(views(pictures, [2, 0], new Random(1))).toEqual(first);
      expect(views(pictures, [2, 0], new Random(2))).not.toEqual(first);
      expect(Math.max(...first.map(Math.abs))).toBeLessThan(2.2);
    }
  });

  it('a weak view of a plain picture is that picture', () => {
    const plain = { data: new Uint8Array(432).fill(204), shape: [1, 12, 12, 3] };
    // 204 / 127.5 − 1 = .6
    for (const v of weakViews(plain, [0], new Random(1))) expect(v).toBeCloseTo(0.6, 5);
  });
});
