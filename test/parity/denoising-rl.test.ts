import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BaselinedReturns } from '../../agents/advantages/baseline.js';
import { dpokAlgorithm } from '../../agents/dpok.js';
import {
  agentNamed,
  DenoisingPolicy,
  type Extras,
  makeAgent,
  PolicyGradient,
  type Rollout,
  type RolloutStep,
  resolveAgentOptions,
} from '../../agents/index.js';
import type { SampleTuning } from '../../agents/sample-tuning.js';
import type { NdArray } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import { readSafetensors } from '../../core/safetensors.js';
import { fromTorch, toTorch, UNet2DConditionModel } from '../../diffusion/index.js';
import { DDIMScheduler } from '../../diffusion/schedulers/index.js';
import type { DenoisingObservation } from '../../envs/denoising/denoising.js';
import { gradientAgent } from '../agents/gradient-agent.js';
import { fixturePath, largestError, readFixture, startBackend } from './fixtures.js';

interface Expected {
  guidance: number;
  eta: number;
  inferenceSteps: number;
  clipRange: number;
  advantages: number[];
  rewards: number[];
  /** V of each sample's steps. */
  values: number[][];
  dpok: { alpha: number; beta: number };
  gamma: number;
  rwrTemperature: number;
  losses: Record<LossName | 'kl_code' | 'kl_exact' | 'approx_kl' | 'clip_fraction', number> & { ratio: number[] };
}

type LossName =
  | 'ddpo_sf'
  | 'ddpo_is'
  | 'dpok_code_kl'
  | 'dpok_exact_kl'
  | 'rwr'
  | 'reward_weighted_sft'
  | 'kl_d'
  | 'kl_o';

const wasm = (await startBackend()) === 'wasm';
const expected = await readFixture<Expected>('denoising_rl', 'expected.json');
const rollout = await readSafetensors(fixturePath('denoising_rl', 'rollout.safetensors'));
const gradients = await readSafetensors(fixturePath('denoising_rl', 'gradients.safetensors'));
const supervised = await readSafetensors(fixturePath('denoising_rl', 'supervised.safetensors'));
const current = await readSafetensors(fixturePath('denoising_rl', 'current_weights.safetensors'));

const trajectory = rollout.get('trajectory')!; // [B, T+1, C, H, W], x_T first
const stepNoise = rollout.get('step_noise')!; // [T, B, C, H, W]
const logProbs = rollout.get('log_probs')!; // [B, T]
const timesteps = [...rollout.get('timesteps')!.data].map(Number);
const embeddings = rollout.get('prompt_embeds')!; // [B, n, d]
const negative = rollout.get('negative_prompt_embeds')!; // [1, n, d]
const [batch, , channels, height, width] = trajectory.shape as [number, number, number, number, number];
const steps = timesteps.length;
const size = channels * height * width;

/** Image number `index` of an array of CHW images, as HWC. */
function image(array: NdArray, index: number): NdArray<Float32Array> {
  const data = new Float32Array(size);
  for (let c = 0; c < channels; c++)
    for (let p = 0; p < height * width; p++)
      data[p * channels + c] = array.data[index * size + c * height * width + p] as number;
  return { data, shape: [height, width, channels] };
}

const at = (b: number, t: number) => image(trajectory, b * (steps + 1) + t);
const observation = (b: number, t: number): DenoisingObservation => ({
  latents: at(b, t),
  timestep: timesteps[t]!,
  step: t,
  prompt: `prompt ${b}`,
  noiseSeed: b,
});

/** Prompts stand for rows of the stored embeddings, '' for the negative one. */
function embed(prompts: readonly string[]): tf.Tensor3D {
  const [, n, d] = embeddings.shape as [number, number, number];
  const data = new Float32Array(prompts.length * n * d);
  prompts.forEach((prompt, i) => {
    const b = Number(prompt.slice('prompt '.length));
    data.set(
      (prompt === '' ? negative.data : embeddings.data.subarray(b * n * d, (b + 1) * n * d)) as Float32Array,
      i * n * d,
    );
  });
  return tf.tensor3d(data, [prompts.length, n, d]);
}

let policy: DenoisingPolicy;
let unet: UNet2DConditionModel;

beforeAll(async () => {
  unet = await UNet2DConditionModel.load(fixturePath('denoising_rl', 'unet'));
  const scheduler = await DDIMScheduler.load(fixturePath('denoising_rl', 'scheduler'));
  scheduler.setTimesteps(expected.inferenceSteps);
  expect(scheduler.timesteps).toEqual(timesteps);
  policy = new DenoisingPolicy(
    { unet, sampler: scheduler, embed },
    {
      eta: expected.eta,
      guidanceScale: expected.guidance,
      noise: ({ step, noiseSeed }) => image(stepNoise, step * batch + noiseSeed).data,
    },
  );
});
afterAll(() => policy.dispose());

