import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { ArrayRows } from '../../../agents/optimization/array-rows.js';
import { type NetworkOptions, NetworkPolicy } from '../../../agents/policies/network-policy.js';
import { makeAgent } from '../../../agents/registry.js';
import type { Rows } from '../../../agents/rows.js';
import { SimdMemory, useBackend } from '../../../backend/index.js';
import type { NdArray } from '../../../core/ndarray.js';
import { Random } from '../../../core/random.js';
import { Box } from '../../../envs/spaces/box.js';
import { Dict } from '../../../envs/spaces/dict.js';
import { Discrete } from '../../../envs/spaces/discrete.js';
import { MultiBinary } from '../../../envs/spaces/multi-binary.js';
import { MultiDiscrete } from '../../../envs/spaces/multi-discrete.js';
import type { Space } from '../../../envs/spaces/space.js';
import { Tuple } from '../../../envs/spaces/tuple.js';

// Plain arrays must compute what TensorFlow.js computes: every test here compares the two.

beforeAll(async () => {
  await useBackend();
});

type Vector = NdArray<Float32Array>;

const observationSpace = new Box(-1, 1, [3]);
const observe = (n: number): Vector[] =>
  Array.from({ length: n }, (_, i) => ({ data: new Random(i).normals(3), shape: [3] }));

/** Weights far from the start, the same for every policy of these sizes. */
function stir(policy: NetworkPolicy<Vector, never>): void {
  const random = new Random('stir');
  for (const { size, shape, assign } of [...policy.parameters.values()].map((variable) => ({
    ...{ size: variable.size, shape: variable.shape, assign: (t: tf.Tensor) => variable.assign(t) },
  })))
    tf.tidy(() =>
      assign(
        tf.tensor(
          random.normals(size).map((x) => x / 2),
          shape,
        ),
      ),
    );
}

function policyFor(actionSpace: Space<unknown>, options: NetworkOptions) {
  const policy = new NetworkPolicy({ observationSpace, actionSpace }, options, new Random('policy'));
  stir(policy as never);
  return policy;
}

const spaces: [string, Space<unknown>, NetworkOptions][] = [
  ['Discrete', new Discrete(4, 7), { hidden: [8] }],
  ['Discrete, of one value and without hidden layers', new Discrete(1), { hidden: [] }],
  ['MultiDiscrete', new MultiDiscrete([2, 3, 4]), { hidden: [13, 7] }],
  ['MultiBinary', new MultiBinary([2, 2]), { hidden: [64, 64], activation: 'relu' }],
  ['Box', new Box(1000, 2000, [2]), { hidden: [5] }],
  ['Box, squashed', new Box(-1, 1, [2]), { hidden: [9], bounds: 'squash' }],
  ['Tuple', new Tuple([new Discrete(3), new Box(0, 1, [2]), new MultiBinary(2)]), { hidden: [6] }],
  ['Dict', new Dict({ gear: new Discrete(3), in: new Dict({ push: new Box(-5, 5, [1]) }) }), { hidden: [6] }],
];

describe.each(spaces)('%s', (_, space, options) => {
  it('has the values and the gradient of the tensors', async () => {
    const [arrays, tensors] = (['arrays', 'tensors'] as const).map((engine) =>
      policyFor(space, { ...options, engine }),
    );
    expect([arrays!.engine, tensors!.engine]).toEqual(['arrays', 'tensors']);
    const observations = observe(37);
    const { actions, extras } = await tensors!.sample(observations, { explore: true, random: new Random(3) });
    const prepared = tensors!.prepare(observations, actions, extras!);
    const rows = Int32Array.from({ length: 37 }, (_, i) => (i * 5) % 37);
    const weights = Float32Array.from(rows, (row) => Math.sin(row));
    /** Every score, each with a weight of its own for each row. */
    const lossOf = (logProb: Rows, entropy: Rows | undefined, values: Rows, own: Rows): Rows => {
      const loss = logProb.mul(own).mean().add(values.sub(own).square().mean());
      return entropy ? loss.add(entropy.mul(own).mean()) : loss;
    };

    let expected: Float32Array[] = [];
    const { value, grads } = tf.variableGrads(() => {
      const { logProb, entropy } = tensors!.evaluate(prepared, rows);
      const values = tensors!.value(prepared, rows);
      expected = [logProb, ...(entropy ? [entropy] : []), values].map((t) => t.dataSync() as Float32Array);
      return lossOf(logProb, entropy, values, tf.tensor1d(weights)) as tf.Scalar;
    }, [...tensors!.parameters.values()]);

    await arrays!.arrays!.load();
    const { logProb, entropy, values } = arrays!.arrays!.evaluate(prepared, rows, { values: true });
    const scores = [logProb, ...(entropy ? [entropy] : []), values!];
    expect(scores.length).toBe(expected.length);
    scores.forEach((score, k) => {
      for (let i = 0; i < 37; i++) expect(score.values[i]).toBeCloseTo(expected[k]![i]!, 4);
    });
    const loss = lossOf(logProb, entropy, values!, new ArrayRows(weights)) as ArrayRows;
    expect(loss.values[0]).toBeCloseTo((await value.data())[0]!, 4);
    loss.backward();
    arrays!.arrays!.backward();
    const { memory, gradient, size } = arrays!.arrays!;
    const own = memory.values(gradient, size);
    let offset = 0;
    for (const variable of tensors!.parameters.values()) {
      const slopes = grads[variable.name]?.dataSync() ?? new Float32Array(variable.size);
      for (let i = 0; i < variable.size; i++) expect(own[offset + i]).toBeCloseTo(slopes[i]!, 4);
      offset += variable.size;
    }
    expect(offset).toBe(size);
    tf.dispose([value, grads]);
    arrays!.dispose();
    tensors!.dispose();
  });

  it('draws the same actions with the same log-probabilities', async () => {
    const [arrays, tensors] = await Promise.all(
      (['arrays', 'tensors'] as const).map(async (engine) => {
        const policy = policyFor(space, { ...options, engine });
        const random = new Random(3);
        const decision = await policy.sample(observe(20), { explore: true, random });
        const values = await policy.values(observe(20));
        policy.dispose();
        return { ...decision, values };
      }),
    );
    expect(JSON.stringify(arrays!.actions).replace(/\d\.\d+/g, (x) => Number(x).toFixed(3))).toBe(
      JSON.stringify(tensors!.actions).replace(/\d\.\d+/g, (x) => Number(x).toFixed(3)),
    );
    for (const name of ['logProb', 'value'] as const)
      (arrays!.extras![name] as Float32Array).forEach((x, i) => {
        expect(x).toBeCloseTo((tensors!.extras![name] as Float32Array)[i]!, 4);
      });
    expect(arrays!.values).toEqual(arrays!.extras!.value);
  });
});

