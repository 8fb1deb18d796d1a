import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { batchNorm, useBackend } from '../../backend/index.js';
import { Random } from '../../core/random.js';
import { DigitsNetwork, normalizedImages } from '../../networks/digits-network.js';
import { copiedParameters, overwrite } from '../../networks/weights.js';

beforeAll(async () => void (await useBackend()));

const values = (t: tf.Tensor) => [...t.dataSync()];

describe('batchNorm', () => {
  const x = [
    [1, 2],
    [3, -1],
    [0.5, 4],
  ];
  const up = [
    [1, 2],
    [-1, 0.5],
    [0.3, -2],
  ];
  const gamma = [1.5, 0.5];
  const beta = [0.1, -0.2];
  /** The definition, in float64: y = γ (x − mean) / sqrt(biased variance + ε) + β, weighted and summed. */
  const objective = (rows: number[][], g: number[], b: number[]): number => {
    let sum = 0;
    for (let c = 0; c < 2; c++) {
      const column = rows.map((row) => row[c]!);
      const mean = column.reduce((a, v) => a + v) / 3;
      const variance = column.reduce((a, v) => a + (v - mean) ** 2, 0) / 3;
      column.forEach((v, i) => {
        sum += up[i]![c]! * ((g[c]! * (v - mean)) / Math.sqrt(variance + 1e-5) + b[c]!);
      });
    }
    return sum;
  };

  it('has the value, the statistics and the gradients of its definition', () => {
    const run = (X: tf.Tensor, G: tf.Tensor, B: tf.Tensor) =>
      batchNorm(X as tf.Tensor2D, G as tf.Tensor1D, B as tf.Tensor1D, 1e-5)
        .value.mul(tf.tensor2d(up))
        .sum();
    const inputs = [tf.tensor2d(x), tf.tensor1d(gamma), tf.tensor1d(beta)];
    expect(values(run(inputs[0]!, inputs[1]!, inputs[2]!))[0]).toBeCloseTo(objective(x, gamma, beta), 4);
    const gradients = tf
      .grads(run as never)(inputs)
      .map(values);
    const h = 1e-5;
    const numeric = (change: (by: number) => number) => (change(h) - change(-h)) / (2 * h);
    x.flat().forEach((_, k) => {
      const moved = (by: number) => x.map((row, i) => row.map((v, c) => (2 * i + c === k ? v + by : v)));
      expect(gradients[0]![k]).toBeCloseTo(
        numeric((by) => objective(moved(by), gamma, beta)),
        3,
      );
    });
    [0, 1].forEach((c) => {
      const moved = (list: number[], by: number) => list.map((v, i) => (i === c ? v + by : v));
      expect(gradients[1]![c]).toBeCloseTo(
        numeric((by) => objective(x, moved(gamma, by), beta)),
        3,
      );
      expect(gradients[2]![c]).toBeCloseTo(
        numeric((by) => objective(x, gamma, moved(beta, by))),
        3,
      );
    });
    const { mean, variance } = batchNorm(
      inputs[0] as tf.Tensor2D,
      inputs[1] as tf.Tensor1D,
      inputs[2] as tf.Tensor1D,
      1e-5,
    );
    expect(values(mean)).toEqual([1.5, expect.closeTo(5 / 3, 6)]);
    // ((−.5)² + 1.5² + (−1)²) / 3 = 3.5 / 3; ((1/3)² + (8/3)² + (7/3)²) / 3 = 114 / 27.
    expect(values(variance)).toEqual([expect.closeTo(3.5 / 3, 6), expect.closeTo(114 / 27, 5)]);
  });

  it('refuses a single row, which has no variance', () => {
    const ones = tf.ones([2]) as tf.Tensor1D;
    expect(() => batchNorm(tf.ones([1, 2]), ones, ones, 1e-5)).toThrow(/two rows/);
  });
});