/** The stored rollout as environment and agent would have made it, with rewards at its last step. */
function stored(rewards = expected.advantages): Rollout<DenoisingObservation, NdArray> {
  const all = Array.from({ length: batch }, (_, b) => b);
  const made = timesteps.map((_, t): RolloutStep<DenoisingObservation, NdArray> => {
    const last = t === steps - 1;
    const extras: Extras = {
      logProb: Float32Array.from(all, (b) => logProbs.data[b * steps + t] as number),
    };
    return {
      observations: all.map((b) => observation(b, t)),
      actions: all.map((b) => at(b, t + 1)),
      rewards: Float64Array.from(all, (b) => (last ? rewards[b]! : 0)),
      terminated: new Uint8Array(batch).fill(last ? 1 : 0),
      truncated: new Uint8Array(batch),
      starts: new Uint8Array(batch).fill(t === 0 ? 1 : 0),
      valid: new Uint8Array(batch).fill(1),
      infos: all.map(() => ({})),
      finalObservations: all.map(() => undefined),
      extras,
    };
  });
  return { steps: made, lastObservations: [] };
}

describe('a guided rollout', () => {
  it('starts at the stored noise and takes the steps of diffusers, with the log-probabilities of ddpo-pytorch', async () => {
    const initial = rollout.get('initial_noise')!;
    for (let t = 0; t < steps; t++) {
      const observations = Array.from({ length: batch }, (_, b) => observation(b, t));
      const { actions, extras } = await policy.sample(observations, { explore: true });
      actions.forEach((action, b) => {
        if (t === 0) expect(at(b, 0).data).toEqual(image(initial, b).data);
        const next = at(b, t + 1).data;
        next.forEach((value, i) => {
          expect(Math.abs((action.data[i] as number) - value)).toBeLessThan(1e-4);
        });
        const logProb = (extras!.logProb as Float32Array)[b]!;
        expect(Math.abs(logProb - (logProbs.data[b * steps + t] as number))).toBeLessThan(1e-4);
      });
    }
  });
});

const options = { advantage: 'none', advantageClip: 1e6, weightDecay: 0, learningRate: 0 } as const;

/** PyTorch: loss.backward(); {n: p.grad for n, p in unet.named_parameters()} */
function compareWithPyTorch(name: LossName, loss: number, own: ReadonlyMap<string, NdArray>, tolerance = 1e-4): void {
  expect(Math.abs(loss - expected.losses[name])).toBeLessThan(1e-5);
  let compared = 0;
  for (const [key, reference] of gradients) {
    if (!key.startsWith(`${name}/`)) continue;
    const parameter = key.slice(name.length + 1);
    const { data } = toTorch(parameter, own.get(parameter)!);
    const largest = Array.from(reference.data, (x) => Math.abs(x)).reduce((a, b) => Math.max(a, b), 0);
    reference.data.forEach((value, i) => {
      expect(Math.abs((data[i] as number) - (value as number)) / largest).toBeLessThan(wasm ? 1e-3 : tolerance);
    });
    compared++;
  }
  expect(compared).toBeGreaterThan(0);
}

/** To the weights that the losses are taken at. */
function moveOn(): void {
  for (const [name, variable] of unet.parameters) {
    const value = fromTorch(name, current.get(name)!);
    tf.tidy(() => variable.assign(tf.tensor(value.data as Float32Array, variable.shape)));
  }
}

/** An agent whose reference is the policy that made the rollout, while its weights are others. */
async function withReference<T>(make: () => Promise<T>): Promise<T> {
  const weights = new Map([...unet.parameters].map(([name, variable]) => [name, variable.clone()]));
  const pretrained = await UNet2DConditionModel.load(fixturePath('denoising_rl', 'unet'));
  for (const [name, variable] of pretrained.parameters) unet.parameters.get(name)!.assign(variable as never);
  const made = await make();
  for (const [name, value] of weights) unet.parameters.get(name)!.assign(value as never);
  tf.dispose([...weights.values()]);
  pretrained.dispose();
  return made;
}

describe('DDPO at other weights than those that sampled', () => {
  beforeAll(moveOn);

  it.each([
    ['ddpo_sf', 'reinforce', options],
    ['ddpo_is', 'ppo', { ...options, minibatches: 1, clipRange: expected.clipRange }],
  ] as const)('%s: loss and gradients of PyTorch', async (name, agentName, options) => {
    const agent = await gradientAgent(agentName, policy, { ...options, warn: () => {} }, new Random(0));
    const { loss, gradients: own } = await agent.lossAndGradients(stored());
    compareWithPyTorch(name, loss, own);
  });

  it('logs approx_kl and clip_fraction of ddpo-pytorch', async () => {
    const agent = await gradientAgent(
      'ppo',
      policy,
      { ...options, minibatches: 1, clipRange: expected.clipRange, warn: () => {} },
      new Random(0),
    );
    const metrics = await agent.learn(stored());
    expect(Math.abs(metrics['train/loss']! - expected.losses.ddpo_is)).toBeLessThan(1e-5);
    expect(Math.abs(metrics['train/clipFraction']! - expected.losses.clip_fraction)).toBeLessThan(1e-6);
    expect(metrics['train/approxKl']! / expected.losses.approx_kl).toBeCloseTo(1, 2);
  });
});

