// The kernels of backend/fused on wasm against the composed forms, which the cpu backend computes.
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import {
  adamWStep,
  attention,
  type BackendName,
  convolution,
  flatten,
  gatedGelu,
  groupNorm,
  layerNorm,
  linear,
  upsampleNearest2x,
  useBackend,
} from '../../backend/index.js';
import { Random } from '../../core/random.js';

type Op = (...inputs: tf.Tensor[]) => tf.Tensor;

const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
const normal = (random: Random, shape: number[], mean = 0, scale = 1) =>
  tf.tensor(
    Float32Array.from({ length: sizeOf(shape) }, () => mean + scale * random.normal()),
    shape,
  );

/** What `compute` gives on a backend. It must leave no tensor and no memory behind. */
async function on(backend: BackendName, compute: (random: Random) => tf.Tensor[]) {
  await useBackend(backend);
  const before = tf.memory();
  const results = tf.tidy(() => compute(new Random(5)));
  const values = results.map((t) => ({ shape: t.shape, data: t.dataSync() }));
  tf.dispose(results);
  expect(tf.memory().numTensors).toBe(before.numTensors);
  expect(tf.memory().numDataBuffers).toBe(before.numDataBuffers);
  return values;
}

async function expectSame(compute: (random: Random) => tf.Tensor[], tolerance: number) {
  const [wasm, cpu] = [await on('wasm', compute), await on('cpu', compute)];
  expect(wasm.map(({ shape }) => shape)).toEqual(cpu.map(({ shape }) => shape));
  for (const [i, { data }] of cpu.entries()) {
    const scale = Math.max(1, ...Array.from(data, Math.abs));
    for (const [j, value] of data.entries())
      expect(Math.abs(wasm[i]!.data[j]! - value) / scale, `output ${i}, entry ${j}`).toBeLessThan(tolerance);
  }
}

/** Value and gradients of an operation on normal inputs, around 0 and of deviation 1. */
async function expectSameGradients(op: Op, shapes: number[][], tolerance = 2e-5) {
  await expectSame((random) => {
    const inputs = shapes.map((shape) => normal(random, shape));
    const y = op(...inputs);
    return [y, ...tf.grads(op)(inputs, normal(random, y.shape))];
  }, tolerance);
}

/** The gradients of an operation on wasm against differences of its values. */
async function expectDifferences(op: Op, shapes: number[][]) {
  await useBackend('wasm');
  tf.tidy(() => {
    const random = new Random(6);
    const inputs = shapes.map((shape) => normal(random, shape));
    const weights = normal(random, op(...inputs).shape);
    const gradients = tf.grads(op)(inputs, weights);
    const loss = (values: tf.Tensor[]) =>
      op(...values)
        .mul(weights)
        .sum()
        .dataSync()[0]!;
    const step = 1e-2;
    for (const [i, input] of inputs.entries()) {
      const gradient = gradients[i]!.dataSync();
      for (let j = 0; j < input.size; j++) {
        const moved = (by: number) => {
          const values = input.dataSync().slice();
          values[j]! += by;
          return loss(inputs.map((other) => (other === input ? tf.tensor(values, input.shape) : other)));
        };
        const expected = (moved(step) - moved(-step)) / (2 * step);
        expect(Math.abs(gradient[j]! - expected), `input ${i}, entry ${j}`).toBeLessThan(
          0.01 + 0.02 * Math.abs(expected),
        );
      }
    }
  });
}

const as4D = (t: tf.Tensor | undefined) => t as tf.Tensor4D;
const as2D = (t: tf.Tensor | undefined) => t as tf.Tensor2D;
const as1D = (t: tf.Tensor | undefined) => t as tf.Tensor1D;

