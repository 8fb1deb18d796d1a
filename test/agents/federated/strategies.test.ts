import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { krumScores } from '../../../agents/federated/krum.js';
import { coordinateMedian } from '../../../agents/federated/median.js';
import { trimmedMean } from '../../../agents/federated/trimmed-mean.js';
import { type Agent, makeAgent } from '../../../agents/index.js';
import { Random } from '../../../core/random.js';
import {
  actionSpace,
  clientStatus,
  type FederatedAction,
  type FederatedObservation,
  localTrainingOf,
  observationSpace,
} from '../../../envs/federated/spaces.js';
import { makeVec, type VectorEnv } from '../../../envs/index.js';

const { absent, ok, failed } = clientStatus;
const f32 = (data: readonly number[], ...shape: number[]) => ({ data: Float32Array.from(data), shape });
const i32 = (data: readonly number[], ...shape: number[]) => ({ data: Int32Array.from(data), shape });

/** Five clients, two classes, two features, networks of two weights. */
const sizes = { clients: 5, classes: 2, features: 2, parameters: 2 };

/** What a server sees; a client whose prototypes are absent has no example of that class. */
function observation(given: {
  round?: number;
  status?: number[];
  examples?: number[];
  parameters?: number[][];
  globalParameters?: number[];
  prototypes?: (number[] | undefined)[][];
}): FederatedObservation {
  const {
    round = 0.5,
    status = [ok, ok, ok, ok, ok],
    examples = [10, 20, 30, 20, 20],
    globalParameters = [0, 0],
  } = given;
  const prototypes = given.prototypes ?? new Array<(number[] | undefined)[]>(5).fill([undefined, undefined]);
  const parameters = given.parameters ?? new Array(5).fill([0, 0]);
  return {
    round: f32([round], 1),
    available: { data: Int8Array.of(1, 1, 1, 1, 1), shape: [5] },
    status: i32(status, 5),
    latency: f32([1, 1, 1, 1, 1], 5),
    numExamples: i32(
      examples.map((n, m) => (status[m] === ok ? n : 0)),
      5,
    ),
    counts: i32(
      prototypes.flatMap((classes) => classes.map((vector) => (vector ? 5 : 0))),
      5,
      2,
    ),
    prototypes: f32(
      prototypes.flatMap((classes) => classes.flatMap((vector) => vector ?? [0, 0])),
      5,
      2,
      2,
    ),
    trainLoss: f32([0, 0, 0, 0, 0], 5),
    updateNorm: f32([0, 0, 0, 0, 0], 5),
    updateCosine: f32(new Array(25).fill(0), 5, 5),
    lastWeights: f32([0, 0, 0, 0, 0], 5),
    parameters: f32(parameters.flat(), 5, 2),
    globalParameters: f32(globalParameters, 2),
  };
}

const env = {
  numEnvs: 1,
  observationSpace: observationSpace(sizes),
  actionSpace: actionSpace(sizes),
} as unknown as VectorEnv<FederatedObservation, FederatedAction>;

async function strategy(name: string, options: Record<string, unknown> = {}) {
  return (await makeAgent(name, { env: env as never, options, random: new Random(0) })) as Agent<
    FederatedObservation,
    FederatedAction
  >;
}

async function decided(name: string, given: FederatedObservation, options: Record<string, unknown> = {}) {
  const agent = await strategy(name, options);
  const { actions } = await agent.act([given], { starts: Uint8Array.of(1) });
  expect(env.actionSpace.contains(actions[0])).toBe(true);
  return actions[0]!;
}

const near = (actual: ArrayLike<number>, expected: readonly number[]) => {
  expect(actual.length).toBe(expected.length);
  expected.forEach((value, i) => {
    expect(actual[i]).toBeCloseTo(value, 5);
  });
};

/** The prototypes that an action sends for a class. */
function clusters({ clusterPrototypes, clusterMask }: FederatedAction, k: number): number[][] {
  return [0, 1, 2, 3, 4]
    .filter((j) => clusterMask.data[k * 5 + j])
    .map((j) => [...clusterPrototypes.data.subarray((k * 5 + j) * 2, (k * 5 + j + 1) * 2)]);
}

