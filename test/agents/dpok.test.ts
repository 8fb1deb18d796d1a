import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  type DenoisingNetwork,
  DenoisingPolicy,
  makeAgent,
  networkPolicy,
  type PolicyGradient,
  type Rollout,
  type RolloutStep,
} from '../../agents/index.js';
import { clampSurrogate } from '../../agents/surrogates/clamp.js';
import { useBackend } from '../../backend/index.js';
import type { NdArray } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import { DDIMScheduler } from '../../diffusion/index.js';
import type { DenoisingObservation } from '../../envs/denoising/index.js';
import { CartPole, SyncVectorEnv } from '../../envs/index.js';
import { assertAgent, checkAgent, describeFindings } from '../../testing/index.js';
import { collectRollout } from '../../testing/rollout.js';
import { tinyDenoising, tinyPolicy } from './denoising-toys.js';

beforeAll(async () => {
  await useBackend();
});

const seed = (name: string) => new Random(1).child(name);

type Own = PolicyGradient<DenoisingObservation, NdArray>;

async function dpokOn(policy: DenoisingPolicy, options: Record<string, unknown>): Promise<Own> {
  return (await makeAgent<DenoisingObservation, NdArray>('dpok', {
    policy,
    options: { collect: { episodes: 16 }, ...options },
    random: seed('a'),
    warn: () => {},
  })) as Own;
}

it('the clamped loss has no gradient outside the clip range, on whichever side', async () => {
  // DPOK's −A · clamp(ρ, 1 ± ε) in torch (float64) at ε = 1e-4
  const advantages = tf.tensor1d([7, -1, 0.5, -9]);
  const logRatio = tf.tensor1d([0.10005 - 0.1, 0.2 - 0.20005, 0.3 - 0.2995, 0.4 - 0.3998]);
  const surrogate = clampSurrogate(1e-4);
  const input = (ratio: tf.Tensor1D) => ({ logRatio: ratio, advantages }) as never;
  const losses = await (surrogate.objective(input(logRatio), 0).neg() as tf.Tensor1D).data();
  [-7.00035, 0.99995, -0.50005, 9.0009].forEach((loss, i) => {
    expect(losses[i]).toBeCloseTo(loss, 5);
  });
  const gradient = await tf
    .grad((ratio) => surrogate.objective(input(ratio as tf.Tensor1D), 0).sum() as tf.Tensor)(logRatio)
    .data();
  expect(gradient[0]).toBeCloseTo(7, 2);
  expect(gradient[1]).toBeCloseTo(-1, 3);
  expect([gradient[2], gradient[3]]).toEqual([0, 0]);
  expect([...(await (surrogate.beyond(input(logRatio), 0) as tf.Tensor1D).data())]).toEqual([0, 0, 1, 1]);
});

/** out = w · x + b on one number: every chain is Gaussian, and all its moments are known. */
function line(weight: number, bias: number): DenoisingNetwork & { set(weight: number, bias: number): void } {
  const w = tf.variable(tf.scalar(weight));
  const b = tf.variable(tf.scalar(bias));
  return {
    parameters: new Map([
      ['w', w],
      ['b', b],
    ]),
    set: (weight, bias) =>
      tf.tidy(() => {
        w.assign(tf.scalar(weight));
        b.assign(tf.scalar(bias));
      }),
    apply: (x) => x.mul(w).add(b) as tf.Tensor4D,
    save: async () => {},
    restore: async () => {},
    clone: () => line(w.dataSync()[0]!, b.dataSync()[0]!),
    dispose: () => tf.dispose([w, b]),
  };
}

