import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { Cnn } from '../../../agents/policies/cnn.js';
import { type NetworkOptions, NetworkPolicy } from '../../../agents/policies/network-policy.js';
import { useBackend } from '../../../backend/index.js';
import type { NdArray } from '../../../core/ndarray.js';
import { Random } from '../../../core/random.js';
import { Box } from '../../../envs/spaces/box.js';
import { Dict } from '../../../envs/spaces/dict.js';
import { Discrete } from '../../../envs/spaces/discrete.js';
import { MultiBinary } from '../../../envs/spaces/multi-binary.js';
import { MultiDiscrete } from '../../../envs/spaces/multi-discrete.js';
import { Sequence } from '../../../envs/spaces/sequence.js';
import type { Space } from '../../../envs/spaces/space.js';
import { Tuple } from '../../../envs/spaces/tuple.js';

beforeAll(async () => {
  await useBackend();
});

const observationSpace = new Box(-1, 1, [3]);
const observe = (n: number) =>
  Array.from({ length: n }, (_, i) => ({ data: new Random(i).normals(3), shape: [3] }) as NdArray<Float32Array>);

function policyFor<A>(actionSpace: Space<A>, options: NetworkOptions = {}) {
  return new NetworkPolicy({ observationSpace, actionSpace }, { hidden: [8], ...options }, new Random('policy'));
}

/** Weights far from the start, where every action is nearly as likely as another. */
async function stir(policy: NetworkPolicy<NdArray<Float32Array>, never>) {
  const random = new Random('stir');
  for (const variable of policy.parameters.values())
    tf.tidy(() =>
      variable.assign(
        tf.tensor(
          random.normals(variable.size).map((x) => x / 2),
          variable.shape,
        ),
      ),
    );
}

const box = (low: number[] | number, high: number[] | number) => new Box(low, high, [2]);

const spaces: [string, Space<unknown>, NetworkOptions][] = [
  ['Discrete', new Discrete(4, 7), {}],
  ['MultiDiscrete', new MultiDiscrete([2, 3, 4], { start: [0, 5, -1] }), {}],
  ['MultiBinary', new MultiBinary([2, 2]), {}],
  ['Box, rescaled', box(1000, 2000), { bounds: 'rescale' }],
  ['Box, squashed', box(1000, 2000), { bounds: 'squash' }],
  ['Box, clipped', box(-1, 1), { bounds: 'clip' }],
  ['Box without bounds', box(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY), {}],
  ['Tuple', new Tuple([new Discrete(3), box(0, 1), new MultiBinary(2)]), {}],
  ['Dict', new Dict({ gear: new Discrete(3), 2: new Dict({ push: box(-5, 5), on: new MultiBinary(1) }) }), {}],
];

