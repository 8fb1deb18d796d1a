// Where the native backend is built (`npm run native`), these tests compute on it; where it is not, they check what
// people are told about it, and continuous integration fails.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { type BackendName, backendReport, useBackend } from '../../backend/index.js';
import { GymError } from '../../core/errors.js';
import { Random } from '../../core/random.js';

const [native] = await backendReport();

async function on(backend: BackendName, compute: () => tf.Tensor[]) {
  await useBackend(backend);
  const before = tf.memory().numTensors;
  const results = tf.tidy(compute);
  const data = await Promise.all(results.map((t) => t.data()));
  expect(tf.memory().numTensors - before).toBe(results.length);
  tf.dispose(results);
  return data;
}

/** The numbers that a program prints as JSON, in a process of its own, where `useBackend` is there. */
async function inProcess(code: string, env: Record<string, string | undefined> = {}) {
  const program = `const { useBackend } = await import('./backend/index.js');\n${code}`;
  const args = ['--import', './register.mjs', '--input-type=module', '-e', program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: { ...process.env, ...env } });
  return JSON.parse(stdout) as Record<string, number>;
}

function values(shape: number[], seed: number) {
  const random = new Random(seed);
  return tf.tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()),
    shape,
  );
}

if (!native?.available)
  console.log(
    'skipped: tests of the native backend, here, in fused.test.ts, in test/training/determinism and, of the slow ones, in test/training/workers.test.ts; build it with `npm run native`',
  );

it.runIf(process.env.CI)('is built in continuous integration', () => {
  expect(native).toMatchObject({ available: true });
});

