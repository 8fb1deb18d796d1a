// Each operation of backend/fused, on each backend that is available, against its definition in TensorFlow.js's own
// operations: value and all gradients. A backend has kernels for these operations, or composes them.
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Activation,
  adamWStep,
  addToPixels,
  attention,
  backendReport,
  batchNorm,
  convolution,
  euclideanNorm,
  flatten,
  gatedGelu,
  groupNorm,
  layerNorm,
  linear,
  plus,
  type StepMeanRow,
  scaledDistance,
  silu,
  stepMean,
  upsampleNearest2x,
  useBackend,
} from '../../backend/index.js';
import { Random } from '../../core/random.js';

const random = new Random(1);
const normal = (shape: readonly number[], mean = 0): tf.Tensor =>
  tf.tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => mean + random.normal()),
    [...shape],
  );

type Operation = (...x: tf.Tensor[]) => tf.Tensor;

function expectClose(actual: tf.Tensor, expected: tf.Tensor, tolerance: number, what: string) {
  expect(actual.shape, what).toEqual(expected.shape);
  if (expected.size === 0) return;
  const scale = Math.max(1, expected.abs().max().dataSync()[0]!);
  const difference = actual.sub(expected).abs().max().dataSync()[0] ?? Number.NaN;
  expect(difference / scale, what).toBeLessThan(tolerance);
}

/** Value and all gradients of `actual` against those of `expected`, for a random gradient of the value. */
function expectSame(actual: Operation, expected: Operation, inputs: tf.Tensor[], tolerance = 2e-5) {
  tf.tidy(() => {
    const y = expected(...inputs);
    expectClose(actual(...inputs), y, tolerance, 'value');
    const dy = normal(y.shape);
    const gradients = tf.grads(expected)(inputs, dy);
    for (const [i, gradient] of tf.grads(actual)(inputs, dy).entries())
      expectClose(gradient, gradients[i]!, 5 * tolerance, `gradient ${i}`);
  });
}

/** Some gradients of an operation against central differences. */
function expectSlopes(f: Operation, inputs: tf.Tensor[]) {
  tf.tidy(() => {
    const dy = normal(f(...inputs).shape);
    const gradients = tf
      .grads(f)(inputs, dy)
      .map((t) => t.dataSync());
    const step = 1e-2;
    for (const [k, input] of inputs.entries()) {
      const values = input.dataSync();
      for (let i = 0; i < input.size; i += Math.max(1, Math.floor(input.size / 7))) {
        const moved = (by: number) => {
          const copy = Float32Array.from(values);
          copy[i]! += by;
          const changed = inputs.map((t, j) => (j === k ? tf.tensor(copy, input.shape) : t));
          return f(...changed)
            .mul(dy)
            .sum()
            .dataSync()[0]!;
        };
        const expected = (moved(step) - moved(-step)) / (2 * step);
        expect(Math.abs(gradients[k]![i]! - expected), `input ${k}, entry ${i}`).toBeLessThan(
          0.02 + 0.02 * Math.abs(expected),
        );
      }
    }
  });
}

/** All gradients of an operation on an empty batch: zeros of the shapes of the inputs. */
function expectEmpty(f: Operation, inputs: tf.Tensor[], shape: number[]) {
  tf.tidy(() => {
    expect(f(...inputs).shape).toEqual(shape);
    const gradients = tf.grads(f)(inputs, tf.zeros(shape));
    for (const [i, gradient] of gradients.entries())
      expectClose(gradient, tf.zerosLike(inputs[i]!), 1e-9, `gradient ${i}`);
  });
}

/** Runs `f` with its gradients twice, of which the second run must leave no tensor behind. */
function expectBalanced(f: Operation, inputs: tf.Tensor[]) {
  const count = () => {
    f(...inputs).dispose();
    const { value, grads } = tf.valueAndGrads((...x: tf.Tensor[]) =>
      f(...x)
        .square()
        .sum<tf.Scalar>(),
    )(inputs);
    tf.dispose([value, grads]);
    return tf.memory().numTensors;
  };
  const before = count();
  expect(count()).toBe(before);
}

