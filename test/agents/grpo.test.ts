import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  type AgentDefinition,
  DenoisingPolicy,
  type GroupStd,
  grpo,
  makeAgent,
  networkPolicy,
  type PolicyGradient,
  windowAt,
} from '../../agents/index.js';
import { useBackend } from '../../backend/index.js';
import { type NdArray, sizeOf } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import type { RewardBatch } from '../../core/reward.js';
import { DDIMScheduler } from '../../diffusion/index.js';
import { Denoising } from '../../envs/denoising/index.js';
import { CartPole, Groups } from '../../envs/index.js';
import { assertAgent } from '../../testing/index.js';
import { collectRollout } from '../../testing/rollout.js';
import { PerPixel } from './per-pixel.js';

beforeAll(async () => {
  await useBackend();
});

const seed = (name: string) => new Random(1).child(name);

/** Red in the prompt's direction: one number a picture. */
const redness = ({ images, prompts }: RewardBatch) => {
  const size = images.data.length / prompts.length;
  return prompts.map((prompt, i) => {
    let sum = 0;
    for (let k = 0; k < size; k += 3) sum += images.data[i * size + k]! / 255;
    return ((prompt === 'more' ? 3 : -3) * sum) / size;
  });
};

function scheduler() {
  const sampler = DDIMScheduler.fromConfig({ timestep_spacing: 'trailing', clip_sample: false });
  sampler.setTimesteps(4);
  return sampler;
}

/** Denoising of 4×4 pictures in groups of 4, and a policy of 24 weights for it. */
function denoising(options: { sharedNoise?: boolean; numEnvs?: number } = {}) {
  const sampler = scheduler();
  const env = new Denoising({
    ...{ timesteps: sampler.timesteps, latentShape: [4, 4, 3], prompts: ['more', 'less'], reward: redness },
    ...{ numEnvs: 16, groupSize: 4, seed: 5 },
    ...options,
  });
  return env;
}

const policy = () => new DenoisingPolicy({ unet: new PerPixel(seed('p')), sampler: scheduler() });

async function agentOn(options: Record<string, unknown>, own = policy()) {
  const agent = await makeAgent('grpo', {
    policy: own,
    options: { collect: { episodes: 16 }, groupSize: 4, learningRate: 0.01, ...options },
    random: seed('a'),
  });
  return agent as PolicyGradient<never, NdArray>;
}

