import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backendReport, groupNorm, layerNorm, silu, useBackend } from '../../backend/index.js';
import { Random } from '../../core/random.js';

const random = new Random(1);
const normal = (shape: number[], mean = 0) => {
  const size = shape.reduce((a, b) => a * b, 1);
  return tf.tensor(
    Float32Array.from({ length: size }, () => mean + random.normal()),
    shape,
  );
};

function naiveGroupNorm(x: tf.Tensor4D, scale: tf.Tensor1D, offset: tf.Tensor1D, groups: number, epsilon: number) {
  const [b, h, w, c] = x.shape;
  const grouped = x.reshape([b, h, w, groups, c / groups]);
  const mean = grouped.mean([1, 2, 4], true);
  const variance = grouped.sub(mean).square().mean([1, 2, 4], true);
  return grouped.sub(mean).div(variance.add(epsilon).sqrt()).reshape(x.shape).mul(scale).add(offset);
}

function naiveLayerNorm(x: tf.Tensor, scale: tf.Tensor1D, offset: tf.Tensor1D, epsilon: number) {
  const mean = x.mean(-1, true);
  const variance = x.sub(mean).square().mean(-1, true);
  return x.sub(mean).div(variance.add(epsilon).sqrt()).mul(scale).add(offset);
}

function expectClose(actual: tf.Tensor, expected: tf.Tensor, tolerance: number) {
  expect(actual.shape).toEqual(expected.shape);
  const difference = actual.sub(expected).abs().max().dataSync()[0] ?? Number.NaN;
  expect(difference).toBeLessThan(tolerance);
}

/** Value and all gradients of `f` against those of `g`, for a random cotangent. */
function expectSame(f: (...x: tf.Tensor[]) => tf.Tensor, g: (...x: tf.Tensor[]) => tf.Tensor, x: tf.Tensor[]) {
  const y = g(...x);
  expectClose(f(...x), y, 2e-5);
  const dy = normal(y.shape);
  const expected = tf.grads(g)(x, dy);
  for (const [i, gradient] of tf.grads(f)(x, dy).entries()) expectClose(gradient, expected[i]!, 1e-4);
}

const available = (await backendReport()).filter((report) => report.available).map(({ name }) => name);

describe.each(available)('composed operations on %s', (backend) => {
  beforeAll(async () => {
    await useBackend(backend);
  });

  it.each([
    [2, 4, 4, 8, 4, 0],
    [1, 3, 5, 6, 3, 2],
    [3, 1, 1, 12, 1, 0],
    [2, 2, 2, 4, 4, 20],
  ])('groupNorm of %i x %i x %i x %i in %i groups, mean %i', (b, h, w, c, groups, mean) => {
    tf.tidy(() => {
      const op = (norm: typeof naiveGroupNorm) => (x: tf.Tensor, s: tf.Tensor, o: tf.Tensor) =>
        norm(x as tf.Tensor4D, s as tf.Tensor1D, o as tf.Tensor1D, groups, 1e-5);
      const fused: typeof naiveGroupNorm = (x, s, o, groups, epsilon) => groupNorm(x, s, o, { groups, epsilon });
      expectSame(op(fused), op(naiveGroupNorm), [normal([b, h, w, c], mean), normal([c], 1), normal([c])]);
    });
  });

  it.each([[[3, 8]], [[2, 5, 16]], [[7]]])('layerNorm of %j', (shape) => {
    tf.tidy(() => {
      const c = shape[shape.length - 1]!;
      const op = (norm: typeof naiveLayerNorm) => (x: tf.Tensor, s: tf.Tensor, o: tf.Tensor) =>
        norm(x, s as tf.Tensor1D, o as tf.Tensor1D, 1e-5);
      expectSame(op(layerNorm), op(naiveLayerNorm), [normal(shape), normal([c], 1), normal([c])]);
    });
  });

  it('silu', () => {
    tf.tidy(() => {
      expectSame(silu, (x) => x.mul(x.sigmoid()), [normal([3, 4, 5], 1)]);
      // torch.nn.functional.silu(torch.tensor([-30., -1., 0., 2.]))
      expectClose(silu(tf.tensor1d([-30, -1, 0, 2])), tf.tensor1d([-2.8073e-12, -0.26894143, 0, 1.7615942]), 1e-6);
    });
  });

  it('has the gradient of finite differences', () => {
    tf.tidy(() => {
      const [x, s, o] = [normal([1, 2, 2, 4]) as tf.Tensor4D, normal([4]) as tf.Tensor1D, normal([4]) as tf.Tensor1D];
      const cotangent = normal([1, 2, 2, 4]);
      const loss = (t: tf.Tensor) =>
        silu(groupNorm(t as tf.Tensor4D, s, o, { groups: 2, epsilon: 1e-5 }))
          .mul(cotangent)
          .add(layerNorm(t, s, o, 1e-5).mul(cotangent))
          .sum();
      const gradient = tf.grad(loss)(x).dataSync();
      const values = x.dataSync();
      const step = 1e-2;
      for (let i = 0; i < x.size; i++) {
        const moved = (by: number) => {
          const copy = Float32Array.from(values);
          copy[i]! += by;
          return loss(tf.tensor(copy, x.shape)).dataSync()[0]!;
        };
        const expected = (moved(step) - moved(-step)) / (2 * step);
        expect(Math.abs(gradient[i]! - expected)).toBeLessThan(0.01 + 0.02 * Math.abs(expected));
      }
    });
  });

  it('frees what it makes', () => {
    const x = normal([2, 4, 4, 8]) as tf.Tensor4D;
    const scale = tf.variable(tf.ones([8])) as tf.Variable<tf.Rank.R1>;
    const offset = tf.variable(tf.zeros([8])) as tf.Variable<tf.Rank.R1>;
    const count = () => {
      const loss = () =>
        layerNorm(silu(groupNorm(x, scale, offset, { groups: 2, epsilon: 1e-5 })), scale, offset, 1e-5)
          .square()
          .sum();
      const { value, grads } = tf.variableGrads(loss as () => tf.Scalar);
      tf.dispose([value, grads]);
      groupNorm(x, scale, offset, { groups: 2, epsilon: 1e-5 }).dispose();
      layerNorm(x, scale, offset, 1e-5).dispose();
      silu(x).dispose();
      return tf.memory().numTensors;
    };
    const before = count();
    expect(count()).toBe(before);
    tf.dispose([x, scale, offset]);
  });

  it('names a shape that does not fit', () => {
    tf.tidy(() => {
      const x = tf.zeros<tf.Rank.R4>([1, 2, 2, 6]);
      expect(() => groupNorm(x, tf.ones([6]), tf.ones([6]), { groups: 4, epsilon: 1e-5 })).toThrow(
        '6 channels cannot be split into 4 groups',
      );
      expect(() => groupNorm(x, tf.ones([5]), tf.ones([6]), { groups: 3, epsilon: 1e-5 })).toThrow(
        'gamma has shape [5]',
      );
      expect(() => layerNorm(x, tf.ones([6]), tf.ones([1]), 1e-5)).toThrow('beta has shape [1]');
    });
  });
});

afterAll(() => tf.disposeVariables());
