// Every kernel that is registered for wasm against the cpu backend's own.
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { type BackendName, useBackend } from '../../backend/index.js';
import { Random } from '../../core/random.js';

type Make = (shape: number[], scale?: number) => tf.Tensor;

/** What `compute` gives on a backend, and how many tensors it leaves behind. */
async function on(backend: BackendName, compute: (make: Make) => tf.Tensor | tf.Tensor[]) {
  await useBackend(backend);
  const random = new Random(3);
  const make: Make = (shape, scale = 1) => {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => scale * random.normal());
    return tf.tensor(values, shape);
  };
  const before = tf.memory();
  const results = [tf.tidy(() => compute(make))].flat();
  const values = await Promise.all(
    results.map(async (t) => ({ shape: t.shape, dtype: t.dtype, data: await t.data() })),
  );
  const kept = results.length;
  const after = tf.memory();
  tf.dispose(results);
  expect(after.numTensors - before.numTensors).toBe(kept);
  expect(tf.memory().numDataBuffers).toBe(before.numDataBuffers);
  return values;
}

async function expectSame(compute: (make: Make) => tf.Tensor | tf.Tensor[], tolerance = 1e-5) {
  const [wasm, cpu] = [await on('wasm', compute), await on('cpu', compute)];
  expect(wasm.map(({ shape, dtype }) => [shape, dtype])).toEqual(cpu.map(({ shape, dtype }) => [shape, dtype]));
  for (const [i, { data }] of cpu.entries()) {
    const scale = Math.max(1, ...Array.from(data, Math.abs));
    for (const [j, value] of data.entries())
      expect(Math.abs(wasm[i]!.data[j]! - value) / scale, `output ${i}, entry ${j}`).toBeLessThan(tolerance);
  }
}

describe('convolution gradients', () => {
  const kernels = [1, 2, 3, 4, 5];
  const sizes: [number, number][] = [
    [8, 8],
    [7, 9],
    [6, 5],
  ];
  const cases = kernels.flatMap((k) =>
    [1, 2, 3].flatMap((stride) =>
      (['same', 'valid'] as const).flatMap((pad) => sizes.map(([h, w]) => ({ k, stride, pad, h, w }))),
    ),
  );
  it.each(cases)('filter $k x $k, stride $stride, $pad, image $h x $w', async ({ k, stride, pad, h, w }) => {
    await expectSame((make) => {
      const x = make([2, h, w, 3]) as tf.Tensor4D;
      const filter = make([k, k, 3, 4]) as tf.Tensor4D;
      const convolve = (a: tf.Tensor, b: tf.Tensor) => tf.conv2d(a as tf.Tensor4D, b as tf.Tensor4D, stride, pad);
      const y = convolve(x, filter);
      return [y, ...tf.grads(convolve)([x, filter], make(y.shape))];
    });
  });

  it.each([
    { strides: [1, 2] as [number, number], pad: 'same' as const },
    { strides: [2, 1] as [number, number], pad: 'valid' as const },
    { strides: [1, 1] as [number, number], pad: 1 },
    { strides: [2, 2] as [number, number], pad: 2 },
  ])('filter 3 x 5, strides $strides, padding $pad', async ({ strides, pad }) => {
    await expectSame((make) => {
      const convolve = (a: tf.Tensor, b: tf.Tensor) => tf.conv2d(a as tf.Tensor4D, b as tf.Tensor4D, strides, pad);
      const [x, filter] = [make([3, 9, 8, 2]), make([3, 5, 2, 5])];
      return tf.grads(convolve)([x, filter], make(convolve(x, filter).shape));
    });
  });

  it('a transposed convolution', async () => {
    await expectSame((make) =>
      tf.conv2dTranspose(
        make([2, 4, 5, 3]) as tf.Tensor4D,
        make([3, 3, 4, 3]) as tf.Tensor4D,
        [2, 8, 10, 4],
        2,
        'same',
      ),
    );
  });
});

// Products go through memory in blocks of 4 x 8 and sum in chunks of 256: sizes below, at and between them.
it.each([
  [5, 9, 1],
  [8, 16, 2],
  [6, 27, 1],
])('filter gradient of %i to %i channels, stride %i', async (inChannels, outChannels, stride) => {
  await expectSame((make) => {
    const x = make([3, 9, 10, inChannels]) as tf.Tensor4D;
    const filter = make([3, 3, inChannels, outChannels], 0.3) as tf.Tensor4D;
    const convolve = (a: tf.Tensor) => tf.conv2d(x, a as tf.Tensor4D, stride, 'same');
    return tf.grad(convolve)(filter, make(convolve(filter).shape));
  });
});

it.each([
  [1, 600, 1],
  [4, 256, 8],
  [7, 257, 19],
  [12, 513, 16],
])('product of %i x %i by … x %i', async (m, k, n) => {
  await expectSame((make) => [
    tf.matMul(make([m, k], 0.1), make([k, n])),
    tf.matMul(make([k, m], 0.1), make([k, n]), true),
  ]);
});

describe('matrix products', () => {
  const flags = [false, true];
  const cases = flags.flatMap((ta) => flags.map((tb) => ({ ta, tb })));
  const batches: [number[], number[], number][] = [
    [[], [], 5],
    [[3], [3], 4],
    [[3], [3], 40],
    [[2, 3], [1, 1], 36],
  ];
  it.each(cases)('transposed: a $ta, b $tb', async ({ ta, tb }) => {
    for (const [a, b, n] of batches)
      await expectSame((make) => {
        const [m, k] = [n + 1, n + 2];
        const left = make([...a, ...(ta ? [k, m] : [m, k])], 0.3);
        const right = make([...b, ...(tb ? [n, k] : [k, n])], 0.3);
        const product = (x: tf.Tensor, y: tf.Tensor) => tf.matMul(x, y, ta, tb);
        const y = product(left, right);
        // TensorFlow.js has no gradient for a batch that is broadcast over two axes.
        return a.length > b.filter((count) => count > 1).length
          ? y
          : [y, ...tf.grads(product)([left, right], make(y.shape))];
      });
  });
});

