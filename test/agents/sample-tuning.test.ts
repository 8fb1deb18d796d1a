import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { type DenoisingPolicy, makeAgent, networkPolicy, type Rollout } from '../../agents/index.js';
import type { SampleTuning } from '../../agents/sample-tuning.js';
import { useBackend } from '../../backend/index.js';
import type { NdArray } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import type { DenoisingObservation } from '../../envs/denoising/index.js';
import { CartPole } from '../../envs/index.js';
import { assertAgent } from '../../testing/index.js';
import { collectRollout } from '../../testing/rollout.js';
import { tinyDenoising, tinyPolicy } from './denoising-toys.js';

beforeAll(async () => {
  await useBackend();
});

const agents = ['rwr', 'rwr-sparse', 'sft', 'kl-d', 'kl-o'] as const;
type Name = (typeof agents)[number];
/** The options that an agent on samples shares with some others. */
const fixed = ['sft', 'kl-d', 'kl-o'];

async function agentOn(name: Name, policy: DenoisingPolicy, options: Record<string, unknown> = {}) {
  const warnings: string[] = [];
  const agent = (await makeAgent<DenoisingObservation, NdArray>(name, {
    policy,
    options: { collect: { episodes: 16 }, batch: 8, passes: 3, ...options },
    random: new Random('agent'),
    warn: (message) => warnings.push(message),
  })) as SampleTuning;
  return Object.assign(agent, { warnings });
}

type Own = Awaited<ReturnType<typeof agentOn>>;

/** Timesteps and noise for so many samples of 4×4×3 numbers. */
function noising(samples: number) {
  const random = new Random('noising');
  return {
    timesteps: Array.from({ length: samples }, () => random.integer(1000)),
    noise: random.normals(samples * 48),
  };
}

const rolloutOf = (agent: Own, numEnvs = 16, seed = 5) => collectRollout(agent, tinyDenoising({ numEnvs }), seed);

/** The same samples with rewards of one's own. */
function rewarded(rollout: Rollout<DenoisingObservation, NdArray>, reward: (i: number) => number) {
  const last = rollout.steps.at(-1)!;
  const steps = [...rollout.steps.slice(0, -1), { ...last, rewards: last.rewards.map((_, i) => reward(i)) }];
  return { ...rollout, steps };
}

const setWeights = (variable: tf.Variable, weights: Float32Array) =>
  tf.tidy(() => variable.assign(tf.tensor(weights, variable.shape)));

describe.each(agents)('%s', (name) => {
  // Central differences of the loss, which `lossAndGradients` gives with the weights as they are.
  it('has the gradient of its loss', async () => {
    const policy = tinyPolicy();
    const agent = await agentOn(name, policy);
    const rollout = rewarded(await rolloutOf(agent), (i) => 1 + Math.sin(i));
    const [parameter, variable] = [...policy.parameters][0]!;
    // Away from the reference, where the distance to it has a gradient.
    const weights = Float32Array.from(await variable.data(), (w, i) => w + 0.02 * ((i % 5) - 2));
    const samples = name === 'rwr-sparse' ? 2 : 16;
    const at = async (w: Float32Array) => {
      setWeights(variable, w);
      return await agent.lossAndGradients(rollout, noising(samples));
    };
    const gradient = (await at(weights)).gradients.get(parameter)!.data;
    const scale = Math.max(...Array.from(gradient, Math.abs));
    expect(scale).toBeGreaterThan(0);
    for (const k of [0, 5, 7]) {
      const step = 1e-2;
      const moved = (by: number) => at(weights.map((w, i) => (i === k ? w + by : w)));
      const difference = ((await moved(step)).loss - (await moved(-step)).loss) / (2 * step);
      expect(Math.abs(difference - gradient[k]!)).toBeLessThan(0.01 * scale);
    }
    agent.dispose();
  });

  it('passes the checks of an agent', async () => {
    await assertAgent(
      () => agentOn(name, tinyPolicy(), { collect: { episodes: 8 }, learningRate: 0.01 }),
      () => tinyDenoising(),
    );
  });

  it('makes its passes over the samples of a rollout, with flat memory', async () => {
    const agent = await agentOn(name, tinyPolicy());
    const rollout = rewarded(await rolloutOf(agent), (i) => 1 + Math.sin(i));
    expect(agent.needsRollout()).toBe(true);
    const first = await agent.learn(rollout);
    expect(first).toMatchObject({ envSteps: 64, rewardQueries: 16, 'train/pass': 1 });
    const tensors = tf.memory().numTensors;
    for (const pass of [2, 3]) {
      expect(agent.needsRollout()).toBe(false);
      const metrics = await agent.learn();
      expect(metrics['train/pass']).toBe(pass);
      expect(metrics).not.toHaveProperty('envSteps');
    }
    expect(tf.memory().numTensors).toBe(tensors);
    expect(agent.needsRollout()).toBe(true);
    const updatesAPass = name === 'rwr-sparse' ? 1 : 2;
    const next = await agent.learn(rollout);
    // A set that is made once is never made again: afterwards the rollouts only show what was learned.
    expect(next.updates).toBe((fixed.includes(name) ? 3 : 4) * updatesAPass);
    expect(agent.warnings).toHaveLength(fixed.includes(name) ? 1 : 0);
    if (fixed.includes(name)) expect(agent.warnings[0]).toMatch(/has made its 3 passes .*more passes/);
    agent.dispose();
  });

  it('goes on after a restore in the middle of its passes', async () => {
    const agent = await agentOn(name, tinyPolicy(), { learningRate: 0.01 });
    const rollout = rewarded(await rolloutOf(agent), (i) => 1 + Math.sin(i));
    await agent.learn(rollout);
    const folder = await mkdtemp(join(tmpdir(), 'samples-'));
    try {
      await agent.save(folder);
      const other = await agentOn(name, tinyPolicy(), { learningRate: 0.01 });
      await other.restore(folder);
      for (let more = 0; more < 3; more++) {
        const given = agent.needsRollout() ? rollout : undefined;
        expect(other.needsRollout()).toBe(given !== undefined);
        expect(await other.learn(given)).toEqual(await agent.learn(given));
      }
      const observations = rollout.steps[0]!.observations;
      const act = (one: Own) => one.act(observations, { explore: false });
      expect(await act(other)).toEqual(await act(agent));
      other.dispose();
    } finally {
      await rm(folder, { recursive: true });
    }
    agent.dispose();
  });

  it('needs a diffusion model', async () => {
    const policy = networkPolicy(new CartPole(), { hidden: [4] }, new Random(1));
    await expect(makeAgent(name, { policy, random: new Random(1) })).rejects.toThrow(/not made for small networks/);
  });
});