describe('every strategy', () => {
  const names = 'fpl fedproto fedavg fedprox moon fedproc feddyn fedopt krum trimmed-mean median'.split(' ');

  it.each(names)('%s acts before there is any answer, and keeps the model', async (name) => {
    const none = observation({ round: 0, status: new Array(5).fill(absent) });
    const { aggregation, nextClients, clusterMask, unbiasedMask } = await decided(name, none);
    expect(aggregation[0]).toBe(0);
    near(aggregation[1].data, [0, 0, 0, 0, 0]);
    expect([...nextClients.data]).toEqual([1, 1, 1, 1, 1]);
    expect(Math.max(...clusterMask.data, ...unbiasedMask.data)).toBe(0);
  });

  it.each(names)('%s is not changed by a client that has failed', async (name) => {
    const parameters = [
      [1, 0],
      [2, 0],
      [9, 9],
      [0, 1],
      [4, 4],
    ];
    const prototypes = [
      [
        [1, 0],
        [0, 1],
      ],
      [[1, 0.1], undefined],
      [undefined, undefined],
      [
        [0, 1],
        [1, 0],
      ],
      [
        [0.1, 1],
        [1, 0],
      ],
    ];
    const status = [ok, ok, failed, ok, ok];
    const shown = observation({ status, parameters: parameters.with(2, [0, 0]), prototypes });
    const { aggregation } = await decided(name, shown);
    if (aggregation[0] === 0) expect(aggregation[1].data[2]).toBe(0);
    // Its row is 0, which would pull a mean down.
    else expect(aggregation[1].data[0]).toBeGreaterThan(0.7);
  });

  it.each(names)('%s says what is wrong in an environment of another kind', async (name) => {
    const other = (await makeVec('CartPole-v1', 1)) as VectorEnv<unknown, unknown>;
    await expect(makeAgent(name, { env: other, random: new Random(0) })).rejects.toThrow(
      new RegExp(`agent ${name}: it is a federated strategy.*Discrete\\(2\\)`),
    );
  });

  it('asks the share of the clients that it is told to, at least the minimum, by its own random numbers', async () => {
    const asked = async (options: Record<string, unknown>) =>
      (await decided('fedavg', observation({}), options)).nextClients.data.filter((asked: number) => asked === 1)
        .length;
    expect(await asked({ fractionTrain: 0.6 })).toBe(3);
    expect(await asked({ fractionTrain: 0.1, minTrainNodes: 1 })).toBe(1);
    expect(await asked({ fractionTrain: 0, minTrainNodes: 2 })).toBe(2);
    expect(await asked({ fractionTrain: 1, minTrainNodes: 9 })).toBe(5);
  });

  it('goes on with the same random numbers after a restore', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'strategy-'));
    try {
      const draw = async (agent: Agent<FederatedObservation, FederatedAction>) =>
        (await agent.act([observation({})])).actions.map(({ nextClients }) => [...nextClients.data]);
      const first = await strategy('fedavg', { fractionTrain: 0.4 });
      await draw(first);
      await first.learn();
      await first.save(folder);
      const expected = [await draw(first), await draw(first), await draw(first)];
      const second = await strategy('fedavg', { fractionTrain: 0.4 });
      await second.restore(folder);
      expect([await draw(second), await draw(second), await draw(second)]).toEqual(expected);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('means', () => {
  it('fedavg weights by examples, or all alike', async () => {
    near((await decided('fedavg', observation({}))).aggregation[1].data, [0.1, 0.2, 0.3, 0.2, 0.2]);
    const four = observation({ status: [ok, ok, ok, failed, ok] });
    near((await decided('fedavg', four, { weightedBy: 'uniform' })).aggregation[1].data, [0.25, 0.25, 0.25, 0, 0.25]);
  });

  it('fedopt steps by momentum as three rounds by hand: .7, .28, -.038', async () => {
    // theta = 1; the clients' mean stays .4; v = .9v + (theta - .4); theta = theta - .5v
    const agent = await strategy('fedopt', { serverLearningRate: 0.5, beta1: 0.9 });
    let theta = 1;
    for (const expected of [0.7, 0.28, -0.038]) {
      const given = observation({ parameters: new Array(5).fill([0.4, 0.4]), globalParameters: [theta, theta] });
      const { actions } = await agent.act([given], { starts: Uint8Array.of(theta === 1 ? 1 : 0) });
      theta = actions[0]!.aggregation[1].data[0]!;
      expect(theta).toBeCloseTo(expected, 5);
    }
  });

  it('fedopt adapts its steps as Adam and Yogi do', async () => {
    const given = observation({ parameters: new Array(5).fill([0.3, -0.1]) });
    const step = async (optimizer: string) =>
      (await decided('fedopt', given, { optimizer, serverLearningRate: 0.1, beta1: 0.9, beta2: 0.99, tau: 0.01 }))
        .aggregation[1].data;
    // m = .1 d; v = .99 * 1e-4 + .01 d^2 (Adam), 1e-4 - .01 d^2 sign(1e-4 - d^2) (Yogi); .1 m / (sqrt(v) + .01)
    const adam = (d: number) => (0.1 * 0.1 * d) / (Math.sqrt(0.99e-4 + 0.01 * d * d) + 0.01);
    const yogi = (d: number) => (0.1 * 0.1 * d) / (Math.sqrt(1e-4 + 0.01 * d * d) + 0.01);
    near(await step('adam'), [adam(0.3), adam(-0.1)]);
    near(await step('yogi'), [yogi(0.3), yogi(-0.1)]);
  });

  it('feddyn takes its own correction off the mean', async () => {
    const agent = await strategy('feddyn', { alpha: 0.1 });
    const parameters = [
      [1, 0],
      [2, 0],
      [3, 0],
      [2, 0],
      [2, 0],
    ];
    // The mean is 2: h = -.1 * 2 = -.2, theta = 2 + .2/.1 = 4.
    const first = await agent.act([observation({ parameters })], { starts: Uint8Array.of(1) });
    near(first.actions[0]!.aggregation[1].data, [4, 0]);
    // From 4 the mean is 2 again: h = -.2 - .1 * (-2) = 0, theta = 2.
    const second = await agent.act([observation({ parameters, globalParameters: [4, 0] })], {
      starts: Uint8Array.of(0),
    });
    near(second.actions[0]!.aggregation[1].data, [2, 0]);
    expect(localTrainingOf(second.actions[0]!.local).dynamic).toBeCloseTo(0.1);
  });
});

describe('robust means', () => {
  const vectors = [
    [0, 0],
    [1, 0],
    [0, 1],
    [1, 1],
    [100, -100],
  ].map((v) => Float32Array.from(v));

  it('krum scores by squared distances to the n − f − 2 nearest', () => {
    // With f = 1 the two nearest of each: corners have 1 + 1; the far one 99² + 100² and 100² + 100².
    expect(krumScores(vectors, 1)).toEqual([2, 2, 2, 2, 99 ** 2 + 100 ** 2 + (100 ** 2 + 100 ** 2)]);
  });

  it('krum never takes the liar, and averages as many as it is told', async () => {
    const given = observation({ parameters: vectors.map((v) => [...v]) });
    near((await decided('krum', given)).aggregation[1].data, [1, 0, 0, 0, 0]);
    near((await decided('krum', given, { numNodesToKeep: 4 })).aggregation[1].data, [0.25, 0.25, 0.25, 0.25, 0]);
  });

  it('cuts extremes, or takes the median, of each coordinate', async () => {
    // numpy: np.sort(x, 0)[1:-1].mean(0), np.median(x, 0)
    near(trimmedMean(vectors, 0.2), [2 / 3, 1 / 3]);
    near(trimmedMean(vectors, 0), [20.4, -19.6]);
    near(coordinateMedian(vectors), [1, 0]);
    near(coordinateMedian(vectors.slice(0, 4)), [0.5, 0.5]);
    const given = observation({ parameters: vectors.map((v) => [...v]) });
    near((await decided('trimmed-mean', given)).aggregation[1].data, [2 / 3, 1 / 3]);
    near((await decided('median', given)).aggregation[1].data, [1, 0]);
  });
});

describe('what clients are told', () => {
  // Three clients near [1, 0] and two near [0, 1] for class 0; one client has class 1.
  const prototypes = [
    [
      [1, 0],
      [0, -1],
    ],
    [[1, 0.02], undefined],
    [[1, -0.02], undefined],
    [[0, 1], undefined],
    [[0.02, 1], undefined],
  ];
  const given = observation({ prototypes });

  it('fpl sends clusters, and their mean, in which each cluster counts once', async () => {
    const action = await decided('fpl', given);
    near(clusters(action, 0).flat(), [1, 0, 0.01, 1]);
    near(clusters(action, 1).flat(), [0, -1]);
    near(action.unbiasedPrototypes.data, [0.505, 0.5, 0, -1]);
    const { contrastive, consistency, temperature, crossEntropy } = localTrainingOf(action.local);
    near([contrastive, consistency, temperature, crossEntropy], [1, 1, 0.1, 1]);
  });

  it('fpl without one of its parts, and with global prototypes', async () => {
    const action = await decided('fpl', given, { contrastWith: 'global', consistentWith: 'global', contrastive: 0 });
    // np.mean of the five
    near(clusters(action, 0).flat(), [0.604, 0.4]);
    near(action.unbiasedPrototypes.data, [0.604, 0.4, 0, -1]);
    expect(localTrainingOf(action.local).contrastive).toBe(0);
  });

  it('fedproto sends the mean over clients', async () => {
    const action = await decided('fedproto', given);
    near(action.unbiasedPrototypes.data, [0.604, 0.4, 0, -1]);
    expect(clusters(action, 0)).toEqual([]);
    expect(localTrainingOf(action.local).consistency).toBe(1);
  });

  it('fedproc goes from contrast to cross-entropy, and begins with the latter', async () => {
    const at = async (o: FederatedObservation) => {
      const { contrastive, crossEntropy, temperature } = localTrainingOf((await decided('fedproc', o)).local);
      return [contrastive, crossEntropy, temperature];
    };
    near(await at(observation({ round: 0 })), [0, 1, 1]);
    near(await at(observation({ round: 0.25, prototypes })), [0.75, 0.25, 1]);
  });

  it('fedprox and moon send their coefficients', async () => {
    expect(localTrainingOf((await decided('fedprox', given, { proximalMu: 0.3 })).local).proximal).toBeCloseTo(0.3);
    const { modelContrastive, modelTemperature } = localTrainingOf((await decided('moon', given, { mu: 5 })).local);
    near([modelContrastive, modelTemperature], [5, 0.5]);
  });
});
