import { createHash } from 'node:crypto';
import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { makeAgent } from '../../../agents/index.js';
import { useBackend } from '../../../backend/index.js';
import { Random } from '../../../core/random.js';
import type { FederatedPrototypes } from '../../../envs/federated/federated-prototypes.js';
import {
  answered,
  clientStatus,
  type FederatedAction,
  type FederatedDecision,
  type FederatedObservation,
  federatedAction,
  parametersOf,
  prototypesOf,
} from '../../../envs/federated/spaces.js';
import { checkAgent, checkEnv } from '../../../testing/index.js';
import { leastOptions, tiny, tinyOptions } from './tiny.js';

beforeAll(async () => void (await useBackend()));

/** FedAvg by hand. */
const averaged = (observation: FederatedObservation): FederatedDecision => ({
  clientWeights: observation.numExamples.data,
});

/** A digest of all numbers: comparing them one by one takes long. */
function bits(observation: FederatedObservation): string {
  const hash = createHash('sha256');
  for (const [key, { data, shape }] of Object.entries(observation))
    hash.update(`${key} ${shape}`).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return hash.digest('hex');
}

interface Moment {
  readonly observation: FederatedObservation;
  readonly reward: number;
  readonly info: Record<string, unknown>;
}

/** An episode by a rule: its first moment is that after the reset. */
async function played(
  env: FederatedPrototypes,
  decide: (observation: FederatedObservation, step: number) => FederatedDecision = averaged,
  seed = 1,
): Promise<Moment[]> {
  const { observation, info } = await env.reset({ seed });
  const moments: Moment[] = [{ observation, reward: 0, info }];
  for (let step = 0, terminated = false; !terminated; step++) {
    const { observation } = moments.at(-1)!;
    const result = await env.step(federatedAction(observation, decide(observation, step)));
    moments.push(result);
    terminated = result.terminated;
  }
  return moments;
}

async function refused(env: FederatedPrototypes, change: Readonly<Record<string, unknown>>) {
  const { observation } = await env.reset({ seed: 1 });
  return env.step({ ...federatedAction(observation, {}), ...change } as FederatedAction);
}

