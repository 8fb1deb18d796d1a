import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Rollout, RolloutStep } from '../../agents/agent.js';
import { type NetworkOptions, NetworkPolicy } from '../../agents/policies/network-policy.js';
import type { PolicyGradient } from '../../agents/policy-gradient.js';
import { makeAgent } from '../../agents/registry.js';
import { useBackend } from '../../backend/index.js';
import type { NdArray } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import { Box } from '../../envs/spaces/box.js';
import { Discrete } from '../../envs/spaces/discrete.js';
import type { Space } from '../../envs/spaces/space.js';
import { gradientAgent } from './gradient-agent.js';

beforeAll(async () => {
  await useBackend();
});

type Vector = NdArray<Float32Array>;

const observationSpace = new Box(-1, 1, [2]);
const vector = (...data: number[]): Vector => ({ data: Float32Array.from(data), shape: [data.length] });

/** One-step episodes in `n` environments: `reward(observation, action)`. */
async function oneStep<A>(
  agent: PolicyGradient<Vector, A>,
  random: Random,
  n: number,
  reward: (observation: Vector, action: A) => number,
): Promise<Rollout<Vector, A>> {
  const observations = Array.from({ length: n }, () => vector(random.next() < 0.5 ? -1 : 1, 0.5));
  const { actions, extras } = await agent.act(observations);
  const step: RolloutStep<Vector, A> = {
    observations,
    actions,
    rewards: Float64Array.from(observations, (o, i) => reward(o, actions[i]!)),
    terminated: new Uint8Array(n).fill(1),
    truncated: new Uint8Array(n),
    starts: new Uint8Array(n).fill(1),
    valid: new Uint8Array(n).fill(1),
    infos: observations.map(() => ({})),
    finalObservations: observations,
    extras: extras!,
  };
  return { steps: [step], lastObservations: observations };
}

const seed = (name: string) => new Random(1).child(name);

function network<A>(actionSpace: Space<A>, options: NetworkOptions, random: Random): NetworkPolicy<Vector, A> {
  return new NetworkPolicy({ observationSpace, actionSpace }, options, random);
}

type Options = Parameters<typeof gradientAgent>[2];

function categorical(name: string, options: Options) {
  const policy = network(new Discrete(2, 3), { hidden: [16] }, seed('policy'));
  return gradientAgent(name, policy, { weightDecay: 0, ...options }, seed('agent'));
}

/** The better action depends on the observation, and starts at 3. */
const contextual = (o: Vector, action: number) => (action === (o.data[0]! > 0 ? 4 : 3) ? 1 : 0);

describe.each(['reinforce', 'ppo'])('%s', (name) => {
  it('learns which action suits which observation, with flat memory', async () => {
    const agent = await categorical(name, { learningRate: 0.01, ...(name === 'ppo' && { clipRange: 0.2 }) });
    const random = seed('env');
    let tensors = 0;
    for (let epoch = 0; epoch < 40; epoch++) {
      await agent.learn(await oneStep(agent, random, 64, contextual));
      if (epoch === 1) tensors = tf.memory().numTensors;
    }
    expect(tf.memory().numTensors).toBe(tensors);
    const test = await oneStep(agent, random, 256, contextual);
    const mean = test.steps[0]!.rewards.reduce((a, b) => a + b) / 256;
    expect(mean).toBeGreaterThan(0.95);
    const greedy = await agent.act([vector(1, 0.5), vector(-1, 0.5)], { explore: false });
    expect(greedy.actions).toEqual([4, 3]);
    agent.dispose();
  });
});

describe('a Gaussian policy with a critic', () => {
  it('learns a continuous target by PPO and GAE', async () => {
    const actionSpace = new Box(-2, 2, [1]);
    const policy = network(actionSpace, { hidden: [32] }, seed('gaussian'));
    const agent = await gradientAgent(
      'ppo',
      policy,
      { collect: { steps: 1 }, advantage: 'gae', learningRate: 0.005, clipRange: 0.2, innerEpochs: 4 },
      seed('agent'),
    );
    const random = seed('env');
    const reward = (o: Vector, a: Vector) => -((a.data[0]! - o.data[0]!) ** 2);
    for (let epoch = 0; epoch < 80; epoch++) await agent.learn(await oneStep(agent, random, 64, reward));
    const { actions } = await agent.act([vector(1, 0.5), vector(-1, 0.5)], { explore: false });
    expect(Math.abs(actions[0]!.data[0]! - 1)).toBeLessThan(0.15);
    expect(Math.abs(actions[1]!.data[0]! + 1)).toBeLessThan(0.15);
    agent.dispose();
  });
});