describe('grpo', () => {
  it.each(['clip', 'guard', 'divergence'])('learns on denoising steps with the surrogate %s', async (surrogate) => {
    const env = denoising();
    const agent = await agentOn({ surrogate, divergenceThreshold: 1e-3, clipRange: 0.05, innerEpochs: 2 });
    const means: number[] = [];
    let tensors = 0;
    for (let epoch = 0; epoch < 25; epoch++) {
      const rollout = await collectRollout(agent, env as never, 5 + epoch);
      const returns = rollout.steps.at(-1)!.rewards;
      means.push(returns.reduce((a, b) => a + b) / returns.length);
      const metrics = await agent.learn(rollout);
      if (epoch === 0) expect(metrics['check/ratioError']).toBeLessThan(1e-5);
      expect(metrics['train/clipFraction']).toBeGreaterThanOrEqual(0);
      if (epoch === 1) tensors = tf.memory().numTensors;
    }
    expect(tf.memory().numTensors).toBe(tensors);
    const average = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
    expect(average(means.slice(-5)) - average(means.slice(0, 5))).toBeGreaterThan(0.03);
    agent.dispose();
  });

  // Central differences of the loss, which `lossAndGradients` gives with the weights as they are.
  it.each([
    ['clip', {}],
    ['guard', {}],
    ['divergence', {}],
    ['divergence', { klCoefficient: 0.5, groupStd: 'batch' as GroupStd }],
  ])('has the gradient of its loss: %s, %j', async (surrogate, more) => {
    const own = policy();
    const agent = await agentOn({ surrogate, divergenceThreshold: 1e-3, clipRange: 0.5, ...more }, own);
    const rollout = await collectRollout(agent, denoising() as never, 5);
    // Away from where it was sampled, so that ratios, divergence and KL are none of them at their minimum; the mask of the
    // divergence jumps where a ratio passes 1, which no step of a difference may do.
    const variable = [...own.parameters.values()][0]!;
    const values = Float32Array.from(await variable.data(), (w, i) => w + 0.004 * ((i % 5) - 2));
    const at = async (w: Float32Array) => {
      tf.tidy(() => variable.assign(tf.tensor(w, variable.shape)));
      return await agent.lossAndGradients(rollout);
    };
    const { gradients } = await at(values);
    const gradient = gradients.get([...own.parameters.keys()][0]!)!.data;
    const scale = Math.max(...Array.from(gradient, Math.abs));
    for (const k of [0, 5, 7]) {
      const step = 1e-4;
      const moved = (by: number) => at(values.map((w, i) => (i === k ? w + by : w)));
      const difference = ((await moved(step)).loss - (await moved(-step)).loss) / (2 * step);
      expect(Math.abs(difference - gradient[k]!)).toBeLessThan(0.03 * scale);
    }
    agent.dispose();
  });

  it('leaves out groups whose returns are all equal, if it is told so', async () => {
    const counts: number[] = [];
    for (const dropZeroAdvantages of [true, false]) {
      const agent = await agentOn({ dropZeroAdvantages });
      const rollout = await collectRollout(agent, denoising() as never, 5);
      const last = rollout.steps.at(-1)!;
      last.rewards.fill(1, 4, 12);
      counts.push((await agent.learn(rollout))['train/transitions']!);
      agent.dispose();
    }
    // Of 16 samples 8; 3 of the 4 steps have σ > 0.
    expect(counts).toEqual([24, 48]);
  });

  it('passes the checks of an agent, on CartPole in groups and on denoising', async () => {
    await assertAgent(
      (env) =>
        makeAgent('grpo', {
          policy: networkPolicy(env, { hidden: [8] }, seed('p')),
          options: { collect: { episodes: 4 }, groupSize: 2, learningRate: 0.01 },
          random: seed('a'),
        }),
      () => new Groups([new CartPole(), new CartPole(), new CartPole(), new CartPole()], 2),
    );
    await assertAgent(
      () => agentOn({ collect: { episodes: 8 }, klCoefficient: 0.1 }) as never,
      () => denoising({ numEnvs: 8 }) as never,
    );
  });

  it('has no divergence and no window where there are no denoising steps', async () => {
    const make = (options: object) =>
      makeAgent(grpo as AgentDefinition<unknown, unknown>, {
        policy: networkPolicy(new CartPole(), { hidden: [4] }, seed('p')) as never,
        options: { ...options },
        random: seed('a'),
      });
    await expect(make({ surrogate: 'divergence' })).rejects.toThrow(/grpo\.surrogate: .*use clip/);
    await expect(make({ window: { size: 2, stride: 1, every: 1 } })).rejects.toThrow(/grpo\.window: .*no chains/);
    await expect(make({ rewardAggregation: 'per-term' })).rejects.toThrow(
      /grpo\.rewardAggregation: .*an expression of others/,
    );
  });

  it('compares the rewards of an expression each for itself, in groups', async () => {
    const agent = (await makeAgent('grpo', {
      policy: policy(),
      options: { collect: { episodes: 16 }, groupSize: 4, rewardAggregation: 'per-term', groupStd: 'none' },
      random: seed('a'),
      combineReward: ({ big, small }) => big! + small!,
    })) as PolicyGradient<never, NdArray>;
    const rollout = await collectRollout(agent, denoising() as never, 5);
    const losses: number[] = [];
    // The scale of one of them does not matter.
    for (const scale of [1, 1000]) {
      const infos = rollout.steps.at(-1)!.infos.map((info, i) => ({
        ...info,
        rewardTerms: { big: scale * Math.sin(i), small: Math.cos(3 * i) },
      }));
      const steps = [...rollout.steps.slice(0, -1), { ...rollout.steps.at(-1)!, infos }];
      losses.push((await agent.lossAndGradients({ ...rollout, steps })).gradients.values().next().value!.data[0]!);
    }
    expect(losses[1]).toBeCloseTo(losses[0]!, 5);
    agent.dispose();
  });
});

