import * as tf from '@tensorflow/tfjs';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Rollout, RolloutStep } from '../../../agents/agent.js';
import {
  type DenoisingNetwork,
  DenoisingPolicy,
  type DenoisingPolicyOptions,
} from '../../../agents/policies/denoising.js';
import type { KlOptions } from '../../../agents/policy.js';
import { useBackend } from '../../../backend/index.js';
import type { NdArray } from '../../../core/ndarray.js';
import { Random } from '../../../core/random.js';
import { DDIMScheduler, FlowMatchEulerDiscreteScheduler } from '../../../diffusion/schedulers/index.js';
import type { DenoisingObservation } from '../../../envs/denoising/denoising.js';
import { gradientAgent } from '../gradient-agent.js';

beforeAll(async () => {
  await useBackend();
});

const shape = [2, 2, 1];
const size = 4;

/** out = w · x + b · prompt's first number: a network whose gradients are known in closed form. */
function linearNetwork(weight = 0.7, bias = -0.2): DenoisingNetwork & { w: tf.Variable; b: tf.Variable } {
  const w = tf.variable(tf.scalar(weight));
  const b = tf.variable(tf.scalar(bias));
  return {
    w,
    b,
    parameters: new Map([
      ['w', w],
      ['b', b],
    ]),
    apply: (x, _timesteps, prompt) =>
      x.mul(w).add(prompt ? b.mul(prompt.slice([0, 0, 0], [-1, 1, 1]).reshape([-1, 1, 1, 1])) : b) as tf.Tensor4D,
    save: async () => {},
    restore: async () => {},
    clone: () => linearNetwork(w.dataSync()[0], b.dataSync()[0]),
    dispose: () => tf.dispose([w, b]),
  };
}

/** Stable Diffusion's schedule. */
function scheduler(steps: number, steps_offset = 1): DDIMScheduler {
  const made = DDIMScheduler.fromConfig({
    beta_start: 0.00085,
    beta_end: 0.012,
    beta_schedule: 'scaled_linear',
    clip_sample: false,
    set_alpha_to_one: false,
    steps_offset,
  });
  made.setTimesteps(steps);
  return made;
}

function flow(steps: number): FlowMatchEulerDiscreteScheduler {
  const made = FlowMatchEulerDiscreteScheduler.fromConfig();
  made.setTimesteps(steps);
  return made;
}

const embed = (prompts: readonly string[]) =>
  tf.tensor3d(
    prompts.map((p) => p.length / 10),
    [prompts.length, 1, 1],
  );

let policy: DenoisingPolicy;
let network: ReturnType<typeof linearNetwork>;
function make(steps = 5, options: DenoisingPolicyOptions = {}, offset = 1): DenoisingPolicy {
  network = linearNetwork();
  policy = new DenoisingPolicy({ unet: network, sampler: scheduler(steps, offset), embed }, options);
  return policy;
}
afterEach(() => policy?.dispose());

function observe(step: number, index = 0): DenoisingObservation {
  const latents = { data: new Random(`x${index}`).normals(size), shape };
  return {
    latents,
    timestep: Math.round(policy.sampler.timesteps[step]!),
    step,
    prompt: `prompt ${index}`,
    noiseSeed: 7 + index,
  };
}