describe('DigitsNetwork', () => {
  const images = (n: number, seed = 1) => {
    const random = new Random(seed);
    const data = Uint8Array.from({ length: n * 28 * 28 * 3 }, () => random.integer(256));
    return normalizedImages({ data, shape: [n, 28, 28, 3] });
  };

  it('gives features and logits of their sizes, and has the parameters that it says', () => {
    const network = DigitsNetwork.create({ classes: 10 }, new Random(1));
    const { features, logits } = network.forward(images(3), 'eval');
    expect([features.shape, logits.shape]).toEqual([
      [3, 64],
      [3, 10],
    ]);
    expect([...network.parameters.keys()].slice(0, 4)).toEqual([
      'conv1.weight',
      'conv1.bias',
      'bn1.weight',
      'bn1.bias',
    ]);
    expect([...network.buffers.keys()].slice(0, 2)).toEqual(['bn1.running_mean', 'bn1.running_var']);
    // Convolutions, their norms, the bottleneck and its norm, and the head with a length for each class.
    const size = [...network.parameters.values()].reduce((sum, { size }) => sum + size, 0);
    const convolutions = 27 * 16 + 9 * 16 * 32 + 9 * 32 * 64 + (16 + 32 + 64) * 3;
    expect(size).toBe(convolutions + 1024 * 64 + 64 * 3 + 640 + 10 + 10);
    network.dispose();
  });

  it('normalises by the batch in training, and by what it tracked in evaluation', () => {
    const network = DigitsNetwork.create({ classes: 10 }, new Random(1));
    const x = images(8);
    const before = values(network.forward(x, 'eval').features);
    const batch = values(network.forward(x, 'batch').features);
    expect(values(network.buffers.get('bn1.running_mean')!).every((v) => v === 0)).toBe(true);
    // The features end with batch normalisation: each has mean 0 over the batch.
    for (let d = 0; d < 64; d++) {
      const column = Array.from({ length: 8 }, (_, i) => batch[i * 64 + d]!);
      expect(column.reduce((a, b) => a + b) / 8).toBeCloseTo(0, 4);
    }
    expect(values(network.forward(x, 'train').features)).toEqual(batch);
    expect(values(network.buffers.get('bn1.running_mean')!).some((v) => v !== 0)).toBe(true);
    expect(values(network.forward(x, 'eval').features)).not.toEqual(before);
    // Of many passes over the same batch the tracked statistics become its own, but for the unbiased variance, 8/7 of it.
    for (let i = 0; i < 200; i++) tf.tidy(() => void network.forward(x, 'train'));
    const scale = Math.sqrt(7 / 8);
    const evaluated = values(network.forward(x, 'eval').features);
    const far = evaluated.map((v, i) => Math.abs(v - scale * batch[i]!));
    expect(Math.max(...far)).toBeLessThan(0.05);
    network.dispose();
  });

  it('normalises the weights of its head: each row has the length that is trained', () => {
    const network = DigitsNetwork.create({ classes: 3, features: 4 }, new Random(1));
    const v = network.parameters.get('classifier.weight_v')!;
    const g = network.parameters.get('classifier.weight_g')!;
    const bias = network.parameters.get('classifier.bias')!;
    const unit = tf.eye(4) as tf.Tensor2D;
    const row = () => values(network.classify(unit)).filter((_, i) => i % 3 === 1);
    const length = () => Math.hypot(...row().map((w) => w - bias.dataSync()[1]!));
    expect(length()).toBeCloseTo(1, 5);
    v.assign(v.mul(7));
    expect(length()).toBeCloseTo(1, 5);
    g.assign(tf.tensor2d([[1], [2.5], [1]]));
    expect(length()).toBeCloseTo(2.5, 5);
    network.dispose();
  });

  it('ends features with a ReLU without batch normalisation, and has then a plain head on request', () => {
    const network = DigitsNetwork.create({ classes: 10, batchNorm: false, weightNorm: false }, new Random(1));
    const { features } = network.forward(images(4), 'train');
    expect(Math.min(...values(features))).toBe(0);
    expect(network.buffers.size).toBe(0);
    expect([...network.parameters.keys()].slice(-2)).toEqual(['classifier.weight', 'classifier.bias']);
    network.dispose();
  });

  it('is cloned with statistics, takes the values of another, and leaves no tensor behind', () => {
    const before = tf.memory().numTensors;
    const network = DigitsNetwork.create({ classes: 10 }, new Random(1));
    const x = images(8);
    tf.tidy(() => void network.forward(x, 'train'));
    const clone = network.clone();
    const outcome = (one: DigitsNetwork) => tf.tidy(() => values(one.forward(x, 'eval').logits));
    expect(outcome(clone)).toEqual(outcome(network));
    tf.tidy(() => void network.forward(x, 'train'));
    expect(outcome(clone)).not.toEqual(outcome(network));
    overwrite(clone.parameters, copiedParameters(network.parameters));
    overwrite(clone.buffers, copiedParameters(network.buffers));
    expect(outcome(clone)).toEqual(outcome(network));
    clone.dispose();
    network.dispose();
    x.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});