describe('group norm', () => {
  const variants = { plain: 0, silu: 0, added: 1, modulation: 2 };
  const op =
    (variant: keyof typeof variants, groups: number): Op =>
    (x, gamma, beta, first, second) =>
      groupNorm(as4D(x), as1D(gamma), as1D(beta), {
        groups,
        epsilon: 1e-5,
        silu: variant !== 'plain',
        ...(variant === 'added' ? { added: as2D(first) } : {}),
        ...(variant === 'modulation' ? { modulation: { scale: as2D(first), shift: as2D(second) } } : {}),
      });
  const shapesOf = (variant: keyof typeof variants, x: number[]) => [
    x,
    [x[3]!],
    [x[3]!],
    ...Array.from({ length: variants[variant] }, () => [x[0]!, x[3]!]),
  ];
  const cases = (Object.keys(variants) as (keyof typeof variants)[]).flatMap((variant) =>
    [
      { x: [2, 4, 4, 16], groups: 8 },
      { x: [1, 3, 5, 6], groups: 3 },
      { x: [3, 1, 1, 7], groups: 1 },
      { x: [2, 2, 3, 37], groups: 37 },
      { x: [0, 2, 2, 4], groups: 2 },
    ].map((sizes) => ({ variant, ...sizes })),
  );
  it.each(cases)('$variant of $x in $groups groups', ({ variant, x, groups }) =>
    // A group of few values may have a small deviation, by which errors are divided.
    expectSameGradients(op(variant, groups), shapesOf(variant, x), 1e-4));

  it.each(['plain', 'silu', 'added', 'modulation'] as const)('%s has the gradient of differences', (variant) =>
    expectDifferences(op(variant, 2), shapesOf(variant, [2, 2, 2, 6])));

  it('keeps its digits where the mean is large', () =>
    expectSame((random) => [op('silu', 2)(normal(random, [2, 4, 4, 8], 1000), tf.ones([8]), tf.zeros([8]))], 1e-4));
});

describe('layer norm', () => {
  const op: Op = (x, gamma, beta) => layerNorm(x!, as1D(gamma), as1D(beta), 1e-5);
  it.each([[[3, 8]], [[2, 5, 17]], [[7]], [[4, 3]], [[0, 8]]])('of %j', (shape) =>
    expectSameGradients(op, [shape, [shape.at(-1)!], [shape.at(-1)!]], 1e-4));
  it('has the gradient of differences', () => expectDifferences(op, [[3, 5], [5], [5]]));
  it('keeps its digits where the mean is large', () =>
    expectSame((random) => [op(normal(random, [3, 7], 1000), tf.ones([7]), tf.zeros([7]))], 1e-4));
});

describe('attention', () => {
  const cases = [
    { batch: 2, n: 16, m: 16, channels: 32, heads: 4 },
    { batch: 3, n: 5, m: 7, channels: 6, heads: 2 },
    { batch: 1, n: 1, m: 3, channels: 9, heads: 1 },
    { batch: 1, n: 3, m: 1, channels: 4, heads: 4 },
    { batch: 1, n: 70, m: 33, channels: 20, heads: 2 },
    { batch: 0, n: 3, m: 2, channels: 4, heads: 2 },
  ];
  it.each(cases)('$batch x $n to $m, $channels channels, $heads heads', ({ batch, n, m, channels, heads }) =>
    expectSameGradients(
      (q, k, v) => attention(q!, k!, v!, { batch, heads }),
      [
        [batch, n, channels],
        [batch * m, channels],
        [batch, m, 1, channels],
      ],
    ));

  it('hides what a mask hides, wholly', async () => {
    const mask = (n: number) =>
      tf.tensor2d(
        Array.from({ length: n * n }, (_, i) => (i % n > Math.floor(i / n) ? -1e9 : 0)),
        [n, n],
      );
    await expectSameGradients(
      (q, k, v) => attention(q!, k!, v!, { batch: 2, heads: 2, mask: mask(5) }),
      [
        [10, 8],
        [10, 8],
        [10, 8],
      ],
    );
    await useBackend('wasm');
    tf.tidy(() => {
      const v = tf.tensor2d([1, 2, 3, 4, 1e30, 1e30], [3, 2]);
      const y = attention(tf.zeros([3, 2]), tf.zeros([3, 2]), v, { batch: 1, heads: 1, mask: mask(3) });
      expect(Array.from(y.slice([0, 0], [2, 2]).dataSync())).toEqual([1, 2, 2, 3]);
    });
  });

  it('stays finite where scores are large', () =>
    expectSame((random) => {
      const [q, k, v] = [normal(random, [4, 8], 0, 100), normal(random, [6, 8], 0, 100), normal(random, [6, 8])];
      return [attention(q, k, v, { batch: 2, heads: 2 })];
    }, 1e-3));

  it('has the gradient of differences', () =>
    expectDifferences(
      (q, k, v) => attention(q!, k!, v!, { batch: 2, heads: 2 }),
      [
        [6, 6],
        [4, 6],
        [4, 6],
      ],
    ));
});