describe('sample', () => {
  it('depends on (noiseSeed, step) alone, whatever else is in the batch', async () => {
    make();
    const alone = await policy.sample([observe(2, 1)], { explore: true });
    const together = await policy.sample([observe(0), observe(2, 1), observe(4, 2)], { explore: true });
    expect(together.actions[1]!.data).toEqual(alone.actions[0]!.data);
    expect((together.extras!.logProb as Float32Array)[1]).toBe((alone.extras!.logProb as Float32Array)[0]);
  });

  it('without exploration is deterministic DDIM (η = 0)', async () => {
    make();
    const observation = observe(1);
    const { actions } = await policy.sample([observation], { explore: false });
    const row = policy.sampler.coefficients(observation.timestep, { eta: 0 });
    expect(row.sigma).toBe(0);
    const x = tf.tensor4d(observation.latents.data as Float32Array, [1, 2, 2, 1]);
    const out = x.mul<tf.Tensor4D>(0.7).sub<tf.Tensor4D>((0.2 * 'prompt 0'.length) / 10);
    const { mean } = policy.sampler.mean(out, x, [row]);
    const expected = await mean.data();
    actions[0]!.data.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i]!, 6);
    });
  });

  it('throws on an observation of another schedule', async () => {
    make();
    const wrong = { ...observe(1), timestep: 1 };
    await expect(policy.sample([wrong], { explore: true })).rejects.toThrow(/step 1, timestep 1, but the schedule has/);
  });

  it('leaves no tensors behind', async () => {
    make(5, { guidanceScale: 2 });
    await policy.sample([observe(0)], { explore: true });
    const before = tf.memory().numTensors;
    for (let step = 0; step < 5; step++) await policy.sample([observe(step), observe(step, 3)], { explore: true });
    expect(tf.memory().numTensors).toBe(before);
  });
});

/** A whole chain of `n` images with a reward each. */
async function rollOut(n: number, reward: (i: number) => number): Promise<Rollout<DenoisingObservation, NdArray>> {
  const horizon = policy.sampler.timesteps.length;
  let observations = Array.from({ length: n }, (_, i) => observe(0, i));
  const steps: RolloutStep<DenoisingObservation, NdArray>[] = [];
  for (let t = 0; t < horizon; t++) {
    const { actions, extras } = await policy.sample(observations, { explore: true });
    const last = t === horizon - 1;
    steps.push({
      observations,
      actions,
      rewards: Float64Array.from(observations, (_, i) => (last ? reward(i) : 0)),
      terminated: new Uint8Array(n).fill(last ? 1 : 0),
      truncated: new Uint8Array(n),
      starts: new Uint8Array(n).fill(t === 0 ? 1 : 0),
      valid: new Uint8Array(n).fill(1),
      infos: observations.map(() => ({})),
      finalObservations: observations,
      extras: extras!,
    });
    if (!last)
      observations = observations.map((o, i) => ({
        ...observe(t + 1, i),
        prompt: o.prompt,
        latents: actions[i] as NdArray<Float32Array>,
      }));
  }
  return { steps, lastObservations: observations };
}

describe('evaluate', () => {
  it.each([
    1, 3,
  ])('gives ratio 1 to its own samples, every timestep in one pass (guidance %d)', async (guidanceScale) => {
    make(5, { guidanceScale });
    const { steps } = await rollOut(3, () => 0);
    const observations = steps.flatMap((s) => s.observations);
    const prepared = await policy.prepare(
      observations,
      steps.flatMap((s) => s.actions),
    );
    const rows = Int32Array.from(observations, (_, i) => i).reverse();
    const { logProb } = policy.evaluate(prepared, rows);
    const old = steps.flatMap((s) => [...(s.extras.logProb as Float32Array)]).reverse();
    (await logProb.data()).forEach((value, i) => {
      expect(Math.abs(Math.expm1(value - old[i]!))).toBeLessThan(1e-5);
    });
    logProb.dispose();
  });

  it('has the closed-form gradient c (x\u2032 - μ) / σ² / N with respect to the output', async () => {
    make(5);
    const observation = observe(2);
    const { actions } = await policy.sample([observation], { explore: true });
    const prepared = await policy.prepare([observation], actions);
    const { grads } = tf.variableGrads(
      () => policy.evaluate(prepared, Int32Array.of(0)).logProb.sum<tf.Scalar>(),
      [network.b],
    );
    // epsilon prediction: c = sqrt(1 - a_p - s^2) - sqrt(a_p (1 - a_t) / a_t); d out / d b = len(prompt) / 10
    const {
      alphaProd: at,
      alphaProdPrev: ap,
      sigma: s,
    } = (policy.sampler as DDIMScheduler).coefficients(observation.timestep, { eta: 1 });
    const c = Math.sqrt(1 - ap - s * s) - Math.sqrt((ap * (1 - at)) / at);
    const noise = new Random(`${observation.noiseSeed}/2`).normals(size); // (x' - mu) / sigma
    const expected = ((c / s) * noise.reduce((a, z) => a + z, 0) * 0.8) / size;
    expect((await grads[network.b.name]!.data())[0]! / expected).toBeCloseTo(1, 4);
    tf.dispose(grads);
  });

  it('never trains a step whose σ is 0', async () => {
    make(5, {}, 0); // without an offset the last timestep is 0, and its σ too
    const { steps } = await rollOut(2, (i) => i);
    const observations = steps.flatMap((s) => s.observations);
    const prepared = await policy.prepare(
      observations,
      steps.flatMap((s) => s.actions),
    );
    expect([...policy.trainable(prepared)]).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 0, 0]);
    const agent = await gradientAgent('ppo', policy, {}, new Random(1));
    const metrics = await agent.learn({ steps, lastObservations: [] });
    expect(metrics['train/transitions']).toBe(8);
    expect(metrics['check/ratioError']).toBeLessThan(1e-5);
    expect(metrics['check/gradientError']).toBeLessThan(1e-3);
  });

  it('has nothing to train where eta is 0, and says so', async () => {
    make(5, { eta: 0 });
    const warnings: string[] = [];
    const agent = await gradientAgent('ppo', policy, { warn: (m) => warnings.push(m) }, new Random(1));
    await agent.learn(await rollOut(2, (i) => i));
    expect(warnings[0]).toMatch(/sample with η > 0/);
  });
});

