import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import type { LossInput } from '../../agents/algorithm.js';
import type { Rows } from '../../agents/index.js';
import {
  clipSurrogate,
  DenoisingPolicy,
  divergenceSurrogate,
  guardSurrogate,
  makeSurrogate,
} from '../../agents/index.js';
import { useBackend } from '../../backend/index.js';
import { type NdArray, sizeOf } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import { DDIMScheduler } from '../../diffusion/index.js';

beforeAll(async () => {
  await useBackend();
});

/** What a loss sees of some rows, from plain numbers. */
function input(parts: {
  logRatio: number[];
  advantages: number[];
  divergence?: number[];
  sigma?: number[];
  gain?: number[];
}) {
  const { logRatio, advantages, divergence, sigma = [], gain } = parts;
  const rows = Int32Array.from(logRatio.keys());
  return {
    logProb: tf.tensor1d(logRatio),
    logRatio: tf.tensor1d(logRatio),
    advantages: tf.tensor1d(advantages),
    ...(divergence && {
      displacement: {
        divergence: tf.tensor1d(divergence),
        sigma: tf.tensor1d(sigma),
        ...(gain && { gain: tf.tensor1d(gain) }),
      },
    }),
    rows,
  } satisfies LossInput;
}

/** The numbers of what was computed on tensors. */
const read = async (rows: Rows) => (await (rows as unknown as tf.Tensor1D).data()) as Float32Array;

const close = (values: ArrayLike<number>, expected: number[]) => {
  expect(values).toHaveLength(expected.length);
  for (let i = 0; i < expected.length; i++) expect(values[i]).toBeCloseTo(expected[i]!, 5);
};

describe('clip', () => {
  it('takes the smaller gain, and says which ratios lie outside', async () => {
    const given = input({ logRatio: [0.3, 0.3, -0.3, -0.3, 0], advantages: [2, -2, 2, -2, 1] });
    const surrogate = clipSurrogate(0.2);
    // min(Aρ, A clip(ρ)) by hand: e^.3 = 1.349859, e^-.3 = .740818
    close(await read(surrogate.objective(given, 0)), [2.4, -2.699718, 1.481637, -1.6, 1]);
    close(await read(surrogate.beyond(given, 0)), [1, 1, 1, 1, 0]);
  });

  it('has a range that may change over the run', async () => {
    const given = input({ logRatio: [0.3], advantages: [1] });
    const surrogate = clipSurrogate({ from: 0.2, to: 0.1 });
    close(await read(surrogate.objective(given, 1)), [1.1]);
  });
});

describe('guard', () => {
  it('is the ratio with its mean taken away and its spread evened out', async () => {
    const given = input({
      logRatio: [0.01, 0.4],
      advantages: [2, 1],
      divergence: [0.02, 0.1],
      sigma: [0.5, 0.25],
      gain: [0.4, 0.1],
    });
    const surrogate = guardSurrogate(0.1);
    // exp((ln ρ + D) σ): e^.015 = 1.015113, 2 · that / .4; e^.125 = 1.133148 > 1.1, so 1.1 / .1
    close(await read(surrogate.objective(given, 0)), [5.075565, 11]);
    close(await read(surrogate.beyond(given, 0)), [0, 1]);
  });

  it('needs to know the gain of steps', () => {
    const given = input({ logRatio: [0], advantages: [1], divergence: [0], sigma: [1] });
    expect(() => guardSurrogate(0.1).objective(given, 0)).toThrow(/does not say the `gain`/);
  });
});

describe('divergence', () => {
  it('drops what leads further away from where D has reached its limit, and nothing else', async () => {
    const given = input({
      logRatio: [0.1, 0.1, -0.1, -0.1, 0.1, -0.1],
      advantages: [1, -1, 1, -1, 1, -1],
      divergence: [2e-5, 2e-5, 2e-5, 2e-5, 0.9e-5, 0.9e-5],
      sigma: Array(6).fill(1),
    });
    const surrogate = divergenceSurrogate(1e-5);
    // e^.1 = 1.105171, e^-.1 = .904837
    close(await read(surrogate.objective(given, 0)), [0, -1.105171, 0.904837, 0, 1.105171, -0.904837]);
    close(await read(surrogate.beyond(given, 0)), [1, 0, 0, 1, 0, 0]);
  });
});

it('each is made by its name', async () => {
  const options = { clipRange: 0.1, divergenceThreshold: 1e-5 };
  const given = input({ logRatio: [0], advantages: [1], divergence: [0], sigma: [1], gain: [1] });
  for (const name of ['clip', 'guard', 'divergence'] as const) {
    const surrogate = makeSurrogate(name, options);
    expect(surrogate.displacement).toBe(name !== 'clip');
    expect((await read(surrogate.objective(given, 0)))[0]).toBe(1);
  }
});

/** A network whose prediction is one number everywhere, so that its mean can be moved by a known distance. */
class Constant {
  readonly bias = tf.tidy(() => tf.variable(tf.scalar(0)));
  readonly parameters = new Map([['bias', this.bias as tf.Variable]]);
  apply(sample: tf.Tensor4D) {
    return sample.mul<tf.Tensor4D>(0.1).add<tf.Tensor4D>(this.bias);
  }
  async save() {}
  async restore() {}
  clone() {
    return new Constant();
  }
  dispose() {
    this.bias.dispose();
  }
}

