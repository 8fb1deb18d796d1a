import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { Sgd, type SgdOptions } from '../../networks/sgd.js';

beforeAll(async () => void (await useBackend()));

const start = [1, -2, 3];

/** torch.optim.SGD and clip_grad_norm_ as their documentation defines them, in float64, on the loss Σw². */
function reference(
  { momentum = 0, nesterov = false, weightDecay = 0, maxGradNorm = Infinity }: SgdOptions,
  steps: number,
) {
  let w = start;
  let buffer = [0, 0, 0];
  const norms: number[] = [];
  for (let step = 0; step < steps; step++) {
    const gradient = w.map((v) => 2 * v);
    const norm = Math.hypot(...gradient);
    norms.push(norm);
    const g = gradient.map((v, i) => v * Math.min(1, maxGradNorm / (norm + 1e-6)) + weightDecay * w[i]!);
    buffer = buffer.map((b, i) => momentum * b + g[i]!);
    const direction = nesterov ? g.map((v, i) => v + momentum * buffer[i]!) : buffer;
    w = w.map((v, i) => v - 0.1 * direction[i]!);
  }
  return { w, norms };
}

function trained(options: SgdOptions, steps: number) {
  const variable = (t: () => tf.Tensor) => tf.tidy(() => tf.variable(t()));
  const [a, b] = [variable(() => tf.tensor1d([1, -2])), variable(() => tf.tensor2d([[3]]))];
  const parameters = new Map<string, tf.Variable>([
    ['a', a],
    ['b', b],
  ]);
  const sgd = new Sgd(parameters, options);
  const norms: number[] = [];
  for (let step = 0; step < steps; step++) {
    const { loss, gradNorm } = sgd.minimize(() => a.square().sum().add(b.square().sum()) as tf.Scalar, 0.1);
    norms.push(gradNorm.dataSync()[0]!);
    tf.dispose([loss, gradNorm]);
  }
  return { parameters, sgd, norms, w: () => [...a.dataSync(), ...b.dataSync()] };
}

describe('Sgd', () => {
  it.each<SgdOptions>([
    {},
    { momentum: 0.9 },
    { momentum: 0.9, weightDecay: 0.01, maxGradNorm: 2 },
    { momentum: 0.9, nesterov: true, weightDecay: 0.01 },
  ])('steps as PyTorch does with %o', (options) => {
    const expected = reference(options, 4);
    const { w, norms, sgd, parameters } = trained(options, 4);
    expect(w()).toEqual(expected.w.map((value) => expect.closeTo(value, 5)));
    expect(norms).toEqual(expected.norms.map((norm) => expect.closeTo(norm, 4)));
    sgd.dispose();
    tf.dispose([...parameters.values()]);
  });

  it('goes on from its state, and leaves no tensor behind', async () => {
    const before = tf.memory().numTensors;
    const options = { momentum: 0.9, weightDecay: 0.01 };
    const whole = trained(options, 4);
    const half = trained(options, 2);
    const again = new Sgd(half.parameters, options);
    again.restore(await half.sgd.state());
    const [a, b] = [...half.parameters.values()];
    for (let i = 0; i < 2; i++) {
      const step = again.minimize(() => a!.square().sum().add(b!.square().sum()) as tf.Scalar, 0.1);
      tf.dispose([step.loss, step.gradNorm]);
    }
    expect(half.w()).toEqual(whole.w());
    for (const { sgd, parameters } of [whole, half]) {
      sgd.dispose();
      tf.dispose([...parameters.values()]);
    }
    again.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('leaves what is frozen as it is', () => {
    const { sgd, parameters, w } = trained({ momentum: 0.9 }, 1);
    const [a, b] = [...parameters.values()];
    const before = w();
    const step = sgd.minimize(() => a!.square().sum().add(b!.square().sum()) as tf.Scalar, 0.1, new Set(['a']));
    expect(w().slice(0, 2)).toEqual(before.slice(0, 2));
    expect(w()[2]).not.toBe(before[2]);
    tf.dispose([step.loss, step.gradNorm]);
    sgd.dispose();
    tf.dispose([...parameters.values()]);
  });

  it('refuses nothing to train, and a state of other parameters', () => {
    expect(() => new Sgd(new Map())).toThrow(/no parameters/);
    const { sgd, parameters } = trained({}, 0);
    expect(() => sgd.restore({ data: new Float32Array(2), shape: [2] })).toThrow(
      /for 2 parameters, this optimiser has 3/,
    );
    sgd.dispose();
    tf.dispose([...parameters.values()]);
  });
});