describe('the KL on a one-dimensional Gaussian chain', () => {
  const [present, pretrained] = [
    [0.35, -0.1],
    [0.2, 0.15],
  ] as const;
  const horizon = 3;
  // Gauss–Hermite quadrature with three nodes, ±√3 with 1/6 each and 0 with 2/3: as six points of one weight. It is exact
  // up to degree 5 in each normal, and a log-ratio times a score is of degree 4.
  const nodes = [-Math.sqrt(3), 0, 0, 0, 0, Math.sqrt(3)];
  const trajectories = nodes.length ** (horizon + 1);

  function chain() {
    const sampler = DDIMScheduler.fromConfig({
      ...{ beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' },
      ...{ clip_sample: false, set_alpha_to_one: false, steps_offset: 1 },
    });
    sampler.setTimesteps(horizon);
    return sampler;
  }

  /** x_{t−1} = (p + q·w) x_t + q·b + σ z of each step. */
  const steps = (() => {
    const sampler = chain();
    return sampler.timesteps.map((timestep) => {
      const { mean, original, sigma } = sampler.coefficients(timestep, { eta: 1 });
      return {
        p: mean.sample + mean.original * original.sample,
        q: mean.output + mean.original * original.output,
        sigma,
      };
    });
  })();

  /**
   * Σ_t E[KL_t] in nats, in closed form: KL_t = E[((A − A')x + B − B')²] / 2σ², with x_t normal.
   * @param [w, b] of the policy that is scored. @param sampled of the policy that x_t comes from.
   */
  function trajectoryKl([w, b]: readonly [number, number], sampled: readonly [number, number]): number {
    let [mean, variance, sum] = [0, 1, 0];
    for (const { p, q, sigma } of steps) {
      const slope = q * (w - pretrained[0]);
      const shift = q * (b - pretrained[1]);
      sum += ((slope * mean + shift) ** 2 + slope ** 2 * variance) / (2 * sigma * sigma);
      const a = p + q * sampled[0];
      mean = a * mean + q * sampled[1];
      variance = a * a * variance + sigma * sigma;
    }
    return sum;
  }

  /** Its derivatives by w and b. @param moving whether the states move with the policy. */
  function gradientOf(moving: boolean): number[] {
    const h = 1e-5;
    return [0, 1].map((k) => {
      const [up, down] = [h, -h].map((by) => {
        const moved = [present[0], present[1]] as [number, number];
        moved[k]! += by;
        return trajectoryKl(moved, moving ? moved : present);
      });
      return (up! - down!) / (2 * h);
    });
  }

  async function agentGradient(klIn: 'loss' | 'reward'): Promise<number[]> {
    const network = line(...pretrained);
    const policy = new DenoisingPolicy(
      { unet: network, sampler: chain() },
      { noise: ({ noiseSeed, step }) => Float32Array.of(nodes[Math.floor(noiseSeed / 6 ** (step + 1)) % 6]!) },
    );
    const agent = await dpokOn(policy, {
      ...{ klIn, klCoefficient: 1, klCap: null, baseline: 'none', standardizeAdvantages: false },
      ...{ advantageClip: 1e9, microBatch: 4096, clipRange: 0.1 },
    });
    network.set(...present);
    const sampler = policy.sampler;
    let observations = Array.from({ length: trajectories }, (_, i): DenoisingObservation => {
      const latents = { data: Float32Array.of(nodes[i % 6]!), shape: [1, 1, 1] };
      return { latents, timestep: sampler.timesteps[0]!, step: 0, prompt: '', noiseSeed: i };
    });
    const made: RolloutStep<DenoisingObservation, NdArray>[] = [];
    for (let t = 0; t < horizon; t++) {
      const { actions, extras } = await policy.sample(observations, { explore: true });
      made.push({
        ...{ observations, actions, extras: extras!, rewards: new Float64Array(trajectories) },
        ...{ terminated: new Uint8Array(trajectories).fill(t === horizon - 1 ? 1 : 0) },
        ...{ truncated: new Uint8Array(trajectories), starts: new Uint8Array(trajectories).fill(t === 0 ? 1 : 0) },
        ...{ valid: new Uint8Array(trajectories).fill(1), infos: observations.map(() => ({})) },
        finalObservations: observations,
      });
      observations = observations.map((o, i) => ({
        ...o,
        latents: actions[i] as NdArray<Float32Array>,
        timestep: sampler.timesteps[t + 1] ?? 0,
        step: t + 1,
      }));
    }
    const rollout: Rollout<DenoisingObservation, NdArray> = { steps: made, lastObservations: observations };
    const { gradients } = await agent.lossAndGradients(rollout);
    agent.dispose();
    // The loss is a mean over the steps too.
    return ['w', 'b'].map((name) => gradients.get(name)!.data[0]! * horizon);
  }

  const close = (actual: number[], expected: number[]) => {
    const scale = Math.max(...expected.map(Math.abs));
    actual.forEach((value, k) => {
      expect(Math.abs(value - expected[k]!) / scale).toBeLessThan(1e-3);
    });
  };

  it('as a reward has the expected gradient of the KL of whole trajectories', async () => {
    close(await agentGradient('reward'), gradientOf(true));
  });

  it('as a term of the loss has that of each step with its states held fixed', async () => {
    close(await agentGradient('loss'), gradientOf(false));
  });

  it('these differ by what held states leave out', () => {
    const [whole, held] = [gradientOf(true), gradientOf(false)];
    const scale = Math.max(...whole.map(Math.abs));
    expect(Math.max(...whole.map((value, k) => Math.abs(value - held[k]!))) / scale).toBeGreaterThan(0.1);
  });
});

describe('on denoising steps', () => {
  // Central differences of the loss, which `lossAndGradients` gives with the weights as they are.
  it.each([
    { surrogate: 'clamp', kl: 'exact', klIn: 'loss' },
    { surrogate: 'clip', kl: 'exact', klIn: 'loss', klCap: null },
    { surrogate: 'clamp', kl: 'prediction', klIn: 'loss' },
    { surrogate: 'clamp', baseline: 'per-prompt', rewardCoefficient: 3 },
  ])('has the gradient of its loss: %j', async (options) => {
    const own = tinyPolicy();
    const agent = await dpokOn(own, { baseline: 'none', clipRange: 0.5, klCoefficient: 0.7, ...options });
    const rollout = await collectRollout(agent, tinyDenoising({ numEnvs: 16 }), 5);
    const [name, variable] = [...own.parameters][0]!;
    const start = (await variable.data()) as Float32Array;
    const at = (weights: Float32Array) => {
      tf.tidy(() => variable.assign(tf.tensor(weights, variable.shape)));
      return agent.lossAndGradients(rollout);
    };
    // Away from where it was sampled, so that neither ratios nor the KL are at their minimum.
    const weights = start.map((w, i) => w + 0.004 * ((i % 5) - 2));
    const { gradients } = await at(weights);
    const gradient = gradients.get(name)!.data;
    const scale = Math.max(...Array.from(gradient, Math.abs));
    for (const k of [0, 5, 7]) {
      const step = 1e-3;
      const moved = (by: number) => at(weights.map((w, i) => (i === k ? w + by : w)));
      const difference = ((await moved(step)).loss - (await moved(-step)).loss) / (2 * step);
      expect(Math.abs(difference - gradient[k]!)).toBeLessThan(0.02 * scale);
    }
    agent.dispose();
  });

  it.each([
    { baseline: 'value', valueUpdates: 40, valueLearningRate: 3e-3 },
    { baseline: 'per-prompt' },
    { baseline: 'per-prompt', klIn: 'reward', klCoefficient: 1e-5 },
  ])('learns, holds tensors flat, and says what it does: %j', async (options) => {
    const env = tinyDenoising({ numEnvs: 32, prompts: ['more'] });
    const agent = await dpokOn(tinyPolicy(), {
      ...{ learningRate: 0.01, clipRange: 0.2, innerEpochs: 2, klCoefficient: 1e-3, bufferSize: 256 },
      ...options,
    });
    const means: number[] = [];
    let tensors = 0;
    for (let epoch = 0; epoch < 20; epoch++) {
      const rollout = await collectRollout(agent, env, 5 + epoch);
      const returns = rollout.steps.at(-1)!.rewards;
      means.push(returns.reduce((a, b) => a + b) / returns.length);
      const metrics = await agent.learn(rollout);
      // Of the present rollout alone; those before it stay on their ratios.
      expect(metrics['check/ratioError']).toBeLessThan(1e-5);
      expect([metrics.envSteps, metrics.rewardQueries]).toEqual([128, 32]);
      // 3 of the 4 steps have σ > 0.
      expect(metrics['train/transitions']).toBe(epoch === 0 ? 96 : 192);
      expect(metrics['train/kl']).toBeGreaterThanOrEqual(0);
      if (epoch === 1) tensors = tf.memory().numTensors;
    }
    expect(tf.memory().numTensors).toBe(tensors);
    const average = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
    expect(average(means.slice(-4)) - average(means.slice(0, 4))).toBeGreaterThan(0.08);
    agent.dispose();
  });

  it.each([
    {},
    { klIn: 'reward' },
    { baseline: 'per-prompt' },
  ])('passes the checks of an agent: %j', async (options) => {
    await assertAgent(
      () => dpokOn(tinyPolicy(), { collect: { episodes: 8 }, perPromptMinCount: 2, ...options }),
      () => tinyDenoising(),
    );
  });

  it('goes on after a restore with the episodes that it held', async () => {
    const env = tinyDenoising({ numEnvs: 16 });
    const make = () => dpokOn(tinyPolicy(), { learningRate: 0.01, innerEpochs: 2 });
    const agent = await make();
    for (const epoch of [1, 2]) await agent.learn(await collectRollout(agent, env, epoch));
    const folder = await mkdtemp(join(tmpdir(), 'dpok-'));
    try {
      await agent.save(folder);
      const other = await make();
      await other.restore(folder);
      const rollout = await collectRollout(agent, env, 3);
      const [one, two] = [await agent.learn(rollout), await other.learn(rollout)];
      expect(one['train/transitions']).toBe(96);
      expect(two).toEqual(one);
      other.dispose();
    } finally {
      await rm(folder, { recursive: true });
    }
    agent.dispose();
  });

  it('is drawn back by a KL, the more the more it weighs', async () => {
    const drift: number[] = [];
    for (const klCoefficient of [1e-6, 0.3, 30]) {
      const env = tinyDenoising({ numEnvs: 32 });
      const agent = await dpokOn(tinyPolicy(), { learningRate: 0.01, clipRange: 0.05, innerEpochs: 2, klCoefficient });
      let kl = 0;
      for (let epoch = 0; epoch < 10; epoch++)
        kl = (await agent.learn(await collectRollout(agent, env, epoch)))['train/kl']!;
      drift.push(kl);
      agent.dispose();
    }
    expect(drift[0]).toBeGreaterThan(2 * drift[1]!);
    expect(drift[1]).toBeGreaterThan(2 * drift[2]!);
  });
});

describe('on a small network', () => {
  const onCartPole = (options: Record<string, unknown>) =>
    checkAgent(
      ({ observationSpace, actionSpace }) =>
        makeAgent('dpok', {
          policy: networkPolicy({ observationSpace, actionSpace }, { hidden: [8] }, seed('p')),
          options: { learningRate: 0.01, collect: { episodes: 2 }, ...options },
          random: seed('a'),
        }),
      () => new SyncVectorEnv([new CartPole(), new CartPole()]),
    );

  it('passes the checks of an agent', async () => {
    expect(describeFindings(await onCartPole({}))).toBe('nothing found');
  });

  it.each([
    [{ klIn: 'reward' }, /klIn: 'reward' needs a policy that scores actions by its reference/],
    [{ kl: 'prediction' }, /kl: prediction.* are for denoising policies/],
    [{ klCap: 1 }, /klCap: 1.* are for denoising policies/],
  ])('refuses %j', async (options, message) => {
    expect(describeFindings(await onCartPole(options))).toMatch(message);
  });
});