/** 200 transitions of pictures of one size, scored by a policy whose step has moved by a divergence of `divergence`. */
async function moved(size: number, divergence: number) {
  const sampler = DDIMScheduler.fromConfig({ timestep_spacing: 'trailing', clip_sample: false });
  sampler.setTimesteps(10);
  const unet = new Constant();
  const policy = new DenoisingPolicy({ unet, sampler });
  policy.keepMeans();
  const random = new Random('moved');
  const shape = [size, size, 3];
  const step = 4;
  const observations = Array.from({ length: 200 }, (_, i) => ({
    latents: { data: random.normals(sizeOf(shape)), shape },
    timestep: sampler.timesteps[step]!,
    step,
    prompt: '',
    noiseSeed: i,
  }));
  const { actions, extras } = await policy.sample(observations, { explore: true });
  const prepared = await policy.prepare(observations, actions, extras!);
  const { sigma, gain } = sampler.coefficients(sampler.timesteps[step]!, { eta: 1 });
  // D = (gain · bias)² / 2σ²
  unet.bias.assign(tf.scalar((Math.sqrt(2 * divergence) * sigma) / gain!));
  const rows = Int32Array.from(observations.keys());
  const { logProb, displacement } = policy.evaluate(prepared, rows, { displacement: true });
  const logRatio = logProb.sub<tf.Tensor1D>(tf.tensor1d(extras!.logProb as Float32Array));
  return { unet, sigma, gain: gain!, logRatio, displacement: displacement!, rows, actions, extras: extras!, policy };
}

describe('a policy of denoising steps', () => {
  it('knows how far it has moved, exactly', async () => {
    const { displacement, sigma, gain } = await moved(8, 1e-3);
    for (const value of await displacement.divergence.data()) expect(value).toBeCloseTo(1e-3, 6);
    close(await displacement.sigma.data(), Array(200).fill(sigma));
    close(await displacement.gain!.data(), Array(200).fill(gain));
  });

  it('has a guarded log-ratio of mean(z Δμ): without the bias −D, and in the units of the step', async () => {
    const { logRatio, displacement, actions, extras, sigma, gain, unet } = await moved(8, 1e-3);
    const guarded = await logRatio.add(displacement.divergence).mul(displacement.sigma).data();
    const means = extras.mean as readonly NdArray<Float32Array>[];
    const bias = (await unet.bias.data())[0]!;
    // The mean follows the prediction down or up; its sign is that of ∂μ/∂output.
    const expected = actions.map((action, i) => {
      const mean = means[i]!.data;
      const z = (action.data as Float32Array).reduce((sum, x, k) => sum + (x - mean[k]!) / sigma, 0) / mean.length;
      return z * gain * bias;
    });
    const sign = Math.sign(expected.reduce((sum, value, i) => sum + value * guarded[i]!, 0));
    // They are of the order of 1e-3, as differences of numbers around 1 in float32.
    expected.forEach((value, i) => {
      expect(Math.abs(guarded[i]! - sign * value), `row ${i}`).toBeLessThan(1e-6);
    });
    expect(Math.max(...expected.map(Math.abs))).toBeGreaterThan(1e-3);
  });

  it.each([
    8, 16, 32,
  ])('at %d pixels a side: the spread of ln ρ goes with the size, the divergence does not', async (size) => {
    // The same step of the policy, in nats a dimension, at three sizes of pictures.
    const divergence = 2e-5;
    const { logRatio, displacement, rows } = await moved(size, divergence);
    const values = (await logRatio.data()) as Float32Array;
    const n = size * size * 3;
    const mean = values.reduce((a, b) => a + b) / values.length;
    const std = Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length);
    // ln ρ ~ N(−D, 2D / N) for samples of the old policy: a fifth of the spread is 4 standard errors of 200 samples.
    expect(std / Math.sqrt((2 * divergence) / n)).toBeGreaterThan(0.8);
    expect(std / Math.sqrt((2 * divergence) / n)).toBeLessThan(1.2);
    const given = { logProb: logRatio, logRatio, displacement, rows, advantages: tf.ones([200]) as tf.Tensor1D };
    const share = async (rows: Rows) => (await read(rows.mean()))[0]!;
    // One clip range that cuts half of the ratios at 8×8 cuts hardly any at 32×32 ...
    const clipped = await share(clipSurrogate(3.1e-4).beyond(given, 0));
    const expected = { 8: [0.35, 0.6], 16: [0.08, 0.25], 32: [0, 0.02] }[size] as [number, number];
    expect(clipped).toBeGreaterThanOrEqual(expected[0]);
    expect(clipped).toBeLessThanOrEqual(expected[1]);
    // ... while the threshold on D sees the same step at each size: all of it above 1e-5, nothing above 4e-5.
    const away = values.filter((value) => value > 0).length / 200;
    expect(await share(divergenceSurrogate(1e-5).beyond(given, 0))).toBeCloseTo(away, 5);
    expect(await share(divergenceSurrogate(4e-5).beyond(given, 0))).toBe(0);
  });

  it('refuses to measure from means that were not kept', async () => {
    const { policy } = await moved(8, 1e-3);
    const bare = { length: 1, latents: { data: new Float32Array(192), shape: [1, 8, 8, 3] }, steps: Int32Array.of(4) };
    const prepared = { ...bare, actions: bare.latents, prompts: [''] };
    expect(() => policy.evaluate(prepared, Int32Array.of(0), { displacement: true })).toThrow(/call keepMeans\(\)/);
  });
});