describe('the identities of the supervised losses', () => {
  const compare = async (one: [Name, object], other: [Name, object], move = 0.02) => {
    const results = [];
    for (const [name, options] of [one, other]) {
      const policy = tinyPolicy();
      const agent = await agentOn(name, policy, { ...options });
      const rollout = rewarded(await rolloutOf(agent), (i) => 1 + Math.sin(i));
      const [parameter, variable] = [...policy.parameters][0]!;
      setWeights(
        variable,
        Float32Array.from(await variable.data(), (w, i) => w + move * ((i % 5) - 2)),
      );
      const { loss, gradients } = await agent.lossAndGradients(rollout, noising(16));
      results.push({ loss, gradient: [...gradients.get(parameter)!.data] });
      agent.dispose();
    }
    return results as [{ loss: number; gradient: number[] }, { loss: number; gradient: number[] }];
  };

  it('with γ = 0, KL-D is reward-weighted fine-tuning', async () => {
    const [a, b] = await compare(['kl-d', { klCoefficient: 0 }], ['sft', {}]);
    expect(a).toEqual(b);
  });

  it('with α = 0, KL-D is γ times the plain denoising loss on the samples', async () => {
    // Weights of 1 on every sample: percentile 0.
    const [a, b] = await compare(
      ['kl-d', { rewardCoefficient: 0, klCoefficient: 3 }],
      ['rwr-sparse', { percentile: 0 }],
    );
    expect(a.loss).toBeCloseTo(3 * b.loss, 5);
    a.gradient.forEach((value, i) => {
      expect(value).toBeCloseTo(3 * b.gradient[i]!, 4);
    });
  });

  it('with α = 0, KL-O is 0 with no gradient at the pretrained weights', async () => {
    const options = { rewardCoefficient: 0, klCoefficient: 3 };
    const [a] = await compare(['kl-o', options], ['kl-o', options], 0);
    expect(a.loss).toBe(0);
    expect(a.gradient.every((value) => value === 0)).toBe(true);
  });
});

it('learns from the better samples: the reward of what it makes rises', async () => {
  const agent = await agentOn('rwr', tinyPolicy(), { learningRate: 0.01, passes: 5, beta: 2 });
  const means: number[] = [];
  for (let round = 0; round < 6; round++) {
    const rollout = await collectRollout(agent, tinyDenoising({ numEnvs: 64, prompts: ['more'] }), round);
    const metrics = await agent.learn(rollout);
    means.push(metrics['train/reward']!);
    expect(metrics['train/weightedReward']).toBeGreaterThan(metrics['train/reward']!);
    while (!agent.needsRollout()) await agent.learn();
  }
  expect(means.at(-1)! - means[0]!).toBeGreaterThan(0.1);
  agent.dispose();
});

it('says how many samples carry 90 % of the weight', async () => {
  const agent = await agentOn('rwr', tinyPolicy(), { beta: 1, normalizeRewards: false, collect: { episodes: 8 } });
  const rollout = await rolloutOf(agent, 8);
  // One sample has e^9 times the weight of each other; then all have the same, and 8 of 8 are needed for 0.9 · 8.
  const count = async (reward: (i: number) => number) =>
    (await agent.learn(rewarded(rollout, reward)))['train/samplesOf90'];
  expect(await count((i) => (i === 3 ? 9 : 0))).toBe(1);
  expect(await count(() => 1)).toBe(8);
  agent.dispose();
});

it('says so where weights are negative, or none is above 0', async () => {
  const kept = await agentOn('sft', tinyPolicy(), { negativeWeights: 'keep' });
  await kept.learn(rewarded(await rolloutOf(kept), (i) => Math.sin(i)));
  expect(kept.warnings.join()).toMatch(/weigh less than 0.*clamp or shift/);
  kept.dispose();
  const clamped = await agentOn('sft', tinyPolicy(), { negativeWeights: 'clamp' });
  const metrics = await clamped.learn(rewarded(await rolloutOf(clamped), () => -1));
  expect(clamped.warnings.join()).toMatch(/no sample weighs more than 0/);
  expect(metrics['train/loss']).toBe(0);
  clamped.dispose();
});