const naive = {
  groupNorm(groups: number, activated: boolean, hasAdded: boolean, modulated: boolean): Operation {
    return (x, gamma, beta, ...rest) => {
      const [b, h, w, c] = x.shape as [number, number, number, number];
      const perPixel = (t: tf.Tensor) => t.reshape([b, 1, 1, c]);
      const sum = hasAdded ? x.add(perPixel(rest[0]!)) : x;
      const grouped = sum.reshape([b, h, w, groups, c / groups]);
      const mean = grouped.mean([1, 2, 4], true);
      const variance = grouped.sub(mean).square().mean([1, 2, 4], true);
      let y = grouped.sub(mean).div(variance.add(1e-5).sqrt()).reshape(x.shape).mul(gamma!).add(beta!);
      if (modulated) y = y.mul(perPixel(rest.at(-2)!).add(1)).add(perPixel(rest.at(-1)!));
      return activated ? y.mul(y.sigmoid()) : y;
    };
  },
  layerNorm: ((x, gamma, beta) => {
    const mean = x.mean(-1, true);
    const variance = x.sub(mean).square().mean(-1, true);
    return x.sub(mean).div(variance.add(1e-5).sqrt()).mul(gamma!).add(beta!);
  }) as Operation,
  attention(batch: number, heads: number, mask?: tf.Tensor): Operation {
    return (q, k, v) => {
      const channels = q.shape.at(-1)!;
      const byHead = (t: tf.Tensor) => t.reshape([batch, -1, heads, channels / heads]).transpose([0, 2, 1, 3]);
      const scores = tf.matMul(byHead(q), byHead(k!), false, true).div(Math.sqrt(channels / heads));
      const weights = tf.softmax(mask ? scores.add(mask) : scores);
      return tf.matMul(weights, byHead(v!)).transpose([0, 2, 1, 3]).reshape(q.shape);
    };
  },
  activations: {
    none: (x) => x,
    silu: (x) => x.mul(x.sigmoid()),
    gelu: (x) => x.mul(x.div(Math.SQRT2).erf().add(1)).div(2),
    quick_gelu: (x) => x.mul(x.mul(1.702).sigmoid()),
  } satisfies Record<Activation, (x: tf.Tensor) => tf.Tensor>,
};