describe('a window of steps', () => {
  it('moves along the chain and begins again', () => {
    const window = { size: 2, stride: 1, every: 3 };
    const firsts = Array.from({ length: 13 }, (_, rollouts) => windowAt(window, rollouts, 5).first);
    expect(firsts).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 0]);
    expect(windowAt({ size: 3, stride: 4, every: 1 }, 1, 5)).toEqual({ first: 2, size: 3 });
    expect(windowAt({ size: 9, stride: 1, every: 1 }, 4, 5)).toEqual({ first: 0, size: 9 });
  });

  it('is stochastic inside and deterministic outside, is trained alone, and goes on after a restore', async () => {
    const own = policy();
    const options = { window: { size: 1, stride: 1, every: 1 }, dropZeroAdvantages: false };
    const agent = await agentOn(options, own);
    const env = denoising();
    const sampler = scheduler();
    const folder = await mkdtemp(join(tmpdir(), 'window-'));
    try {
      const windows: number[] = [];
      for (let r = 0; r < 3; r++) {
        windows.push(own.window!.first);
        const rollout = await collectRollout(agent, env as never, r);
        rollout.steps.forEach(({ actions, observations }, t) => {
          // The mean of the step with no noise: x' = c_x x + c_out output, for a network of 1×1 convolutions
          const inside = t === own.window!.first;
          const exact = own.unet as unknown as PerPixel;
          const step = sampler.coefficients(sampler.timesteps[t]!, { eta: 0 });
          const x = (observations[0] as unknown as { latents: NdArray<Float32Array> }).latents;
          const mean = tf.tidy(() => {
            const input = tf.tensor4d(x.data, [1, 4, 4, 3]);
            return sampler.mean(exact.apply(input), input, [step]).mean.dataSync();
          });
          const distance = Math.max(...Array.from(mean, (m, k) => Math.abs(m - (actions[0]!.data[k] as number))));
          if (inside) expect(distance).toBeGreaterThan(0.1);
          else expect(distance).toBeLessThan(1e-5);
        });
        expect((await agent.learn(rollout))['train/transitions']).toBe(16);
      }
      expect(windows).toEqual([0, 1, 2]);
      await agent.save(folder);
      const other = policy();
      const restored = await agentOn(options, other);
      await restored.restore(folder);
      expect(other.window).toEqual({ first: 3, size: 1 });
      agent.dispose();
      restored.dispose();
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('groups of Denoising', () => {
  it('have one prompt each, whatever the batches, and noise of their own', async () => {
    const env = denoising({ numEnvs: 6 });
    const seen: { group: number; prompt: string; latents: string; noise: number }[] = [];
    for (let batch = 0; batch < 4; batch++) {
      const { observations, infos } = env.reset({ options: { batch } });
      observations.forEach(({ prompt, latents, noiseSeed }, i) => {
        seen.push({ group: infos[i]!.group as number, prompt, latents: String(latents.data[0]), noise: noiseSeed });
      });
    }
    expect(seen.map(({ group }) => group)).toEqual(Array.from({ length: 24 }, (_, i) => Math.floor(i / 4)));
    for (let group = 0; group < 6; group++)
      expect(new Set(seen.slice(4 * group, 4 * group + 4).map(({ prompt }) => prompt)).size).toBe(1);
    expect(new Set(seen.map(({ prompt }) => prompt)).size).toBe(2);
    expect(new Set(seen.map(({ latents }) => latents)).size).toBe(24);
    expect(new Set(seen.map(({ noise }) => noise)).size).toBe(24);
  });

  it('start from the same latents if they are told to', () => {
    const { observations } = denoising({ sharedNoise: true }).reset();
    const starts = observations.map(({ latents }) => String([...latents.data]));
    expect(new Set(starts).size).toBe(4);
    expect(starts[3]).toBe(starts[0]);
    expect(sizeOf(observations[0]!.latents.shape)).toBe(48);
    expect(new Set(observations.map(({ noiseSeed }) => noiseSeed)).size).toBe(16);
  });

  it('are named at the end of the episodes too', async () => {
    const env = denoising();
    let { observations } = env.reset();
    for (let t = 0; t < env.horizon; t++) {
      const result = await env.step(observations.map(({ latents }) => latents));
      ({ observations } = result);
      if (t === env.horizon - 1) expect(result.infos.map(({ group }) => group)).toEqual(groupsOf16);
    }
  });

  it('are refused where they make no sense', () => {
    const options = {
      ...{ timesteps: [1], latentShape: [4, 4, 3] as const, prompts: ['a'], reward: redness, numEnvs: 2 },
    };
    expect(() => new Denoising({ ...options, groupSize: 0 })).toThrow(/`groupSize` must be an integer of at least 1/);
    expect(() => new Denoising({ ...options, sharedNoise: true })).toThrow(
      /`sharedNoise` must be false without groups/,
    );
  });
});

const groupsOf16 = Array.from({ length: 16 }, (_, i) => Math.floor(i / 4));