describe.skipIf(!native?.available)('the native backend (skipped without `npm run native`)', () => {
  it('runs convolutions on oneDNN', () => {
    expect(native).toMatchObject({ available: true, version: expect.stringMatching(/^2\.\d+/), onednn: true });
  });

  it.runIf(process.platform === 'linux')('starts one thread, unless the environment says otherwise', async () => {
    const code = `const { readdirSync } = await import('node:fs');
const started = () => readdirSync('/proc/self/task').length;
const before = started();
const { threads } = await useBackend('native');
console.log(JSON.stringify({ threads, started: started() - before }));`;
    const load = (env: Record<string, string>) =>
      inProcess(code, { OMP_NUM_THREADS: '', TF_NUM_INTRAOP_THREADS: undefined, ...env });
    const one = await load({});
    expect(one.threads).toBe(1);
    expect(await load({ OMP_NUM_THREADS: '9' })).toEqual({ threads: 9, started: one.started! + 8 });
    const both = { OMP_NUM_THREADS: '9', TF_NUM_INTRAOP_THREADS: '5' };
    expect(await load(both)).toEqual({ threads: 5, started: one.started! + 4 });
  });

  it.runIf(process.platform === 'linux')('gives back the pages of the library that only its start needs', async () => {
    const code = `const { readFileSync } = await import('node:fs');
await useBackend('native');
const kibibytes = (name) => parseInt(readFileSync('/proc/self/status', 'utf8').split(name + ':')[1]);
const { tensor1d } = await import('@tensorflow/tfjs');
const sum = tensor1d([1, 2, 3]).sum().dataSync()[0];
console.log(JSON.stringify({ sum, largest: kibibytes('VmHWM'), now: kibibytes('VmRSS') }));`;
    const { sum, largest, now } = await inProcess(code);
    expect(sum).toBe(6);
    // The library has some 300 MB of such pages.
    expect(largest! - now!).toBeGreaterThan(100_000);
  });

  const cases = [1, 3, 4].flatMap((k) =>
    [1, 2].flatMap((stride) =>
      (['same', 'valid'] as const).flatMap((pad) => [8, 7].map((n) => ({ k, stride, pad, n }))),
    ),
  );
  it.each(cases)('filter $k, stride $stride, $pad, image $n: as on cpu', async ({ k, stride, pad, n }) => {
    const compute = () => {
      const [x, filter, bias] = [values([2, n, n + 1, 3], 1), values([k, k, 3, 5], 2), values([5], 3)];
      const convolve = (a: tf.Tensor, b: tf.Tensor) => tf.conv2d(a as tf.Tensor4D, b as tf.Tensor4D, stride, pad);
      const fused = (a: tf.Tensor, b: tf.Tensor, c: tf.Tensor) =>
        tf.fused.conv2d({ x: a as tf.Tensor4D, filter: b as tf.Tensor4D, strides: stride, pad, bias: c });
      const y = convolve(x, filter);
      const dy = values(y.shape, 4);
      return [
        y,
        fused(x, filter, bias),
        ...tf.grads(convolve)([x, filter], dy),
        ...tf.grads(fused)([x, filter, bias], dy),
      ];
    };
    const [actual, expected] = [await on('native', compute), await on('cpu', compute)];
    for (const [i, data] of expected.entries())
      for (const [j, value] of data.entries()) expect(Math.abs(actual[i]![j]! - value)).toBeLessThan(1e-4);
  });

  it('leaves to TensorFlow what oneDNN is not asked for', async () => {
    const compute = () => {
      const [x, filter] = [values([1, 6, 6, 2], 1) as tf.Tensor4D, values([3, 3, 2, 2], 2) as tf.Tensor4D];
      const explicit: [number, number][] = [
        [0, 0],
        [1, 0],
        [0, 2],
        [0, 0],
      ];
      return [
        tf.conv2d(x, filter, 1, 'same', 'NHWC', 2),
        tf.conv2d(x, filter, 1, explicit as tf.backend_util.ExplicitPadding),
        tf.fused.conv2d({ x, filter, strides: 1, pad: 'same', activation: 'relu' }),
      ];
    };
    const [actual, expected] = [await on('native', compute), await on('cpu', compute)];
    for (const [i, data] of expected.entries())
      for (const [j, value] of data.entries()) expect(actual[i]![j]).toBeCloseTo(value, 4);
  });

  it('takes shapes that do not fit as errors', async () => {
    await useBackend('native');
    const run = (name: string, inputs: Record<string, tf.Tensor>, attrs = {}) =>
      tf.tidy(() => tf.engine().runKernel(name, inputs, attrs));
    const [x, rows] = [tf.zeros([1, 2, 2, 6]), tf.zeros([4, 6])];
    const norm = { groups: 3, epsilon: 1e-5, silu: true };
    const five = tf.ones([5]);
    const six = tf.ones([6]);
    expect(() => run('FusedGroupNorm', { x, gamma: six, beta: five }, norm)).toThrow('[5], which are not 6 values');
    expect(() => run('FusedGroupNorm', { x, gamma: six, beta: six }, { ...norm, groups: 4 })).toThrow('into 4 groups');
    expect(() => run('FusedGroupNorm', { x: rows, gamma: six, beta: six }, norm)).toThrow('[4,6], which is no image');
    expect(() => run('FusedLayerNorm', { x: rows, gamma: five, beta: six }, { epsilon: 1 })).toThrow('not 6 values');
    expect(() => run('FusedAttention', { q: rows, k: rows, v: five }, { batch: 2, heads: 2 })).toThrow('not 24 values');
    expect(() => run('FusedAttention', { q: rows, k: rows, v: rows }, { batch: 3, heads: 2 })).toThrow('batch 3');
    expect(() => run('FusedLinear', { x: rows, weight: x }, { activation: 'none' })).toThrow('does not fit the weight');
    expect(() => run('GatedGelu', { x: five })).toThrow('5 channels cannot be halved');
    expect(() => run('UpsampleNearest2xGrad', { dy: tf.zeros([1, 3, 2, 1]) })).toThrow('cannot be halved');
    expect(() => run('FusedStepMean', { x: rows, out: rows, numbers: six }, { range: 1 })).toThrow('not 28 values');
    expect(() => run('FusedScaledDistance', { value: rows, mean: six, numbers: x })).toThrow('[4,6], which are not 6');
    const numbers = { learningRate: 1, beta1: 0, beta2: 0, epsilon: 1, weightDecay: 0, step: 1, gradientScale: 1 };
    const moments = { gradient: six, m: five, v: six, weights: [six] as unknown as tf.Tensor };
    expect(() => run('FusedAdamW', moments, numbers)).toThrow('[5], which are not 6 values');
    tf.dispose([x, rows, five, six]);
  });
});

describe.skipIf(native?.available)('without a native backend', () => {
  it('says why there is no native backend, and how to get it', async () => {
    const error = await useBackend('native').catch((e: unknown) => e);
    expect(GymError.is(error) && error.code).toBe('E_BACKEND');
    expect(String(error)).toMatch(/npm run native/);
    expect(native).toMatchObject({ available: false, name: 'native', remedy: 'build it with `npm run native`' });
  });
});