describe('the checks of a first update', () => {
  it('find ratio 1 and equal gradients of the two surrogates', async () => {
    const agent = await categorical('ppo', { clipRange: 0.2 });
    const metrics = await agent.learn(await oneStep(agent, seed('env'), 64, contextual));
    expect(metrics['check/ratioError']).toBeLessThan(1e-5);
    expect(metrics['check/gradientError']).toBeLessThan(1e-4);
    agent.dispose();
  });

  it('say so when the rollout was sampled by other weights', async () => {
    const warnings: string[] = [];
    const agent = await categorical('ppo', { clipRange: 0.2, warn: (m) => warnings.push(m) });
    const rollout = await oneStep(agent, seed('env'), 64, contextual);
    const logProb = rollout.steps[0]!.extras.logProb as Float32Array;
    logProb.forEach((l, i) => {
      logProb[i] = l + 0.01 * i;
    });
    await agent.learn(rollout);
    expect(warnings.join()).toMatch(/sampling and scoring disagree/);
    agent.dispose();
  });

  it('warn of rewards without variance, once, and change nothing', async () => {
    const warnings: string[] = [];
    const agent = await categorical('ppo', { warn: (m) => warnings.push(m) });
    const before = [...(await [...agent.policy.parameters.values()][0]!.data())];
    for (let i = 0; i < 2; i++) await agent.learn(await oneStep(agent, seed('env'), 8, () => 1));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/all equal.*Check the reward/);
    expect([...(await [...agent.policy.parameters.values()][0]!.data())]).toEqual(before);
    agent.dispose();
  });

  it('take equal rewards for equal, whatever the mean of them is rounded to', async () => {
    // numpy: np.mean([40.7] * 30) is 40.70000000000001
    const agent = await categorical('reinforce', { warn: () => {} });
    const metrics = await agent.learn(await oneStep(agent, seed('env'), 30, () => 40.7));
    expect(metrics).toMatchObject({ updates: 0, 'train/transitions': 0 });
    agent.dispose();
  });

  it('warn when nearly all ratios are outside the clip range', async () => {
    const warnings: string[] = [];
    const agent = await categorical('ppo', {
      learningRate: 0.5,
      clipRange: 1e-6,
      innerEpochs: 8,
      warn: (m) => warnings.push(m),
    });
    const metrics = await agent.learn(await oneStep(agent, seed('env'), 64, contextual));
    expect(metrics['train/clipFraction']).toBeGreaterThan(0.9);
    expect(warnings.join()).toMatch(/outside the clip range.*learning rate/);
    agent.dispose();
  });

  it('skip an update whose gradient is not finite', async () => {
    const warnings: string[] = [];
    const agent = await categorical('reinforce', { warn: (m) => warnings.push(m) });
    const rollout = await oneStep(agent, seed('env'), 8, contextual);
    (rollout.steps[0]!.observations[0]!.data as Float32Array)[0] = Number.NaN;
    const metrics = await agent.learn(rollout);
    expect(metrics['train/skippedUpdates']).toBe(1);
    expect(warnings.join()).toMatch(/not finite.*weights are as before/);
    for (const variable of agent.policy.parameters.values())
      expect((await variable.data()).every(Number.isFinite)).toBe(true);
    agent.dispose();
  });

  it('refuse a reward that is not finite', async () => {
    const agent = await categorical('ppo', {});
    const rollout = await oneStep(agent, seed('env'), 8, () => Number.NaN);
    await expect(agent.learn(rollout)).rejects.toThrow(/reward of environment 0 .* is NaN/);
    agent.dispose();
  });
});