for (const { name: backend, available } of await backendReport())
  describe.skipIf(!available)(`on ${backend}${available ? '' : ' (skipped, since it is not available)'}`, () => {
    beforeAll(async () => {
      await useBackend(backend);
    });

    describe('groupNorm', () => {
      const options = (groups: number, activated: boolean, hasAdded: boolean, modulated: boolean): Operation =>
        ((x: tf.Tensor4D, gamma: tf.Tensor1D, beta: tf.Tensor1D, ...rest: tf.Tensor2D[]) =>
          groupNorm(x, gamma, beta, {
            groups,
            epsilon: 1e-5,
            silu: activated,
            added: hasAdded ? rest[0] : undefined,
            modulation: modulated ? { scale: rest.at(-2)!, shift: rest.at(-1)! } : undefined,
          })) as Operation;

      it.each([
        [2, 4, 4, 8, 4, 0],
        [1, 3, 5, 6, 3, 2],
        [3, 1, 1, 12, 1, 0],
        [2, 2, 2, 4, 4, 20],
        [1, 4, 4, 48, 8, 0],
        [2, 3, 3, 5, 1, 0],
      ])('of %i x %i x %i x %i in %i groups, mean %i', (b, h, w, c, groups, mean) => {
        for (const activated of [false, true])
          for (const hasAdded of [false, true])
            for (const modulated of [false, true]) {
              const inputs = [normal([b, h, w, c], mean), normal([c], 1), normal([c])];
              if (hasAdded) inputs.push(normal([b, c]));
              if (modulated) inputs.push(normal([b, c]), normal([b, c]));
              const flags = [groups, activated, hasAdded, modulated] as const;
              expectSame(options(...flags), naive.groupNorm(...flags), inputs, mean > 10 ? 1e-4 : 2e-5);
            }
      });

      it('of an empty batch; slopes; memory; shapes that do not fit', () => {
        const all = options(2, true, true, true);
        const inputs = (b: number) => [
          normal([b, 2, 2, 4]),
          normal([4]),
          normal([4]),
          ...[1, 2, 3].map(() => normal([b, 4])),
        ];
        expectEmpty(all, inputs(0), [0, 2, 2, 4]);
        expectSlopes(all, inputs(1));
        expectBalanced(all, inputs(2));
        const x = tf.zeros<tf.Rank.R4>([1, 2, 2, 6]);
        const six = tf.ones<tf.Rank.R1>([6]);
        expect(() => groupNorm(x, six, six, { groups: 4, epsilon: 1e-5 })).toThrow(
          '6 channels cannot be split into 4 groups',
        );
        expect(() => groupNorm(x, tf.ones([5]), six, { groups: 3, epsilon: 1e-5 })).toThrow(
          'gamma has shape [5]; it must be [6]',
        );
        expect(() => groupNorm(x, six, six, { groups: 3, epsilon: 1e-5, added: tf.ones([2, 6]) })).toThrow(
          'added has shape [2,6]; it must be [1,6]',
        );
      });
    });

    describe('layerNorm', () => {
      const op = ((x: tf.Tensor, gamma: tf.Tensor1D, beta: tf.Tensor1D) =>
        layerNorm(x, gamma, beta, 1e-5)) as Operation;

      it.each([[[3, 8]], [[2, 5, 16]], [[7]], [[1, 33]], [[2, 2, 3, 20]]])('of %j', (shape) => {
        const c = shape.at(-1)!;
        expectSame(op, naive.layerNorm, [normal(shape), normal([c], 1), normal([c])]);
      });

      it('of no rows; slopes; memory; shapes that do not fit', () => {
        expectEmpty(op, [normal([0, 4]), normal([4]), normal([4])], [0, 4]);
        expectSlopes(op, [normal([2, 6]), normal([6]), normal([6])]);
        expectBalanced(op, [normal([2, 6]), normal([6]), normal([6])]);
        expect(() => layerNorm(tf.zeros([2, 6]), tf.ones([6]), tf.ones([1]), 1e-5)).toThrow('beta has shape [1]');
      });
    });

    describe('attention', () => {
      const op = (batch: number, heads: number, mask?: tf.Tensor): Operation =>
        ((q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) =>
          attention(q, k, v, { batch, heads, mask: mask as tf.Tensor2D })) as Operation;

      it.each([
        [2, 4, 5, 6, 2],
        [1, 1, 1, 3, 1],
        [3, 16, 7, 8, 4],
        [1, 35, 33, 20, 1],
        [2, 64, 64, 32, 4],
      ])('batch %i: %i rows to %i, %i channels, %i heads', (batch, n, m, c, heads) => {
        const inputs = [normal([batch * n, c]), normal([batch, m, c]), normal([batch, m, c])];
        expectSame(op(batch, heads), naive.attention(batch, heads), inputs);
        const hidden = Array.from({ length: n * m }, (_, i) => (i % m > Math.floor(i / m) ? -1e9 : 0.1 * (i % 3)));
        const mask = tf.tensor2d(hidden, [n, m]);
        expectSame(op(batch, heads, mask), naive.attention(batch, heads, mask), inputs);
      });

      it('of an empty batch; slopes; memory; shapes that do not fit', () => {
        const inputs = (b: number) => [normal([b, 2, 3, 4]), normal([b, 5, 4]), normal([b, 5, 4])];
        expectEmpty(op(0, 2), inputs(0), [0, 2, 3, 4]);
        expectSlopes(op(2, 2), inputs(2));
        expectBalanced(op(2, 2, normal([6, 5])), inputs(2));
        const [q, k, v] = inputs(2) as [tf.Tensor, tf.Tensor, tf.Tensor];
        expect(() => attention(q, k, v, { batch: 2, heads: 3 })).toThrow('4 channels cannot be split into 3 heads');
        expect(() => attention(q, k, v, { batch: 3, heads: 2 })).toThrow('k has shape [2,5,4]');
        expect(() => attention(q, k, v.slice([0], [1]), { batch: 1, heads: 2 })).toThrow('k has 10 rows and v 5');
        expect(() => attention(q, k, v, { batch: 2, heads: 2, mask: tf.zeros([5, 6]) })).toThrow(
          'mask has shape [5,6]',
        );
      });
    });

    describe('linear', () => {
      type Parts = { activation: Activation; bias: boolean; residual: boolean };
      const op = ({ activation, bias, residual }: Parts): Operation =>
        ((x: tf.Tensor, weight: tf.Tensor2D, ...rest: tf.Tensor[]) =>
          linear(x, weight, {
            bias: bias ? (rest[0] as tf.Tensor1D) : undefined,
            activation,
            residual: residual ? rest.at(-1) : undefined,
          })) as Operation;
      const definition =
        ({ activation, bias, residual }: Parts): Operation =>
        (x, weight, ...rest) => {
          const [inputs, outputs] = weight!.shape.slice(-2) as [number, number];
          const product = tf.matMul(x.reshape([-1, inputs]), weight!.reshape([inputs, outputs]));
          const y = naive.activations[activation](bias ? product.add(rest[0]!) : product);
          const shaped = y.reshape([...x.shape.slice(0, -1), outputs]);
          return residual ? shaped.add(rest.at(-1)!) : shaped;
        };
      const inputsOf = (x: number[], weight: number[], { bias, residual }: Parts) => {
        const out = weight.at(-1)!;
        const inputs = [normal(x), normal(weight)];
        if (bias) inputs.push(normal([out]));
        if (residual) inputs.push(normal([...x.slice(0, -1), out]));
        return inputs;
      };

      it.each([
        [
          [3, 4],
          [4, 5],
        ],
        [
          [1, 1],
          [1, 1],
        ],
        [
          [2, 3, 3, 8],
          [1, 1, 8, 16],
        ],
        [
          [300, 9],
          [9, 33],
        ],
        [
          [2, 7, 64],
          [64, 70],
        ],
      ])('%j by %j', (x, weight) => {
        for (const activation of ['none', 'silu', 'gelu', 'quick_gelu'] as const)
          for (const bias of [false, true])
            for (const residual of [false, true]) {
              const parts = { activation, bias, residual };
              expectSame(op(parts), definition(parts), inputsOf(x, weight, parts));
            }
      });

      it('of no rows; slopes; memory; shapes that do not fit', () => {
        for (const activation of ['silu', 'gelu', 'quick_gelu'] as const) {
          const parts = { activation, bias: true, residual: true };
          expectEmpty(op(parts), inputsOf([0, 3], [3, 4], parts), [0, 4]);
          expectSlopes(op(parts), inputsOf([2, 3], [3, 4], parts));
          expectBalanced(op(parts), inputsOf([2, 3], [3, 4], parts));
        }
        const x = tf.zeros([2, 3]);
        expect(() => linear(x, tf.zeros([4, 3]))).toThrow('x has shape [2,3], which the weight [4,3] does not fit');
        expect(() => linear(x, tf.zeros([2, 2, 3, 4]))).toThrow('does not fit');
        expect(() => linear(x, tf.zeros([3, 4]), { bias: tf.zeros([3]) })).toThrow(
          'bias has shape [3]; it must be [4]',
        );
        expect(() => linear(x, tf.zeros([3, 4]), { residual: tf.zeros([4]) })).toThrow('residual has shape [4]');
      });

      it('silu has the values of torch.nn.functional.silu', () => {
        tf.tidy(() => {
          const x = tf.tensor2d([-30, -1, 0, 2], [4, 1]);
          const expected = tf.tensor2d([-2.8073e-12, -0.26894143, 0, 1.7615942], [4, 1]);
          expectClose(linear(x, tf.ones([1, 1]), { activation: 'silu' }), expected, 1e-6, 'linear');
          expectClose(silu(x), expected, 1e-6, 'silu');
        });
      });
    });

    describe('gatedGelu', () => {
      const definition: Operation = (x) => {
        const [hidden, gate] = tf.split(x, 2, -1) as [tf.Tensor, tf.Tensor];
        return hidden.mul(naive.activations.gelu(gate));
      };

      it.each([[[3, 2]], [[1, 34]], [[2, 3, 3, 16]]])('of %j', (shape) => {
        expectSame(gatedGelu as Operation, definition, [normal(shape)]);
      });

      it('of no rows; slopes; memory; a shape that does not fit', () => {
        expectEmpty(gatedGelu as Operation, [normal([0, 6])], [0, 3]);
        expectSlopes(gatedGelu as Operation, [normal([3, 6])]);
        expectBalanced(gatedGelu as Operation, [normal([3, 6])]);
        expect(() => gatedGelu(tf.zeros([2, 3]))).toThrow('3 channels cannot be halved');
      });
    });

    describe('convolution', () => {
      const op = (strides: 1 | 2, pad: 'same' | 'valid'): Operation =>
        ((x: tf.Tensor4D, filter: tf.Tensor4D, bias: tf.Tensor1D, residual?: tf.Tensor4D) =>
          convolution(x, filter, bias, { strides, pad, residual })) as Operation;
      const definition =
        (strides: 1 | 2, pad: 'same' | 'valid'): Operation =>
        (x, filter, bias, residual) => {
          const y = tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, strides, pad).add(bias!);
          return residual ? y.add(residual) : y;
        };

      it.each([
        [1, 8, 8, 3, 4, 3],
        [3, 5, 7, 2, 5, 3],
        [2, 4, 4, 8, 3, 1],
        [1, 3, 3, 1, 1, 3],
      ])('of %i x %i x %i x %i to %i channels, filter %i', (b, h, w, inChannels, outChannels, k) => {
        for (const strides of [1, 2] as const)
          for (const pad of ['same', 'valid'] as const) {
            const inputs = [
              normal([b, h, w, inChannels]),
              normal([k, k, inChannels, outChannels]),
              normal([outChannels]),
            ];
            const { shape } = definition(strides, pad)(...inputs);
            expectSame(op(strides, pad), definition(strides, pad), inputs);
            expectSame(op(strides, pad), definition(strides, pad), [...inputs, normal(shape)]);
          }
      });

      it('of an empty batch; slopes; memory; shapes that do not fit', () => {
        const inputs = (b: number) => [normal([b, 4, 3, 2]), normal([3, 3, 2, 2]), normal([2]), normal([b, 4, 3, 2])];
        expectEmpty(op(1, 'same'), inputs(0), [0, 4, 3, 2]);
        expectSlopes(op(1, 'same'), inputs(2));
        expectBalanced(op(1, 'same'), inputs(2));
        const [x, filter] = inputs(1) as [tf.Tensor4D, tf.Tensor4D];
        expect(() => convolution(x, filter, tf.zeros([3]))).toThrow('bias has shape [3]; it must be [2]');
        expect(() => convolution(x, filter, tf.zeros([2]), { residual: tf.zeros([1, 4, 4, 2]) })).toThrow(
          'residual has shape [1,4,4,2]; it must be [1,4,3,2]',
        );
      });
    });

    describe('upsampleNearest2x', () => {
      const definition: Operation = (x) =>
        tf.image.resizeNearestNeighbor(x as tf.Tensor4D, [2 * x.shape[1]!, 2 * x.shape[2]!]);

      it.each([[[2, 3, 2, 4]], [[1, 1, 1, 1]], [[3, 5, 4, 17]]])('of %j', (shape) => {
        expectSame(upsampleNearest2x as Operation, definition, [normal(shape)]);
      });

      it('of an empty batch; slopes; memory', () => {
        expectEmpty(upsampleNearest2x as Operation, [normal([0, 2, 3, 4])], [0, 4, 6, 4]);
        expectSlopes(upsampleNearest2x as Operation, [normal([1, 2, 3, 2])]);
        expectBalanced(upsampleNearest2x as Operation, [normal([1, 2, 3, 2])]);
      });
    });

    it('silu, plus, addToPixels', () => {
      expectSame(silu as Operation, naive.activations.silu as Operation, [normal([3, 4, 5], 1)]);
      expectSame(plus as Operation, (a, b) => a.add(b!), [normal([3, 4]), normal([3, 4])]);
      expectSame(addToPixels as unknown as Operation, (x, row) => x.add(row!.reshape([2, 1, 1, 5])), [
        normal([2, 3, 4, 5]),
        normal([2, 5]),
      ]);
      expectBalanced(silu as Operation, [normal([3, 4])]);
      expectBalanced(plus as Operation, [normal([3, 4]), normal([3, 4])]);
    });

    it('frees what a gradient was computed from as soon as it is computed', async () => {
      const x = normal([1000]);
      const chain = (t: tf.Tensor) => Array.from({ length: 8 }).reduce<tf.Tensor>((y) => silu(y), t);
      const before = tf.memory().numBytes;
      const { peakBytes } = await tf.profile(() => tf.grad(chain)(x));
      // Each silu keeps two tensors of this size. If all were kept to the end, there would be 50 at a time.
      expect((peakBytes - before) / (4 * x.size)).toBeLessThan(40);
    });

    it('flatten, of any number of tensors of any shape', () => {
      tf.tidy(() => {
        const tensors = [[2, 3], [1], [4, 1, 2], []].map((shape) => normal(shape));
        const expected = tensors.flatMap((t) => Array.from(t.dataSync()));
        expect(Array.from(flatten(tensors).dataSync())).toEqual(expected);
        expect(Array.from(flatten([tensors[0]!]).dataSync())).toEqual(expected.slice(0, 6));
      });
    });

    describe('batchNorm', () => {
      const epsilon = 0.1;
      const plain: Operation = (x, gamma, beta) => {
        const axes = x!.shape.map((_, axis) => axis).slice(0, -1);
        const mean = x!.mean(axes);
        const variance = x!.sub(mean).square().mean(axes);
        return x!.sub(mean).div(variance.add(epsilon).sqrt()).mul(gamma!).add(beta!);
      };
      const actual: Operation = (x, gamma, beta) =>
        tf.tidy(() => batchNorm(x!, gamma as tf.Tensor1D, beta as tf.Tensor1D, epsilon).value);

      it.each([[[3, 5, 7, 3]], [[2, 1]], [[150, 9]], [[4, 8, 8, 32]], [[2, 1, 1, 17]]])('of %j', (shape) => {
        const inputs = [normal(shape, 2), normal([shape.at(-1)!]), normal([shape.at(-1)!])];
        expectSame(actual, plain, inputs, 5e-5);
        expectBalanced(actual, inputs);
        const rectified: Operation = (x, gamma, beta) =>
          tf.tidy(() => batchNorm(x!, gamma as tf.Tensor1D, beta as tf.Tensor1D, epsilon, true).value);
        expectSame(rectified, (...inputs) => plain(...inputs).relu(), inputs, 5e-5);
        expectBalanced(rectified, inputs);
        if (shape.length === 4 && shape[0] === 2) expectSlopes(actual, inputs);
        tf.dispose(inputs);
      });

      it('gives the statistics of the batch, which stay when the gradient is taken', () => {
        tf.tidy(() => {
          const x = tf.tensor2d([1, 2, 3, -1, 0.5, 4], [3, 2]);
          let given: tf.Tensor[] = [];
          tf.grad((x: tf.Tensor) => {
            const { value, mean, variance } = batchNorm(x, tf.ones([2]), tf.zeros([2]), epsilon);
            given = [mean, variance].map((t) => tf.keep(t.clone()));
            return value.square().sum();
          })(x);
          const expected = [x.mean(0), x.sub(x.mean(0)).square().mean(0)];
          given.forEach((t, i) => {
            expectClose(t, expected[i]!, 1e-6, 'statistics');
          });
          tf.dispose(given);
        });
      });

      it('of NaN is NaN, in its channel', () => {
        tf.tidy(() => {
          const x = tf.tensor2d([Number.NaN, 1, 2, 3], [2, 2]);
          const y = batchNorm(x, tf.ones([2]), tf.zeros([2]), epsilon).value.dataSync();
          expect([...y].map(Number.isNaN)).toEqual([true, false, true, false]);
        });
      });
    });

    describe('the mean of a step', () => {
      const rows: StepMeanRow[] = [
        { sample: 0.9, output: -0.3 },
        { sample: 0, output: 1.1, clipped: { sample: 3, output: -2, weight: 0.5 } },
        { sample: 0, output: 0, clipped: { sample: 0, output: 1, weight: -1 } },
        { sample: -0.2, output: 0, clipped: { sample: 1, output: 0, weight: 0 } },
      ];
      const range = 0.8;
      /** Each row by itself, in the plainest way. */
      const plain = (rows: readonly StepMeanRow[]) => (x: tf.Tensor, out: tf.Tensor) =>
        tf.concat(
          rows.map(({ sample, output, clipped = { sample: 0, output: 0, weight: 0 } }, i) => {
            const [u, v] = [x.slice(i, 1), out.slice(i, 1)];
            const original = tf.clipByValue(u.mul(clipped.sample).add(v.mul(clipped.output)), -range, range);
            return u.mul(sample).add(v.mul(output)).add(original.mul(clipped.weight));
          }),
        );
      const sizes = [
        [4, 4, 3],
        [5, 1, 1],
        [16, 16, 3],
        [1, 1, 1],
      ] as const;

      it.each(sizes)('of %i x %i x %i', (...size) => {
        for (const some of [rows, rows.slice(0, 1), rows.slice(1, 2), rows.slice(1, 3), rows.slice(2, 4)]) {
          const [x, out] = [normal([some.length, ...size]), normal([some.length, ...size])];
          const actual: Operation = (x, out) => stepMean(x!, out!, some, range);
          expectSame(actual, plain(some) as Operation, [x, out]);
          expectBalanced(actual, [x, out]);
          tf.dispose([x, out]);
        }
      });

      it('has the slopes of finite differences, where nothing is clipped', () => {
        const gentle = rows.slice(0, 2);
        const [x, out] = [normal([2, 3, 3, 1]), normal([2, 3, 3, 1])];
        expectSlopes((x, out) => stepMean(x!, out!, gentle, 100), [x, out]);
        tf.dispose([x, out]);
      });

      it('takes an empty batch, keeps NaN, and refuses shapes that differ', () => {
        const x = tf.ones([2, 1, 1, 3]);
        expectEmpty((x, out) => stepMean(x!, out!, []), [tf.zeros([0, 2, 2, 3]), tf.zeros([0, 2, 2, 3])], [0, 2, 2, 3]);
        tf.tidy(() => {
          const y = stepMean(x, tf.fill([2, 1, 1, 3], Number.NaN), rows.slice(0, 2));
          expect(Array.from(y.dataSync())).toEqual(Array(6).fill(Number.NaN));
        });
        expect(() => stepMean(x, x, rows)).toThrow('x has shape [2,1,1,3], out [2,1,1,3], and there are 4 rows');
        expect(() => stepMean(x, tf.ones([2, 3]), rows.slice(0, 2))).toThrow('out [2,3]');
      });
    });

    describe('the distance of a sample from the mean of its step', () => {
      const of = (value: tf.Tensor, scale: Float32Array, offset: Float32Array) => ({
        actual: ((mean) => scaledDistance(value, mean!, scale, offset)) as Operation,
        plain: ((mean) =>
          value
            .sub(mean!)
            .square()
            .mean(mean!.shape.map((_, axis) => axis).slice(1))
            .mul(scale)
            .add(offset)) as Operation,
      });

      it.each([[[1, 1, 1, 1]], [[3, 5, 7, 3]], [[2, 40, 40, 3]], [[4, 6]]])('of %j', (shape) => {
        const [value, mean] = [normal(shape), normal(shape)];
        const scale = Float32Array.from({ length: shape[0]! }, (_, i) => -0.5 - i);
        const offset = Float32Array.from({ length: shape[0]! }, (_, i) => 2 - i);
        const { actual, plain } = of(value, scale, offset);
        expectSame(actual, plain, [mean], 5e-6);
        expectBalanced(actual, [mean]);
        if (mean.size < 20) expectSlopes(actual, [mean]);
        tf.dispose([value, mean]);
      });

      it('is exact to a digit in large samples, takes an empty batch, and refuses shapes that differ', () => {
        const [value, mean] = [normal([1, 128, 128, 4]), normal([1, 128, 128, 4])];
        const [v, m] = [Array.from(value.dataSync()), mean.dataSync()];
        const exact = v.reduce((sum, x, i) => sum + (x - m[i]!) ** 2, 0) / v.length;
        const { actual } = of(value, Float32Array.of(1), Float32Array.of(0));
        const distance = actual(mean);
        expect(distance.dataSync()[0]! / exact).toBeCloseTo(1, 5);
        tf.dispose([value, mean, distance]);
        const none = new Float32Array(0);
        const empty = tf.zeros([0, 2, 2, 3]);
        expectEmpty(of(empty, none, none).actual, [empty], [0]);
        expect(() => scaledDistance(empty, tf.zeros([0, 2]), none, none)).toThrow(
          'value has shape [0,2,2,3], mean [0,2]',
        );
      });
    });

    it('euclideanNorm', () => {
      tf.tidy(() => {
        expect(euclideanNorm(tf.tensor1d([3, -4, 12])).dataSync()[0]).toBeCloseTo(13, 5);
        expect(euclideanNorm(tf.tensor1d([1, Number.NaN])).dataSync()[0]).toBeNaN();
        expect(euclideanNorm(tf.tensor1d([1, -Number.POSITIVE_INFINITY])).dataSync()[0]).toBe(Number.POSITIVE_INFINITY);
      });
      const x = normal([5]) as tf.Tensor1D;
      const before = tf.memory().numTensors;
      euclideanNorm(x).dispose();
      expect(tf.memory().numTensors).toBe(before);
    });

    it('steps of AdamW, with decay and clipping', () => {
      const weights = [[3, 4], [5], [1, 1, 2, 17]].map((shape) => normal(shape));
      const count = 12 + 5 + 34;
      const attrs = {
        learningRate: 0.03,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-6,
        weightDecay: 0.1,
        gradientScale: 0.7,
      };
      const expected = { m: new Float64Array(count), v: new Float64Array(count), w: [] as number[] };
      expected.w = weights.flatMap((t) => Array.from(t.dataSync()));
      let state = {
        m: tf.zeros<tf.Rank.R1>([count]),
        v: tf.zeros<tf.Rank.R1>([count]),
        weights: weights as readonly tf.Tensor[],
      };
      const before = tf.memory().numTensors;
      for (let step = 1; step <= 3; step++) {
        const gradient = normal([count]) as tf.Tensor1D;
        const next = adamWStep(gradient, state, { ...attrs, step });
        for (const [i, value] of gradient.dataSync().entries()) {
          const g = 0.7 * value;
          expected.m[i] = 0.9 * expected.m[i]! + 0.1 * g;
          expected.v[i] = 0.99 * expected.v[i]! + 0.01 * g * g;
          const mean = expected.m[i]! / (1 - 0.9 ** step);
          const deviation = Math.sqrt(expected.v[i]! / (1 - 0.99 ** step));
          expected.w[i] = expected.w[i]! * (1 - 0.03 * 0.1) - (0.03 * mean) / (deviation + 1e-6);
        }
        tf.dispose([gradient, state.m, state.v, ...state.weights]);
        state = next as typeof state;
        expect(tf.memory().numTensors).toBe(before);
      }
      expect(state.weights.map((t) => t.shape)).toEqual([[3, 4], [5], [1, 1, 2, 17]]);
      const actual = state.weights.flatMap((t) => Array.from(t.dataSync()));
      for (const [i, w] of expected.w.entries()) expect(actual[i]).toBeCloseTo(w, 4);
      for (const [i, m] of expected.m.entries()) expect(state.m.dataSync()[i]).toBeCloseTo(m, 5);
      tf.dispose([state.m, state.v, ...state.weights]);
    });
  });

afterAll(() => tf.disposeVariables());