it.each<[string, (a: Rows, b: Rows) => Rows]>([
  ['add', (a, b) => a.add(b)],
  ['sub', (a, b) => a.sub(b)],
  ['mul', (a, b) => a.mul(b)],
  ['div', (a, b) => a.div(b)],
  ['a number', (a) => a.mul(3).add(1).div(2).sub(4)],
  ['one for all rows', (a, b) => a.mean().mul(b).sub(b.sum())],
  ['minimum', (a, b) => a.minimum(b)],
  ['minimum of equals', (a) => a.minimum(a.mul(1))],
  ['maximum', (a, b) => a.maximum(b)],
  ['neg', (a) => a.neg()],
  ['exp', (a) => a.exp()],
  ['log', (a) => a.log()],
  ['square', (a) => a.square()],
  ['sqrt', (a) => a.sqrt()],
  ['clipByValue', (a) => a.clipByValue(0.75, 1.25)],
  ['a result that is used twice', (a, b) => ((c) => c.mul(c.exp()))(a.mul(b))],
])('rows: %s', (_, f) => {
  const [x, y] = [Float32Array.of(0.5, 0.8, 1, 1.2, 2.5), Float32Array.of(2, 0.7, 1.5, 1.25, 0.1)];
  const [a, b] = [new ArrayRows(x), new ArrayRows(y)];
  const own = f(a, b) as ArrayRows;
  (own.mul(own).sum() as ArrayRows).backward();
  tf.tidy(() => {
    const result = f(tf.tensor1d(x), tf.tensor1d(y)) as tf.Tensor;
    result.dataSync().forEach((value, i) => {
      expect(own.values[i]).toBeCloseTo(value, 4);
    });
    const squares = (...inputs: tf.Tensor[]) => {
      const r = f(inputs[0]!, inputs[1]!);
      // The zero times b: TensorFlow.js asks for a path to every input.
      return (r.mul(r).sum() as tf.Scalar).add(inputs[1]!.mul(0).sum()) as tf.Scalar;
    };
    tf.grads(squares)([tf.tensor1d(x), tf.tensor1d(y)]).forEach((slopes, k) => {
      slopes.dataSync().forEach((slope, i) => {
        expect([a, b][k]!.slopes[i]).toBeCloseTo(slope, 3);
      });
    });
  });
});

it('the hyperbolic tangent of the vector instructions is that of the processor, to 3e-7', () => {
  const memory = new SimdMemory();
  const x = Float32Array.from({ length: 4003 }, (_, i) => (i - 2001) / 150);
  const at = memory.allocate(x.length);
  memory.values(at, x.length).set(x);
  memory.kernels.tanh(at, at, x.length);
  memory.values(at, x.length).forEach((y, i) => {
    expect(Math.abs(y - Math.tanh(x[i]!))).toBeLessThan(3e-7);
  });
});