it.each([
  'diffusion',
  'flow matching',
])('PPO moves the samples of %s towards the reward, with flat memory', async (kind) => {
  make(5);
  if (kind === 'flow matching') policy = new DenoisingPolicy({ unet: network, sampler: flow(5), embed }, { eta: 0.7 });
  const agent = await gradientAgent(
    'ppo',
    policy,
    { learningRate: 0.02, minibatches: 2, timestepFraction: 0.5, clipRange: 0.05 },
    new Random(1),
  );
  const brightness = (image: NdArray) => Array.from(image.data).reduce((a, x) => a + x, 0) / size;
  const means: number[] = [];
  let tensors = 0;
  for (let epoch = 0; epoch < 12; epoch++) {
    const rollout = await rollOut(32, () => 0);
    const last = rollout.steps.at(-1)!;
    last.rewards.set(last.actions.map(brightness));
    means.push(last.rewards.reduce((a, b) => a + b) / 32);
    await agent.learn(rollout);
    if (epoch === 0) tensors = tf.memory().numTensors;
  }
  expect(tf.memory().numTensors).toBe(tensors);
  expect(means.at(-1)! - means[0]!).toBeGreaterThan(0.2);
});

it('the KL to the reference is |μ − μ_ref|² / 2σ², a mean over dimensions', async () => {
  make(5);
  const observation = observe(2);
  const { actions } = await policy.sample([observation], { explore: true });
  const prepared = await policy.prepare([observation], actions);
  expect(() => policy.evaluate(prepared, Int32Array.of(0), { reference: true })).toThrow(/keepReference/);
  policy.keepReference();
  const kl = async () => {
    const evaluation = policy.evaluate(prepared, Int32Array.of(0), { reference: true });
    const value = (await evaluation.kl!.data())[0]!;
    tf.dispose([evaluation.kl!, evaluation.logProb]);
    return value;
  };
  expect(await kl()).toBe(0);
  network.b.assign(tf.scalar(0.3));
  // Another output by δ moves the mean by c·δ, with the c of the gradient above.
  const {
    alphaProd: at,
    alphaProdPrev: ap,
    sigma,
  } = (policy.sampler as DDIMScheduler).coefficients(observation.timestep, { eta: 1 });
  const c = Math.sqrt(1 - ap - sigma * sigma) - Math.sqrt((ap * (1 - at)) / at);
  const difference = (c * 0.5 * 'prompt 0'.length) / 10;
  expect(await kl()).toBeCloseTo((difference * difference) / (2 * sigma * sigma), 4);
});