describe('FederatedPrototypes', () => {
  it('keeps the contract', async () => {
    const findings = await checkEnv(() => tiny({ ...leastOptions, failureRate: 0.2, showParameters: false }), {
      steps: 4,
      maxSteps: 4,
    });
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
  });

  it('has a step more than rounds, and pays the change of the mean accuracy less that of the spread', async () => {
    const moments = await played(tiny({ spreadPenalty: 0.5 }));
    expect(moments.length).toBe(1 + 4);
    const score = ({ info }: Moment) => (info.meanAccuracy as number) - 0.5 * (info.spread as number);
    moments.slice(1, -1).forEach((moment, i) => {
      expect(moment.reward).toBeCloseTo(score(moment) - score(moments[i]!), 10);
    });
    const lastThree = moments.slice(-3).map(({ info }) => info.meanAccuracy as number);
    const bonus = lastThree.reduce((a, b) => a + b, 0) / 3;
    expect(moments.at(-1)!.reward).toBeCloseTo(score(moments.at(-1)!) - score(moments.at(-2)!) + bonus, 10);
    expect(moments.map(({ observation }) => observation.round.data[0])).toEqual(
      [0, 1 / 3, 2 / 3, 1, 1].map(Math.fround),
    );
  });

  it('learns, and shows what clients have learned', async () => {
    const moments = await played(tiny({ rounds: 10, localEpochs: 6 }));
    expect(moments.at(-1)!.info.meanAccuracy as number).toBeGreaterThan(0.8);
    const { observation } = moments[3]!;
    expect([...observation.status.data]).toEqual([1, 1, 1, 1]);
    expect([...observation.numExamples.data]).toEqual([12, 12, 6, 6]);
    expect(prototypesOf(observation, 0).length).toBe(4);
    const update = parametersOf(observation, 2).map((value, i) => value - observation.globalParameters.data[i]!);
    expect(observation.updateNorm.data[2]).toBeCloseTo(Math.hypot(...update), 4);
    expect(observation.updateCosine.data[0]).toBeCloseTo(1, 5);
    expect(observation.updateCosine.data[1]).toBe(observation.updateCosine.data[4]);
  });

  it('makes the mean of the clients, by weights that are divided by their sum over those that have answered', async () => {
    const env = tiny();
    const { observation } = (await played(env))[1]!;
    await env.reset({ seed: 1 });
    const first = await env.step(federatedAction(observation, {}));
    const next = await env.step(federatedAction(first.observation, { clientWeights: [3, 1, 0, 0] }));
    const [a, b] = [parametersOf(first.observation, 0), parametersOf(first.observation, 1)];
    next.observation.globalParameters.data.forEach((value, i) => {
      expect(value).toBeCloseTo(0.75 * a[i]! + 0.25 * b[i]!, 6);
    });
    expect([...next.observation.lastWeights.data]).toEqual([0.75, 0.25, 0, 0]);
    const kept = await env.step(federatedAction(next.observation, { clientWeights: [0, 0, 0, 0] }));
    expect(kept.observation.globalParameters.data).toEqual(next.observation.globalParameters.data);
  });

  it('gives the same bits for the same seed, others for another one, and the same after a restore', async () => {
    const [first, second] = [await played(tiny()), await played(tiny())];
    const digests = first.map(({ observation }) => bits(observation));
    expect(second.map(({ observation }) => bits(observation))).toEqual(digests);
    expect(second.map(({ info }) => info)).toEqual(first.map(({ info }) => info));
    expect(digests).not.toContain(bits((await played(tiny(), averaged, 2))[4]!.observation));
    const env = tiny();
    await env.reset({ seed: 1 });
    for (const { observation } of first.slice(0, 2))
      await env.step(federatedAction(observation, averaged(observation)));
    const other = tiny();
    const { observation } = other.restore(env.snapshot());
    expect(bits(observation)).toBe(digests[2]);
    const third = await other.step(federatedAction(observation, averaged(observation)));
    expect(bits(third.observation)).toBe(digests[3]);
    expect(third.info).toEqual(first[3]!.info);
  });

  it('holds no tensors but its networks', async () => {
    const before = tf.memory().numTensors;
    const env = tiny({ rounds: 1 });
    const everything = { local: { contrastive: 1, consistency: 1, proximal: 0.1, modelContrastive: 1, dynamic: 0.1 } };
    const rule = (observation: FederatedObservation) => ({
      ...averaged(observation),
      ...everything,
      clusters: [[new Float32Array(6).fill(1)], [], []],
      unbiased: [new Float32Array(6), undefined, undefined],
    });
    await played(env, rule);
    const during = tf.memory().numTensors;
    await played(env, rule, 2);
    expect(tf.memory().numTensors).toBe(during);
    env.close();
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('clients that are not there', () => {
  it('change nothing for the others', async () => {
    const all = await played(tiny({ rounds: 1 }));
    const some = await played(tiny({ rounds: 1 }), (o) => ({ ...averaged(o), nextClients: [1, 0, 1, 0] }));
    expect([...some[1]!.observation.status.data]).toEqual([1, 0, 1, 0]);
    for (const m of [0, 2]) expect(parametersOf(some[1]!.observation, m)).toEqual(parametersOf(all[1]!.observation, m));
    expect(Math.max(...parametersOf(some[1]!.observation, 1).map(Math.abs))).toBe(0);
    expect(some[1]!.observation.latency.data[1]).toBe(0);
  });

  it('fail as often as they are told to, or when they are late, and are left out', async () => {
    const failing = await played(tiny({ rounds: 40, localEpochs: 1, failureRate: 0.25 }));
    const counts = [0, 0, 0];
    for (const { observation } of failing.slice(1, -1)) for (const s of observation.status.data) counts[s]!++;
    expect(counts[clientStatus.failed]! / 160).toBeGreaterThan(0.15);
    expect(counts[clientStatus.failed]! / 160).toBeLessThan(0.35);
    // 12 examples × 2 epochs × .01 s are about .24 s, of 6 examples half as much.
    const late = (await played(tiny({ deadline: 0.2, rounds: 6 }))).slice(1, -1);
    for (const { observation } of late)
      expect(Math.max(...observation.latency.data)).toBeLessThanOrEqual(Math.fround(0.2));
    const failures = (m: number) => late.filter(({ observation }) => observation.status.data[m] === 2).length;
    expect(failures(0) + failures(1)).toBeGreaterThan(failures(2) + failures(3));
  });

  it('join on the virtual clock, which goes on to them where nobody else is there', async () => {
    const clients = [
      { domain: 'dark', clients: 1, samples: 6, joinsAt: 5 },
      { domain: 'light', clients: 1, samples: 6, joinsAt: 5.1 },
    ];
    const moments = await played(tiny({ clients, rounds: 4 }));
    expect(moments.map(({ observation }) => [...observation.available.data])).toEqual(
      [
        [0, 0],
        [1, 0],
        [1, 1],
        [1, 1],
        [1, 1],
      ].concat([[1, 1]]),
    );
    expect(moments[1]!.info.time).toBe(5);
    expect(answered(moments[1]!.observation)).toEqual([]);
    expect(answered(moments[2]!.observation)).toEqual([0]);
  });

  it('never poison the model with numbers that are none', async () => {
    const clients = [
      ...(tinyOptions.clients as []),
      { domain: 'dark', clients: 1, samples: 6, attack: 'nan' as const },
    ];
    const moments = await played(tiny({ clients }), () => ({ clientWeights: [1, 1, 1, 1, 1] }));
    expect([...moments[1]!.observation.status.data]).toEqual([1, 1, 1, 1, 2]);
    for (const { observation } of moments) expect(observation.globalParameters.data.every(Number.isFinite)).toBe(true);
  });

  it('may be a single one, and a class may be nowhere', async () => {
    const [moment] = (await played(tiny({ clients: [{ domain: 'dark', clients: 1, samples: 2 }] }))).slice(-2);
    expect(prototypesOf(moment!.observation, 0).length + prototypesOf(moment!.observation, 1).length).toBeLessThan(3);
    expect(moment!.observation.globalParameters.data.every(Number.isFinite)).toBe(true);
  });
});

describe('attacks', () => {
  it.each(['sign-flip', 'noise', 'label-flip'] as const)('%s changes what that client sends alone', async (attack) => {
    const honest = { domain: 'dark', clients: 1, samples: 12 };
    const group = [honest, { ...honest, attack }];
    const [lying, plain] = [await played(tiny({ clients: group })), await played(tiny({ clients: [honest, honest] }))];
    const [a, b] = [lying[1]!.observation, plain[1]!.observation];
    expect(parametersOf(a, 0)).toEqual(parametersOf(b, 0));
    expect(parametersOf(a, 1)).not.toEqual(parametersOf(b, 1));
    if (attack === 'sign-flip') expect(a.updateNorm.data[1]! / b.updateNorm.data[1]!).toBeCloseTo(4, 3);
    if (attack === 'noise') expect(a.updateNorm.data[1]! / b.updateNorm.data[1]!).toBeCloseTo(1, 1);
  });
});

describe('actions', () => {
  it.each([
    [{ aggregation: [0, { data: Float32Array.of(-1, 0, 0, 0), shape: [4] }] }, /`aggregation` of the action/],
    [{ aggregation: [0, { data: Float32Array.of(Number.NaN, 0, 0, 0), shape: [4] }] }, /`aggregation` of the action/],
    [{ nextClients: { data: Int8Array.of(1, 1), shape: [2] } }, /`nextClients` of the action must be of 'MultiBinary/],
    [{ local: { data: new Float32Array(10).fill(99), shape: [10] } }, /`local` of the action/],
    [
      { unbiasedPrototypes: { data: new Float32Array(18).fill(Number.POSITIVE_INFINITY), shape: [3, 6] } },
      /not finite/,
    ],
    [{ more: 1 }, /an action has the parts/],
  ])('%o is refused by name', async (change, message) => {
    await expect(refused(tiny(), change)).rejects.toThrow(message as RegExp);
  });

  it('is refused out of order', async () => {
    const env = tiny();
    await expect(env.step({} as FederatedAction)).rejects.toThrow(/no episode has begun; call reset first/);
    env.close();
    await expect(env.reset()).rejects.toThrow(/the environment is closed/);
  });

  it('keeps the model where one that is sent is not finite', async () => {
    const env = tiny();
    const { observation } = await env.reset({ seed: 1 });
    const { data } = observation.globalParameters;
    const sent = await env.step(federatedAction(observation, { parameters: data.map(() => Number.POSITIVE_INFINITY) }));
    expect(sent.info.refused).toBe(true);
    expect(Buffer.compare(Buffer.from(sent.observation.globalParameters.data.buffer), Buffer.from(data.buffer))).toBe(
      0,
    );
  });
});

describe('what strategies ask of clients', () => {
  /** How far the clients go from the model that they were sent, in the second round. */
  const moved = async (local: FederatedDecision['local']) => {
    const moments = await played(tiny({ rounds: 2 }), (o) => ({ ...averaged(o), local }));
    return moments[2]!.observation.updateNorm.data.reduce((a, b) => a + b, 0);
  };

  it('a proximal term keeps them near, and a learning rate of 0 where they are', async () => {
    const [free, near] = [await moved({}), await moved({ proximal: 10 })];
    expect(near).toBeLessThan(0.9 * free);
    expect(await moved({ learningRate: 0 })).toBe(0);
    expect(await moved({ epochs: 3 })).toBeGreaterThan(free);
  });

  it("FedDyn's correction is kept from round to round: by a small step it is −α times the clients' own way", async () => {
    // With a tiny learning rate, no momentum, and no cross-entropy from the second round on, a client follows h alone.
    const env = tiny({
      momentum: 0,
      weightDecay: 0,
      learningRate: 1e-3,
      maxGradNorm: 1e9,
      localEpochs: 1,
      batchSize: 12,
      rounds: 2,
    });
    const moments = await played(env, (o, step) => ({
      parameters: o.globalParameters.data,
      local: step === 0 ? { dynamic: 10 } : { crossEntropy: 0, dynamic: 10 },
    }));
    const way = (o: FederatedObservation) => parametersOf(o, 0).map((v, i) => v - o.globalParameters.data[i]!);
    const [first, second] = [way(moments[1]!.observation), way(moments[2]!.observation)];
    // h = −α d₁; the gradient of −⟨h, θ⟩ is −h, so that d₂ = lr · h = −lr α d₁.
    first.forEach((d, i) => {
      expect(second[i]).toBeCloseTo(-1e-3 * 10 * d, 6);
    });
  });

  it('MOON has a previous model from the second round on', async () => {
    const rule = (modelContrastive: number) => (o: FederatedObservation) => ({
      ...averaged(o),
      local: { modelContrastive },
    });
    const [without, with_] = [await played(tiny(), rule(0)), await played(tiny(), rule(5))];
    // log 2 at first: both models are the same one, and its gradient is 0.
    const first = (moments: Moment[]) => moments[1]!.observation;
    expect(first(with_).trainLoss.data[0]! - first(without).trainLoss.data[0]!).toBeCloseTo(5 * Math.log(2), 3);
    expect(parametersOf(with_[2]!.observation, 0)).not.toEqual(parametersOf(without[2]!.observation, 0));
  });
});

describe('strategies on it', () => {
  const names = 'fpl fedproto fedavg fedprox moon fedproc feddyn fedopt krum trimmed-mean median'.split(' ');
  it.each(names)('%s keeps the contract of agents', async (name) => {
    const make = (env: unknown) => makeAgent(name, { env: env as never, random: new Random(0) });
    const findings = await checkAgent(make, () => tiny(leastOptions));
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
  });
});

describe('worker threads', () => {
  const everything = { local: { contrastive: 1, consistency: 1, modelContrastive: 1, dynamic: 0.1, proximal: 0.1 } };
  const rule = (observation: FederatedObservation) => ({
    ...averaged(observation),
    ...everything,
    clusters: [[new Float32Array(6).fill(1)], [], []],
    unbiased: [new Float32Array(6).fill(1), undefined, undefined],
  });

  it('give the same bits as training in sequence, however many they are', async () => {
    const digests = async (workers: number) => {
      const env = tiny({ workers, batchNorm: true });
      const moments = await played(env, rule);
      env.close();
      return moments.map(({ observation, info }) => [bits(observation), info.meanAccuracy]);
    };
    const alone = await digests(0);
    expect(await digests(1)).toEqual(alone);
    expect(await digests(3)).toEqual(alone);
  });
});

describe('other networks and allocations', () => {
  it('trains a ResNet-10', async () => {
    const env = tiny({ network: 'resnet-10', features: 8, rounds: 2 });
    const moments = await played(env);
    expect(moments[1]!.observation.prototypes.shape).toEqual([4, 3, 8]);
    expect(moments[2]!.observation.globalParameters.data).not.toEqual(moments[1]!.observation.globalParameters.data);
    env.close();
  });

  it('deals out shares of a domain', async () => {
    const clients = [
      { domain: 'dark', clients: 2, share: 0.25 },
      { domain: 'light', clients: 1, samples: 6 },
    ];
    const moments = await played(tiny({ clients, rounds: 1 }));
    // A quarter of 60.
    expect([...moments[1]!.observation.numExamples.data]).toEqual([15, 15, 6]);
  });
});