describe('linear layers', () => {
  const activations = ['none', 'silu', 'gelu', 'quick_gelu'] as const;
  const op =
    (activation: (typeof activations)[number], bias: boolean, residual: boolean): Op =>
    (x, weight, ...rest) =>
      linear(x!, weight as tf.Tensor2D, {
        activation,
        ...(bias ? { bias: as1D(rest[0]) } : {}),
        ...(residual ? { residual: rest.at(-1)! } : {}),
      });
  const flags = [false, true];
  const cases = activations.flatMap((activation) =>
    flags.flatMap((bias) => flags.map((residual) => ({ activation, bias, residual }))),
  );
  it.each(cases)('activation $activation, bias $bias, residual $residual', async ({ activation, bias, residual }) => {
    for (const { x, out } of [
      { x: [6, 8], out: 16 },
      { x: [1, 3], out: 1 },
      { x: [2, 3, 5], out: 11 },
      { x: [1, 300], out: 4 },
      { x: [0, 4], out: 3 },
    ]) {
      const shapes = [x, [x.at(-1)!, out]];
      if (bias) shapes.push([out]);
      if (residual) shapes.push([...x.slice(0, -1), out]);
      await expectSameGradients(op(activation, bias, residual), shapes);
    }
  });
  it.each(activations)('%s has the gradient of differences', (activation) =>
    expectDifferences(op(activation, true, true), [[3, 2], [2, 5], [5], [3, 5]]));
});

describe('gated GELU', () => {
  const op: Op = (x) => gatedGelu(x!);
  it.each([[[3, 16]], [[2, 3, 10]], [[1, 2]], [[0, 4]]])('of %j', (shape) => expectSameGradients(op, [shape]));
  it('has the gradient of differences', () => expectDifferences(op, [[2, 10]]));
  it('of large gates', () => expectSame(() => [gatedGelu(tf.tensor2d([1, 1, 1, 1, -30, -6, 6, 30], [1, 8]))], 1e-6));
});

describe('convolutions', () => {
  const op =
    (strides: 1 | 2, pad: 'same' | 'valid'): Op =>
    (x, filter, bias, residual) =>
      convolution(as4D(x), as4D(filter), as1D(bias), {
        strides,
        pad,
        ...(residual ? { residual: as4D(residual) } : {}),
      });
  const cases = [1, 2, 3].flatMap((kernel) =>
    ([1, 2] as const).flatMap((strides) => (['same', 'valid'] as const).map((pad) => ({ kernel, strides, pad }))),
  );
  it.each(cases)('filter $kernel x $kernel, stride $strides, $pad', async ({ kernel, strides, pad }) => {
    for (const { x, out } of [
      { x: [2, 8, 8, 16], out: 8 },
      { x: [1, 5, 7, 3], out: 5 },
      { x: [3, 4, 3, 6], out: 19 },
      { x: [0, 4, 4, 3], out: 2 },
    ]) {
      const { outShape } = tf.backend_util.computeConv2DInfo(
        x as tf.Tensor4D['shape'],
        [kernel, kernel, x[3]!, out],
        strides,
        1,
        pad,
      );
      const shapes = [x, [kernel, kernel, x[3]!, out], [out]];
      await expectSameGradients(op(strides, pad), shapes);
      await expectSameGradients(op(strides, pad), [...shapes, outShape]);
    }
  });
  it('has the gradient of differences', () =>
    expectDifferences(op(1, 'same'), [[1, 3, 4, 2], [3, 3, 2, 3], [3], [1, 3, 4, 3]]));
});

it('a filter that is larger than the image gives nothing, and has no gradient', async () => {
  const results = await on('wasm', (random) => {
    const op: Op = (x, filter, bias) => convolution(as4D(x), as4D(filter), as1D(bias), { pad: 'valid' });
    const inputs = [[2, 2, 2, 3], [3, 3, 3, 4], [4]].map((shape) => normal(random, shape));
    return [op(...inputs), ...tf.grads(op)(inputs, tf.zeros([2, 0, 0, 4]))];
  });
  expect(results.map(({ shape }) => shape)).toEqual([[2, 0, 0, 4], [2, 2, 2, 3], [3, 3, 3, 4], [4]]);
  for (const { data } of results) expect(Array.from(data).every((value) => value === 0)).toBe(true);
});

it('a product over no terms is zero', async () => {
  const [plain, transposed] = await on('wasm', () => [
    tf.matMul(tf.zeros([2, 0]), tf.zeros([0, 3])),
    tf.matMul(tf.zeros([0, 2]), tf.zeros([0, 3]), true),
  ]);
  for (const result of [plain!, transposed!]) expect(Array.from(result.data)).toEqual([0, 0, 0, 0, 0, 0]);
});