/** Updates of an agent on one engine, on the same rollout; its weights afterwards, and its saved state. */
async function learned(engine: 'arrays' | 'tensors', microBatch: number) {
  const policy = new NetworkPolicy(
    { observationSpace, actionSpace: new Discrete(3) },
    { hidden: [16, 16], engine },
    new Random('policy'),
  );
  const agent = await makeAgent('ppo', {
    policy: () => policy as never,
    options: {
      ...{ collect: { steps: 8 }, gamma: 0.9, learningRate: 0.01, weightDecay: 0.01, microBatch },
      ...{ innerEpochs: 3, minibatches: 2, entropyCoefficient: 0.01 },
    },
    random: new Random('agent'),
  });
  // Drawn by tensors for both, so that both learn from the same numbers.
  const drawer = new NetworkPolicy(
    { observationSpace, actionSpace: new Discrete(3) },
    { hidden: [16, 16], engine: 'tensors' },
    new Random('policy'),
  );
  const flags = () => new Uint8Array(40);
  const observations = observe(40);
  const { actions, extras } = await drawer.sample(observations, { explore: true, random: new Random(1) });
  drawer.dispose();
  const step = {
    ...{ observations, actions, infos: observations.map(() => ({})), extras: extras! },
    rewards: Float64Array.from(actions, (action) => Number(action === 1)),
    ...{ terminated: flags().fill(1), truncated: flags(), starts: flags().fill(1), valid: flags().fill(1) },
    finalObservations: observations,
  };
  const metrics = await agent.learn({ steps: [step], lastObservations: observations } as never);
  const weights = [...policy.parameters.values()].flatMap((variable) => [...variable.dataSync()]);
  return { agent, metrics, weights };
}

it.each([40, 7])('six updates of PPO have the same result on both, in micro-batches of %d', async (microBatch) => {
  const [arrays, tensors] = [await learned('arrays', microBatch), await learned('tensors', microBatch)];
  expect(Object.keys(arrays.metrics)).toEqual(Object.keys(tensors.metrics));
  for (const [name, value] of Object.entries(tensors.metrics)) {
    // Of no relative distance between two gradients that are equal but for rounding, the digits are rounding.
    if (!name.startsWith('check/')) expect(arrays.metrics[name], name).toBeCloseTo(value as number, 4);
  }
  expect(arrays.metrics['check/gradientError']).toBeLessThan(1e-5);
  expect(arrays.metrics['check/ratioError']).toBeLessThan(1e-5);
  arrays.weights.forEach((weight, i) => {
    expect(weight).toBeCloseTo(tensors.weights[i]!, 3);
  });
  arrays.agent.dispose();
  tensors.agent.dispose();
});

it('a checkpoint of one engine is one of the other', async () => {
  const { mkdtemp, readFile, rm } = await import('node:fs/promises');
  const { tmpdir } = await import('node:os');
  const { join } = await import('node:path');
  const folder = await mkdtemp(join(tmpdir(), 'engines-'));
  const [arrays, tensors] = [await learned('arrays', 40), await learned('tensors', 40)];
  const bytes = async (name: string, file: string) => await readFile(join(folder, name, file));
  await arrays.agent.save(join(folder, 'arrays'));
  await tensors.agent.restore(join(folder, 'arrays'));
  await tensors.agent.save(join(folder, 'tensors'));
  await (await learned('arrays', 40)).agent.restore(join(folder, 'tensors'));
  for (const file of ['policy/weights.safetensors', 'optimizer/adamw.safetensors', 'optimizer/optimizer.json'])
    expect(await bytes('tensors', file)).toEqual(await bytes('arrays', file));
  await rm(folder, { recursive: true });
});

it('what a program assigns to the variables counts at the next decision', async () => {
  const policy = new NetworkPolicy({ observationSpace, actionSpace: new Discrete(3) }, {}, new Random('policy'));
  const decide = async () => (await policy.sample(observe(1), { explore: false, random: new Random(0) })).extras!.value;
  const before = await decide();
  expect(await decide()).toEqual(before);
  stir(policy as never);
  expect(await decide()).not.toEqual(before);
  policy.dispose();
});

describe('which engine computes', () => {
  const engineOf = (space: Space<unknown>, options: NetworkOptions) => {
    const policy = new NetworkPolicy({ observationSpace: space, actionSpace: new Discrete(2) }, options, new Random(0));
    const { engine } = policy;
    policy.dispose();
    return engine;
  };
  const picture = new Box(0, 255, [8, 8, 1], 'uint8');

  it('arrays for small networks, tensors for wide ones and for pictures', () => {
    expect(engineOf(observationSpace, {})).toBe('arrays');
    expect(engineOf(observationSpace, { hidden: [64, 512] })).toBe('tensors');
    expect(engineOf(observationSpace, { hidden: [512], engine: 'arrays' })).toBe('arrays');
    expect(engineOf(picture, {})).toBe('tensors');
  });

  it('refuses pictures on arrays', () => {
    expect(() => engineOf(picture, { engine: 'arrays' })).toThrow(/engine 'arrays' has no convolutions.*use 'tensors'/);
  });
});