it('micro-batches change nothing but rounding', async () => {
  const weights: number[][] = [];
  for (const microBatch of [64, 7]) {
    const agent = await categorical('ppo', { microBatch, clipRange: 0.2, learningRate: 0.01 });
    const random = seed('env');
    for (let i = 0; i < 3; i++) await agent.learn(await oneStep(agent, random, 64, contextual));
    weights.push([...(await [...agent.policy.parameters.values()][0]!.data())]);
    agent.dispose();
  }
  weights[0]!.forEach((w, i) => {
    expect(weights[1]![i]).toBeCloseTo(w, 4);
  });
});

it('a restored agent goes on bit for bit', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'agent-'));
  try {
    const options = { advantage: 'per-prompt' as const, learningRate: { from: 0.01, to: 0 }, timestepFraction: 0.5 };
    const one = await categorical('ppo', options);
    await one.learn(await oneStep(one, seed('env'), 32, contextual));
    await one.save(folder);
    const two = await categorical('ppo', options);
    await two.restore(folder);
    const results = [];
    for (const agent of [one, two]) {
      agent.setProgress(0.5);
      const rollout = await oneStep(agent, seed('more'), 32, contextual);
      results.push([await agent.learn(rollout), ...(await [...agent.policy.parameters.values()][0]!.data())]);
    }
    expect(results[1]).toEqual(results[0]);
    one.dispose();
    two.dispose();
  } finally {
    await rm(folder, { recursive: true });
  }
});

describe('options', () => {
  const policy = (options = {}) => network(new Discrete(2), options, seed('p'));
  it.each([
    [{ learningRate: -1 }, /makeAgent ppo: agent.learningRate: must be at least 0, actual value -1/],
    [{ learningRate: Number.NaN }, /agent.learningRate: must be/],
    [{ clipRange: 0 }, /agent.clipRange: must be .*actual value 0/],
    [{ minibatches: 0 }, /agent.minibatches: must be at least 1, actual value 0/],
    [{ timestepFraction: 1.5 }, /agent.timestepFraction: must be at most 1, actual value 1.5/],
    [{ collect: { episodes: 0 } }, /agent.collect/],
    [{ clipRnge: 0.1 }, /agent.clipRnge: no such option of the agent `ppo`. Did you mean `clipRange`\?/],
    [{ klCoefficient: -1 }, /agent.klCoefficient: must be at least 0/],
  ])('%j is an error', async (options, message) => {
    await expect(gradientAgent('ppo', policy(), options, seed('a'))).rejects.toThrow(message);
  });

  it('an option of another agent is an error', async () => {
    await expect(gradientAgent('reinforce', policy(), { clipRange: 0.1 }, seed('a'))).rejects.toThrow(
      /makeAgent reinforce: agent.clipRange: no such option/,
    );
  });

  it('an unknown agent gets the nearest name', async () => {
    await expect(makeAgent('pppo', { policy: policy(), random: seed('a') })).rejects.toThrow(/Did you mean `ppo`/);
  });

  it('an entropy bonus is refused where the entropy cannot be changed', async () => {
    const fixed = policy({ engine: 'tensors' });
    const evaluate = fixed.evaluate.bind(fixed);
    fixed.evaluate = (prepared, rows) => ({ logProb: evaluate(prepared, rows).logProb });
    const agent = await gradientAgent('ppo', fixed, { entropyCoefficient: 0.1 }, seed('a'));
    await expect(agent.learn(await oneStep(agent, seed('env'), 8, (_, a) => a))).rejects.toThrow(
      /ppo.entropyCoefficient: .*use 0, actual value 0.1/,
    );
  });

  it('REINFORCE makes exactly one update', async () => {
    const agent = await gradientAgent('reinforce', policy(), { microBatch: 4 }, seed('a'));
    const metrics = await agent.learn(await oneStep(agent, seed('env'), 16, (_, a) => a));
    expect(metrics.updates).toBe(1);
    agent.dispose();
  });
});