describe('DPOK at other weights than those that sampled', () => {
  const { alpha, beta } = expected.dpok;
  const options = {
    ...{ collect: { episodes: batch }, advantageClip: 1e6, standardizeAdvantages: false, klCap: 1e9 },
    ...{ clipRange: expected.clipRange, rewardCoefficient: alpha, klCoefficient: beta },
  };

  it.each([
    ['dpok_code_kl', 'prediction', 'kl_code', 1e-4],
    ['dpok_exact_kl', 'exact', 'kl_exact', 3e-4],
  ] as const)('%s: loss and gradients of PyTorch, with V as it is given', async (name, kl, term, tolerance) => {
    const { value } = resolveAgentOptions(agentNamed('dpok'), 'denoising', { ...options, kl }) as unknown as {
      value: never;
    };
    const given = { values: () => Float64Array.from(expected.values.flat()) };
    const estimator = new BaselinedReturns<never>(given, { gamma: 1, standardize: false, klReward: 0 });
    const agent = await withReference(
      async () =>
        new PolicyGradient<DenoisingObservation, NdArray>(dpokAlgorithm(value, { estimator }), {
          ...{ policy, random: new Random(0), warn: () => {} },
        }),
    );
    const { loss, gradients: own } = await agent.lossAndGradients(stored(expected.rewards));
    compareWithPyTorch(name, loss, own, tolerance);
    const policyLoss = loss - beta * expected.losses[term];
    // −mean(α (r − V) clamp(ρ, 1 ± ε)), in float64 from the stored ratios
    const clamped = expected.losses.ratio.map((ratio, i) => {
      const held = Math.min(1 + expected.clipRange, Math.max(1 - expected.clipRange, ratio));
      return -alpha * (expected.rewards[Math.floor(i / steps)]! - expected.values.flat()[i]!) * held;
    });
    expect(Math.abs(policyLoss - clamped.reduce((a, b) => a + b) / clamped.length)).toBeLessThan(2e-5);
  });
});

describe('fine-tuning on finished samples', () => {
  const noising = {
    timesteps: [...supervised.get('timesteps')!.data].map(Number),
    noise: Float32Array.from(
      Array.from({ length: batch }, (_, b) => [...image(supervised.get('noise')!, b).data]).flat(),
    ),
  };
  const options = {
    ...{ collect: { episodes: batch }, guided: false, rewardCoefficient: 1, negativeWeights: 'keep' },
  };
  const { gamma: klCoefficient, rwrTemperature: beta } = expected;

  it('adds noise to the finished samples as diffusers does', async () => {
    const clean = tf.stack(
      Array.from({ length: batch }, (_, b) => tf.tensor3d(at(b, steps).data, [height, width, channels])),
    ) as tf.Tensor4D;
    const noise = tf.tensor4d(noising.noise, clean.shape);
    const noisy = await (policy.sampler as DDIMScheduler).addNoise(clean, noise, noising.timesteps).data();
    const wanted = Array.from({ length: batch }, (_, b) => [...image(supervised.get('noisy')!, b).data]).flat();
    expect(largestError(noisy, wanted)).toBeLessThan(1e-5);
  });

  it('the reference predicts what the pretrained network does', async () => {
    const predicted = await withReference(async () => {
      policy.keepReference();
      const prompts = Array.from({ length: batch }, (_, b) => `prompt ${b}`);
      await policy.ready(prompts);
      const noisy = tf.stack(
        prompts.map((_, b) => tf.tensor3d(image(supervised.get('noisy')!, b).data, [height, width, channels])),
      ) as tf.Tensor4D;
      return policy.predict(noisy, noising.timesteps, prompts, { guided: false, reference: true });
    });
    const wanted = Array.from({ length: batch }, (_, b) => [
      ...image(supervised.get('pretrained_prediction')!, b).data,
    ]).flat();
    expect(largestError(await predicted.data(), wanted)).toBeLessThan(1e-4);
  });

  it.each([
    ['rwr', 'rwr', { beta, perPrompt: false, normalizeRewards: false }],
    ['reward_weighted_sft', 'sft', {}],
    ['kl_d', 'kl-d', { klCoefficient }],
    ['kl_o', 'kl-o', { klCoefficient }],
  ] as const)('%s: loss and gradients of PyTorch', async (name, agentName, own) => {
    const { rewardCoefficient, negativeWeights, ...common } = options;
    const agent = await withReference(() =>
      makeAgent<DenoisingObservation, NdArray>(agentName, {
        policy,
        options: { ...common, ...(name !== 'rwr' && { rewardCoefficient, negativeWeights }), ...own },
        random: new Random(0),
      }),
    );
    const { loss, gradients: made } = await (agent as SampleTuning).lossAndGradients(stored(expected.rewards), noising);
    compareWithPyTorch(name, loss, made);
  });
});