describe.each(spaces)('%s', (_, space, options) => {
  it('draws elements of the space, and scores them as it drew them', async () => {
    const policy = policyFor(space, options);
    await stir(policy as never);
    const observations = observe(20);
    const { actions, extras } = await policy.sample(observations, { explore: true, random: new Random(3) });
    for (const action of actions) expect(space.contains(action)).toBe(true);
    const rows = Int32Array.from({ length: 20 }, (_, i) => 19 - i);
    const prepared = policy.prepare(observations, actions, extras!);
    const { logProb, entropy } = policy.evaluate(prepared, rows);
    const scored = await logProb.data();
    rows.forEach((row, i) => {
      expect(scored[i]! / (extras!.logProb as Float32Array)[row]!).toBeCloseTo(1, 3);
    });
    expect(entropy === undefined).toBe(options.bounds === 'squash');
    policy.dispose();
  });

  it('has a mode that does not depend on chance', async () => {
    const policy = policyFor(space, options);
    const [a, b] = [1, 2].map((seed) => policy.sample(observe(3), { explore: false, random: new Random(seed) }));
    expect((await a!).actions).toEqual((await b!).actions);
    policy.dispose();
  });

  it('has a KL of 0 to itself, above it afterwards, and leaves no tensor', async () => {
    const before = tf.memory().numTensors;
    const policy = policyFor(space, options);
    policy.keepReference();
    const observations = observe(4);
    const { actions, extras } = await policy.sample(observations, { explore: true, random: new Random(3) });
    const prepared = policy.prepare(observations, actions, extras!);
    const kl = async () => {
      const evaluation = policy.evaluate(prepared, Int32Array.of(0, 1, 2, 3), { reference: true });
      const values = [...(await evaluation.kl!.data())];
      tf.dispose(Object.values(evaluation));
      return values;
    };
    for (const value of await kl()) expect(value).toBeCloseTo(0, 5);
    await stir(policy as never);
    for (const value of await kl()) expect(value).toBeGreaterThan(0);
    policy.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('what was kept of no draw', () => {
  it.each(
    spaces.filter(([name]) => !/clipped|squashed/.test(name)),
  )('%s: is read from the action', async (_, space, options) => {
    const policy = policyFor(space, options);
    const observations = observe(5);
    // Near the mean, where nothing is clipped.
    const { actions, extras } = await policy.sample(observations, { explore: false, random: new Random(3) });
    const kept = policy.prepare(observations, actions, extras!);
    const read = policy.prepare(observations, actions, {});
    kept.draws.forEach((value, i) => {
      expect(read.draws[i]).toBeCloseTo(value, 3);
    });
    policy.dispose();
  });
});

describe('closed forms', () => {
  const evaluateAt = async (space: Space<unknown>, bias: number[], draws: number[], options: NetworkOptions = {}) => {
    const policy = policyFor(space, { hidden: [], ...options });
    tf.tidy(() => {
      policy.parameters.get('actor.0.weight')!.assign(tf.zeros([3, bias.length]));
      policy.parameters.get('actor.0.bias')!.assign(tf.tensor1d(bias));
      policy.parameters.get('logStd')?.assign(tf.tensor1d([0.3]));
    });
    const prepared = { length: 1, observations: new Float32Array(3), draws: Float32Array.from(draws) };
    const { logProb, entropy } = policy.evaluate(prepared, Int32Array.of(0));
    const result = [(await logProb.data())[0]!, entropy && (await entropy.data())[0]!];
    policy.dispose();
    return result as [number, number];
  };

  it('MultiBinary', async () => {
    // torch.distributions.Bernoulli(logits=torch.tensor([.5, -2.])).log_prob(torch.tensor([1., 0.])).sum(), .entropy().sum()
    const [logProb, entropy] = await evaluateAt(new MultiBinary(2), [0.5, -2], [1, 0]);
    expect(logProb).toBeCloseTo(-0.474077 - 0.126928, 5);
    const h = (p: number) => -p * Math.log(p) - (1 - p) * Math.log(1 - p);
    expect(entropy).toBeCloseTo(h(1 / (1 + Math.exp(-0.5))) + h(1 / (1 + Math.exp(2))), 5);
  });

  it('MultiDiscrete', async () => {
    // Categorical(logits=[0, ln 3]) and Categorical(logits=[0, 0, ln 2]): draws 1 and 2
    const [logProb, entropy] = await evaluateAt(new MultiDiscrete([2, 3]), [0, Math.log(3), 0, 0, Math.log(2)], [1, 2]);
    expect(logProb).toBeCloseTo(Math.log(0.75) + Math.log(0.5), 5);
    const h = (...p: number[]) => -p.reduce((sum, q) => sum + q * Math.log(q), 0);
    expect(entropy).toBeCloseTo(h(0.25, 0.75) + h(0.25, 0.25, 0.5), 5);
  });

  it('a squashed Gaussian', async () => {
    // u = .7, mean .2, std e^.3: normal log-density less ln(1 - tanh(u)^2)
    const [logProb] = await evaluateAt(new Box(-3, 3, [1]), [0.2], [0.7], { bounds: 'squash' });
    const std = Math.exp(0.3);
    const normal = -(((0.7 - 0.2) / std) ** 2) / 2 - 0.3 - Math.log(2 * Math.PI) / 2;
    expect(logProb).toBeCloseTo(normal - Math.log(1 - Math.tanh(0.7) ** 2), 5);
  });
});

describe('bounds', () => {
  it('explores all of a Box whose bounds are far from 0', async () => {
    const policy = policyFor(new Box(1000, 2000, [1]));
    const { actions } = await policy.sample(observe(200), { explore: true, random: new Random(1) });
    const values = actions.map((action) => action.data[0]!);
    expect(Math.min(...values)).toBeLessThan(1100);
    expect(Math.max(...values)).toBeGreaterThan(1900);
    expect(values.filter((v) => v > 1300 && v < 1700).length).toBeGreaterThan(50);
    policy.dispose();
  });
});

describe('pictures', () => {
  it.each([12, 48])('of %d pixels go through convolutions, scaled', async (size) => {
    const space = new Box(0, 255, [size, size, 3], 'uint8');
    const policy = new NetworkPolicy({ observationSpace: space, actionSpace: new Discrete(3) }, {}, new Random(1));
    expect([...policy.parameters.keys()]).toContain('actor.conv.0.weight');
    const pictures = [0, 1].map(() => space.sample());
    const { actions, extras } = await policy.sample(pictures, { explore: true, random: new Random(1) });
    const prepared = policy.prepare(pictures, actions, extras!);
    const { logProb } = policy.evaluate(prepared, Int32Array.of(0, 1));
    const scored = await logProb.data();
    expect(scored[1]).toBeCloseTo((extras!.logProb as Float32Array)[1]!, 4);
    policy.dispose();
  });

  it('a copy gives the same, and is freed alone', async () => {
    const before = tf.memory().numTensors;
    const cnn = Cnn.create('x', new Box(0, 255, [10, 12, 1], 'uint8'), 2, 1, {}, new Random(1));
    const copy = cnn.clone();
    const x = tf.randomUniform<tf.Rank.R2>([2, 120], 0, 255, 'float32', 1);
    const [a, b] = [cnn.apply(x), copy.apply(x)];
    expect([...(await a.data())]).toEqual([...(await b.data())]);
    cnn.dispose();
    tf.dispose([a, b, copy.apply(x), x]);
    copy.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

it('refuses spaces that no network suits, and says which do', () => {
  expect(() => policyFor(new Tuple([new Discrete(2), new Sequence(new Discrete(2))]))).toThrow(
    /no network suits the action space Sequence.* \(at 1\); Discrete, MultiDiscrete/,
  );
  expect(
    () =>
      new NetworkPolicy(
        { observationSpace: new Sequence(new Discrete(2)), actionSpace: new Discrete(2) },
        {},
        new Random(1),
      ),
  ).toThrow(/do not flatten.*wrapper/);
});