describe('the KL in two forms', () => {
  // κ_t = c_t² / 2σ_t² of Stable Diffusion's chains, in NumPy from its ᾱ (float64)
  it.each([
    [50, { 0: 0.1314, 25: 0.0706, 40: 0.1001, 48: 5.3621, 49: 0.5032 }],
    [10, { 0: 0.8353, 5: 0.4772, 8: 34.61 }],
  ])('a chain of %i steps weighs the distance of predictions by κ', async (steps, expected) => {
    make(steps);
    for (const [step, kappa] of Object.entries(expected)) {
      const observation = observe(Number(step));
      const prepared = await policy.prepare([observation], [observation.latents]);
      network.b.assign(tf.scalar(-0.2));
      policy.keepReference();
      network.b.assign(tf.scalar(0.3));
      const kl = async (reference: KlOptions) => {
        const evaluation = policy.evaluate(prepared, Int32Array.of(0), { reference });
        const value = (await evaluation.kl!.data())[0]!;
        tf.dispose([evaluation.kl!, evaluation.logProb]);
        return value;
      };
      const distance = await kl({ form: 'prediction' });
      expect(distance).toBeCloseTo((0.5 * 'prompt 0'.length * 0.1) ** 2, 5);
      expect((await kl({ form: 'exact' })) / distance / kappa).toBeCloseTo(1, 2);
      expect((await kl({ cap: 0.3 })) / distance / Math.min(kappa, 0.3)).toBeCloseTo(1, 2);
    }
  });

  it('the log-ratio to the reference is a sum over dimensions: with one μ moved by δ its mean under π is δ²·n / 2σ²', async () => {
    make(5);
    policy.keepReference();
    network.b.assign(tf.scalar(0.3));
    const observations = Array.from({ length: 2000 }, (_, i) => ({ ...observe(1), noiseSeed: i }));
    const { actions } = await policy.sample(observations, { explore: true });
    const prepared = await policy.prepare(observations, actions);
    const rows = Int32Array.from(observations, (_, i) => i);
    const ratio = policy.referenceLogRatio(prepared, rows);
    const { logProb, kl } = policy.evaluate(prepared, rows, { reference: true });
    const [sum, exact] = [(await ratio.mean().data())[0]!, (await kl!.mean().data())[0]! * size];
    // ln π / π_ref = KL + √(2 KL)·z, so the mean of 2000 is within 4 √(2 KL / 2000) but once in 16,000.
    expect(Math.abs(sum - exact)).toBeLessThan(4 * Math.sqrt((2 * exact) / 2000));
    tf.dispose([ratio, logProb, kl!]);
  });
});

it('a value function is told the latents, the prompt and the step', async () => {
  make(5);
  const observations = [observe(3, 1), observe(0)];
  const prepared = await policy.prepare(
    observations,
    observations.map((o) => o.latents),
  );
  const { features, steps, chainLength } = policy.stateFeatures(prepared, Int32Array.of(1, 0));
  expect(features.shape).toEqual([2, size + 1]);
  const rows = (await features.array()) as number[][];
  expect(rows[1]!.slice(0, size)).toEqual([...observations[0]!.latents.data]);
  expect(rows[0]![size]).toBeCloseTo('prompt 0'.length / 10, 6);
  expect([[...steps], chainLength]).toEqual([[0, 3], 5]);
  features.dispose();
});

describe('options', () => {
  it.each([
    [{ eta: 2 }, /eta must be in \[0, 1\], actual value 2/],
    [{ guidanceScale: -1 }, /guidanceScale must be at least 0, actual value -1/],
  ])('%j is an error', (options, message) => {
    const unet = linearNetwork();
    expect(() => new DenoisingPolicy({ unet, sampler: scheduler(5), embed }, options)).toThrow(message);
    expect(() => new DenoisingPolicy({ unet, sampler: DDIMScheduler.fromConfig({}), embed })).toThrow(/setTimesteps/);
    unet.dispose();
  });
});
