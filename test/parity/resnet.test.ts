import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { NdArray } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import { writeSafetensors } from '../../core/safetensors.js';
import { ResNet, type ResNetDepth } from '../../networks/resnet.js';
import { toTorch } from '../../networks/weights.js';
import { largestError, readFixture, startBackend } from './fixtures.js';

// What torchvision 0.29.2 gives for weights that both sides make from integers, so that no file of them is needed. For
// depth d and the key number s of `torchvision.models.resnet<d>().state_dict()`, with values() as below in numpy:
//   v = values(s, count); running_var: v + 1; convolutions: v · sqrt(24 / fan in); weights of norms: v / 5 + 1, and of the
//   last norm of a block v / 5 + .3; all others v. Images: values(999) · 2, [2, 3, 40, 40]. `fc` is Identity.
// eval: model.eval()(normalised images), train: model.train()(the same), which also moves the tracked statistics; then
// loss: (model.eval()(the same) ** 2).mean(), and its gradient at conv1.weight[0, 0].

interface Case {
  eval: number[];
  train: number[];
  evalNorm: number;
  trainNorm: number;
  tracked: number[];
  conv1Gradient: number[];
  loss: number;
}

/** Uniform within −.5...5: a multiplicative hash of seed and place. */
function values(seed: number, count: number): Float64Array {
  const start = Math.imul(seed, 40503);
  return Float64Array.from({ length: count }, (_, i) => {
    let x = (Math.imul(i + 1, 2654435761) + start) >>> 0;
    x = Math.imul(x ^ (x >>> 15), 2246822519) >>> 0;
    x = (x ^ (x >>> 13)) >>> 0;
    return x / 2 ** 32 - 0.5;
  });
}

/** The file that torchvision's weights would be in, from the parameters of a network of that depth. */
function stateOf({ parameters, buffers }: ResNet, depth: ResNetDepth): Map<string, NdArray> {
  const shapes = new Map(
    [...parameters, ...buffers].map(([name, { shape, size }]) => [
      name,
      toTorch(name, { data: new Float32Array(size), shape }).shape,
    ]),
  );
  const lastNorm = depth === 18 ? '.bn2.' : '.bn3.';
  const state = new Map<string, NdArray>();
  let seed = 0;
  const add = (name: string) => {
    const shape = shapes.get(name)!;
    const v = values(
      seed++,
      shape.reduce((a, b) => a * b, 1),
    );
    const fan = shape.slice(1).reduce((a, b) => a * b, 1);
    const value = (x: number) => {
      if (name.endsWith('running_var')) return x + 1;
      if (shape.length === 4) return x * Math.sqrt(24 / fan);
      if (name.endsWith('.weight')) return x / 5 + (name.includes(lastNorm) ? 0.3 : 1);
      return x;
    };
    state.set(name, { data: Float32Array.from(v, value), shape });
  };
  // In PyTorch's order the statistics of a norm follow its weights, and then comes the number of batches.
  for (const name of parameters.keys()) {
    if (/^(bottleneck|classifier)/.test(name)) continue;
    add(name);
    if (!/(bn\d|downsample\.1)\.bias$/.test(name)) continue;
    for (const statistic of ['running_mean', 'running_var']) add(name.replace(/bias$/, statistic));
    state.set(name.replace(/bias$/, 'num_batches_tracked'), { data: new Int32Array(1), shape: [] });
    seed++;
  }
  state.set('fc.weight', { data: new Float32Array(4), shape: [2, 2] });
  return state;
}

let folder = '';
let tolerance = 1e-4;
beforeAll(async () => {
  if ((await startBackend()) !== 'native') tolerance = 1e-3;
  folder = await mkdtemp(join(tmpdir(), 'resnet-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe.each([18, 50, 101] as const)('ResNet-%i', (depth) => {
  // In plain JavaScript, on the cpu backend, 101 layers take minutes on a busy machine.
  test('gives what torchvision gives, from its file', { timeout: 600_000 }, async () => {
    const fixture = (await readFixture<Record<string, Case>>('resnet.json'))[depth]!;
    const config = { depth, classes: 3 };
    const path = join(folder, `${depth}.safetensors`);
    const blank = ResNet.create(config, new Random(1));
    await writeSafetensors(path, stateOf(blank, depth));
    blank.dispose();
    const network = await ResNet.load(path, config, new Random(1));
    const before = tf.memory().numTensors;
    const pixels = values(999, 2 * 3 * 40 * 40).map((x) => 2 * x);
    const images = tf.tidy(() =>
      tf.tensor4d(Float32Array.from(pixels), [2, 3, 40, 40]).transpose<tf.Tensor4D>([0, 2, 3, 1]),
    );
    const check = async (mode: 'eval' | 'train') => {
      const pooled = network.pooled(images, mode);
      const data = (await pooled.data()) as Float32Array;
      const width = pooled.shape[1];
      pooled.dispose();
      const norm = fixture[`${mode}Norm`];
      const shown = [...data.subarray(0, 24), ...data.subarray(width, width + 24)];
      const scale = norm / Math.sqrt(data.length);
      expect(
        largestError(
          shown.map((x) => x / scale),
          fixture[mode].map((x) => x / scale),
        ),
      ).toBeLessThan(tolerance);
      expect(Math.hypot(...data) / norm).toBeCloseTo(1, 4);
    };
    await check('eval');
    await check('train');
    const tracked = await network.buffers.get('bn1.running_mean')!.data();
    expect(largestError(tracked.subarray(0, 8), fixture.tracked)).toBeLessThan(tolerance);
    const weight = network.parameters.get('conv1.weight')!;
    const { value, grads } = tf.variableGrads(
      () => network.pooled(images, 'eval').square().mean<tf.Scalar>(),
      [weight],
    );
    expect((await value.data())[0]! / fixture.loss).toBeCloseTo(1, 3);
    const gradient = grads[weight.name] as tf.Tensor4D;
    const first = tf.tidy(() => gradient.slice([0, 0, 0, 0], [7, 7, 1, 1]));
    const actual = await first.data();
    const largest = Math.max(...fixture.conv1Gradient.map(Math.abs));
    expect(
      largestError(
        actual.map((x) => x / largest),
        fixture.conv1Gradient.map((x) => x / largest),
      ),
    ).toBeLessThan(10 * tolerance);
    tf.dispose([value, gradient, first, images]);
    expect(tf.memory().numTensors).toBe(before);
    network.dispose();
  });
});

test('another depth, and a file of something else, are errors that name it', async () => {
  const path = join(folder, 'other.safetensors');
  await writeSafetensors(path, new Map([['conv1.weight', { data: new Float32Array(4), shape: [1, 1, 2, 2] }]]));
  await expect(ResNet.load(path, { depth: 18, classes: 2 }, new Random(1))).rejects.toThrow(/conv1\.weight.*shape/);
  await expect(ResNet.load(`${path}.no`, { depth: 18, classes: 2 }, new Random(1))).rejects.toThrow(
    /other\.safetensors\.no/,
  );
});