/** The size of the backend's memory in bytes, which only grows. */
const heapSize = () => (tf.backend() as unknown as { wasm: { HEAPU8: Uint8Array } }).wasm.HEAPU8.length;

it('results stay right where the memory grows in the middle of a computation', async () => {
  await useBackend('wasm');
  const before = heapSize();
  tf.tidy(() => {
    const rows = Math.ceil(before / 64);
    const x = tf.ones<tf.Rank.R2>([rows, 16]);
    const op: Op = (x, weight) => linear(x!, weight as tf.Tensor2D, { activation: 'silu', residual: x! });
    const [dx, dweight] = tf.grads(op)([x, tf.zeros([16, 16])], x);
    expect(dx!.sub(1).abs().max().dataSync()[0]).toBe(0);
    // The slope of the SiLU is a half at 0.
    expect(
      dweight!
        .sub(rows / 2)
        .abs()
        .max()
        .dataSync()[0],
    ).toBe(0);
  });
  expect(heapSize()).toBeGreaterThan(before);
});

it('a network that is trained for long takes no more memory', async () => {
  await useBackend('wasm');
  const random = new Random(7);
  const x = normal(random, [2, 6, 6, 8]);
  const [filter, vector, matrix] = [normal(random, [3, 3, 8, 8]), tf.ones<tf.Rank.R1>([8]), normal(random, [8, 8])];
  const op: Op = (x) => {
    const h = groupNorm(convolution(as4D(x), as4D(filter), vector), vector, vector, {
      groups: 2,
      epsilon: 1,
      silu: true,
    });
    const q = linear(layerNorm(h, vector, vector, 1), as2D(matrix), { activation: 'gelu', residual: h });
    return upsampleNearest2x(as4D(attention(q, h, h, { batch: 2, heads: 2 })));
  };
  const dy = normal(random, [2, 12, 12, 8]);
  const update = () => tf.grad(op)(x, dy).dispose();
  for (let i = 0; i < 20; i++) update();
  const [heap, memory] = [heapSize(), tf.memory()];
  for (let i = 0; i < 500; i++) update();
  expect(heapSize()).toBe(heap);
  expect(tf.memory()).toEqual(memory);
  tf.dispose([x, filter, vector, matrix, dy]);
});

it.each([[[2, 4, 4, 8]], [[1, 3, 5, 7]], [[3, 1, 1, 1]], [[0, 2, 2, 4]]])('upsampling of %j', (shape) =>
  expectSameGradients((x) => upsampleNearest2x(as4D(x)), [shape]));

it('tensors one after the other, and a step of AdamW', async () => {
  const shapes = [[3, 5], [1], [2, 2, 2], [7]];
  await expectSame((random) => {
    const weights = shapes.map((shape) => normal(random, shape));
    const flat = flatten(weights);
    const gradient = normal(random, [31]) as tf.Tensor1D;
    const start = { m: normal(random, [31]) as tf.Tensor1D, v: gradient.square(), weights };
    const attrs = { learningRate: 1e-2, beta1: 0.9, beta2: 0.99, epsilon: 1e-6, weightDecay: 0.1 };
    const first = adamWStep(gradient, start, { ...attrs, step: 3, gradientScale: 0.5 });
    const second = adamWStep(gradient, first, { ...attrs, weightDecay: 0, step: 4, gradientScale: 1 });
    return [flat, first.m, first.v, ...first.weights, second.m, second.v, ...second.weights];
  }, 1e-6);
});

it('what is not a number stays so', async () => {
  await useBackend('wasm');
  tf.tidy(() => {
    const x = tf.fill([1, 8], Number.NaN) as tf.Tensor2D;
    const results = [
      gatedGelu(x),
      attention(x, x, x, { batch: 1, heads: 2 }),
      layerNorm(x, tf.ones([8]), tf.zeros([8]), 1e-5),
      groupNorm(x.reshape([1, 1, 1, 8]), tf.ones([8]), tf.zeros([8]), { groups: 2, epsilon: 1e-5, silu: true }),
      linear(x, tf.ones([8, 3]), { activation: 'silu' }),
    ];
    for (const result of results) expect(Array.from(result.dataSync()).every(Number.isNaN)).toBe(true);
  });
});