describe('stopping', () => {
  it('ends learning after the present micro-batch and leaves no tensors', async () => {
    const agent = await categorical('ppo', { microBatch: 1, innerEpochs: 50 });
    const rollout = await oneStep(agent, seed('env'), 64, contextual);
    const before = tf.memory().numTensors;
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 60);
    await expect(agent.learn(rollout, { signal: abort.signal })).rejects.toThrow(/abort/i);
    expect(tf.memory().numTensors).toBe(before);
    agent.dispose();
  });

  it('saves the agent as it last learned, whatever it has drawn since', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'agent-'));
    try {
      const one = await categorical('ppo', {});
      await one.learn(await oneStep(one, seed('env'), 32, contextual));
      await one.act([vector(1, 0.5)]);
      await one.save(folder);
      const two = await categorical('ppo', {});
      await two.restore(folder);
      await two.act([vector(1, 0.5)]);
      const actions = async (agent: typeof one) => (await agent.act(Array(50).fill(vector(-1, 0.5)))).actions;
      expect(await actions(two)).toEqual(await actions(one));
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

it('a policy of one action has nothing to choose, and learns', async () => {
  const policy = network(new Discrete(1), { hidden: [4] }, seed('p'));
  const agent = await gradientAgent('ppo', policy, { entropyCoefficient: 0.01 }, seed('a'));
  const metrics = await agent.learn(await oneStep(agent, seed('env'), 16, (o) => o.data[0]!));
  expect(metrics['train/policyLoss']).toBeCloseTo(0, 5);
  expect(metrics['train/entropy']).toBeCloseTo(0, 6);
  agent.dispose();
});

describe('the KL to the reference', () => {
  it('is the closed form of two softmaxes, and is logged', async () => {
    const policy = network(new Discrete(3), { hidden: [8] }, seed('p'));
    const agent = await gradientAgent('ppo', policy, { klCoefficient: 0.5, learningRate: 0.05 }, seed('a'));
    const rollout = await oneStep(agent, seed('env'), 32, (_, a) => a);
    const first = await agent.learn(rollout);
    expect(first['train/kl']).toBeGreaterThanOrEqual(0);
    const second = await agent.learn(await oneStep(agent, seed('more'), 32, (_, a) => a));
    expect(second['train/kl']).toBeGreaterThan(first['train/kl']!);
    const observations = [0, 1, 2].map(() => vector(1, 0.5));
    const logProbs = async (of: typeof policy) => {
      const prepared = of.prepare(observations, [0, 1, 2], {});
      const { logProb } = of.evaluate(prepared, Int32Array.of(0, 1, 2));
      return [...(await logProb.data())];
    };
    // The same seed makes the same weights: what the reference was.
    const begun = network(new Discrete(3), { hidden: [8] }, seed('p'));
    const [now, then] = [await logProbs(policy), await logProbs(begun)];
    const prepared = policy.prepare(observations, [0, 1, 2], {});
    const expected = now.reduce((sum, l, i) => sum + Math.exp(l) * (l - then[i]!), 0);
    const { kl } = policy.evaluate(prepared, Int32Array.of(0), { reference: true });
    expect((await kl!.data())[0]).toBeCloseTo(expected, 5);
    agent.dispose();
    begun.dispose();
  });

  it('is the closed form of two Gaussians', async () => {
    const policy = network(new Box(-2, 2, [2]), { hidden: [4] }, seed('g'));
    policy.keepReference();
    const logStd = policy.parameters.get('logStd')!;
    logStd.assign(tf.tensor1d([0.3, -0.2]));
    const kernel = policy.parameters.get('actor.1.bias')!;
    kernel.assign(tf.tensor1d([0.5, -1]));
    const prepared = policy.prepare([vector(1, 0.5)], [vector(0, 0)], {});
    const { kl } = policy.evaluate(prepared, Int32Array.of(0), { reference: true });
    // torch.distributions.kl_divergence(Normal(m, exp(s)), Normal(0, 1)) = -s + (exp(2 s) + m²) / 2 - 1/2, summed
    const one = (s: number, m: number) => -s + (Math.exp(2 * s) + m * m) / 2 - 0.5;
    expect((await kl!.data())[0]).toBeCloseTo(one(0.3, 0.5) + one(-0.2, -1), 4);
    expect(() =>
      network(new Box(-2, 2, [2]), {}, seed('h')).evaluate(prepared, Int32Array.of(0), {
        reference: true,
      }),
    ).toThrow(/keepReference/);
    policy.dispose();
  });
});