describe('sums, parts and repetitions', () => {
  it.each([
    [[0]],
    [[0, 1]],
    [[0, 1, 2]],
    [[1]],
    [[2]],
    [[0, 2]],
    [[0, 1, 2, 3]],
    [[-1]],
  ])('sum over %j', async (axes) => {
    await expectSame((make) => [make([3, 4, 5, 2]).sum(axes), make([3, 4, 5, 2]).sum(axes, true)]);
  });

  it('sum of integers', async () => {
    await expectSame(() => tf.tensor2d([1, 2, 3, 4, 5, 6], [3, 2], 'int32').sum(0));
  });

  it.each([[[2, 1, 1]], [[1, 3, 1]], [[1, 1, 2]], [[2, 3, 4]], [[1, 1, 1]]])('tile %j', async (reps) => {
    await expectSame((make) => {
      const x = make([3, 2, 4]);
      return [x.tile(reps), tf.grad((t: tf.Tensor) => t.tile(reps).square())(x)];
    });
  });

  it('tile keeps what is not finite, and integers', async () => {
    await useBackend('wasm');
    const [x, n] = [tf.tensor1d([Number.NaN, Number.NEGATIVE_INFINITY, 0]), tf.tensor1d([4, 5], 'int32')];
    const [y, m] = [x.tile([2]), n.tile([2])];
    expect(Array.from(await y.data())).toEqual([Number.NaN, -Infinity, 0, Number.NaN, -Infinity, 0]);
    expect([m.dtype, ...(await m.data())]).toEqual(['int32', 4, 5, 4, 5]);
    tf.dispose([x, n, y, m]);
  });

  it.each([0, 1, 2, 3])('slice, split and concat on axis %i', async (axis) => {
    for (const last of [3, 200])
      await expectSame((make) => {
        const x = make([4, 5, 6, last]);
        const begin = [0, 0, 0, 0];
        const size = [-1, -1, -1, -1];
        begin[axis] = 1;
        size[axis] = 2;
        const count = x.shape[axis]!;
        const parts = tf.split(x, [1, count - 3, 2], axis);
        const weights = make([4, 5, 6, last]);
        const joined = (a: tf.Tensor, b: tf.Tensor) => tf.concat([a, b], axis).mul(weights);
        return [
          x.slice(begin, size),
          ...parts,
          tf.concat([...parts].reverse(), axis),
          ...tf.grads(joined)([parts[0]!, tf.concat(parts.slice(1), axis)]),
        ];
      });
  });

  it('slice on two axes, of flags, out of range', async () => {
    await expectSame((make) => {
      const x = make([4, 5, 6]);
      return [
        x.slice([1, 2, 0], [2, 2, 6]),
        x.greater(0).slice([0, 0, 2], [4, 5, 3]).toInt(),
        tf.concat([x.toInt(), x.toInt()], -1),
      ];
    });
    await useBackend('wasm');
    tf.tidy(() => {
      expect(() => tf.zeros([2, 3]).slice([0, 2], [2, 2])).toThrow();
    });
  });

  it('unsortedSegmentSum: several to one, none, out of range', async () => {
    await expectSame((make) => tf.unsortedSegmentSum(make([6, 2, 3]), tf.tensor1d([3, 0, 3, -1, 0, 7], 'int32'), 5));
  });

  it('gradient of gather', async () => {
    await expectSame((make) => {
      const table = make([7, 4]);
      const ids = tf.tensor2d([1, 1, 6, 0, 1, 2], [2, 3], 'int32');
      const weights = make([2, 3, 4]);
      return tf.grad((t: tf.Tensor) => tf.gather(t, ids).mul(weights))(table);
    });
  });
});

describe.each([
  'wasm',
  'cpu',
] satisfies BackendName[])('on %s, the gradient of nearest-neighbour resizing', (backend) => {
  it.each([
    [8, 10],
    [12, 5],
    [7, 11],
    [3, 4],
  ])('of 4 x 5 to %i x %i', async (h, w) => {
    const [n, height, width, c] = [3, 4, 5, 2] as const;
    const expected = new Float32Array(n * height * width * c);
    const dy = Float32Array.from({ length: n * h * w * c }, (_, i) => Math.sin(i));
    // Each pixel of the result was taken from one of the image: its gradient goes back there.
    for (let b = 0, i = 0; b < n; b++)
      for (let y = 0; y < h; y++)
        for (let x = 0; x < w; x++) {
          const pixel = (b * height + Math.floor((y * height) / h)) * width + Math.floor((x * width) / w);
          for (let channel = 0; channel < c; channel++, i++) expected[pixel * c + channel]! += dy[i]!;
        }
    const [actual] = await on(backend, (make) => {
      const resize = (x: tf.Tensor) => tf.image.resizeNearestNeighbor(x as tf.Tensor4D, [h, w]);
      return tf.grad(resize)(make([n, height, width, c]), tf.tensor(dy, [n, h, w, c]));
    });
    for (const [i, value] of expected.entries()) expect(actual!.data[i]).toBeCloseTo(value, 5);
  });
});
