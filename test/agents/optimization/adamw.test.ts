import * as tf from '@tensorflow/tfjs';
import { beforeAll, expect, it } from 'vitest';
import { AdamW } from '../../../agents/optimization/adamw.js';
import { useBackend } from '../../../backend/index.js';

beforeAll(async () => {
  await useBackend();
});

/** torch.optim.AdamW written out in double precision, one number at a time. */
function reference(w: number, gradients: number[], lr: number, wd: number, maxNormScale: (step: number) => number) {
  let m = 0;
  let v = 0;
  gradients.forEach((raw, i) => {
    const g = raw * maxNormScale(i);
    w -= lr * wd * w;
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    w -= (lr * (m / (1 - 0.9 ** (i + 1)))) / (Math.sqrt(v / (1 - 0.999 ** (i + 1))) + 1e-8);
  });
  return w;
}

it('makes the steps of torch.optim.AdamW with clip_grad_norm_', async () => {
  const a = tf.variable(tf.tensor2d([1, -2, 0.5, 3], [2, 2]));
  const b = tf.variable(tf.tensor1d([0.1]));
  const optimizer = new AdamW(
    new Map<string, tf.Variable>([
      ['a', a],
      ['b', b],
    ]),
    { weightDecay: 0.1 },
  );
  const steps = [
    [0.3, -0.2, 0, 4, 1],
    [0.1, -0.4, 0.2, 5, -1],
    [-0.2, 0.1, 0.3, 2, 0.5],
  ];
  const norms = steps.map((g) => Math.hypot(...g));
  const before = tf.memory().numTensors;
  for (const [i, g] of steps.entries()) {
    const gradients = { [a.name]: tf.tensor2d(g.slice(0, 4), [2, 2]), [b.name]: tf.tensor1d(g.slice(4)) };
    const flat = optimizer.flatten(gradients);
    optimizer.step(flat, norms[i]!, 0.01, 2);
    tf.dispose([flat, ...Object.values(gradients)]);
  }
  expect(tf.memory().numTensors).toBe(before);
  const scale = (i: number) => Math.min(1, 2 / (norms[i]! + 1e-6));
  const start = [1, -2, 0.5, 3, 0.1];
  const actual = [...(await a.data()), ...(await b.data())];
  start.forEach((w, k) => {
    const expected = reference(
      w,
      steps.map((g) => g[k]!),
      0.01,
      0.1,
      scale,
    );
    expect(actual[k]).toBeCloseTo(expected, 5);
  });
  optimizer.dispose();
  tf.dispose([a, b]);
});

it('goes on from a saved state bit for bit, and refuses one of other parameters', async () => {
  const make = () => {
    const w = tf.variable(tf.tensor1d([1, 2, 3]));
    return { w, optimizer: new AdamW(new Map([['w', w]])) };
  };
  const one = make();
  const two = make();
  const g = tf.tensor1d([0.5, -1, 2]);
  one.optimizer.step(g, 1, 0.1);
  two.w.assign(one.w.clone());
  two.optimizer.restore(await one.optimizer.state());
  one.optimizer.step(g, 1, 0.1);
  two.optimizer.step(g, 1, 0.1);
  expect([...(await two.w.data())]).toEqual([...(await one.w.data())]);
  const other = new AdamW(new Map([['w', tf.variable(tf.zeros([2]))]]));
  const state = await one.optimizer.state();
  expect(() => other.restore(state)).toThrow(/for 3 parameters, this optimiser has 2/);
});

it('counts a parameter that the loss does not reach as zeros', async () => {
  const a = tf.variable(tf.scalar(1));
  const b = tf.variable(tf.tensor1d([1, 1]));
  const optimizer = new AdamW(
    new Map<string, tf.Variable>([
      ['a', a],
      ['b', b],
    ]),
  );
  const flat = optimizer.flatten({ [a.name]: tf.scalar(7) });
  expect([...(await flat.data())]).toEqual([7, 0, 0]);
});
