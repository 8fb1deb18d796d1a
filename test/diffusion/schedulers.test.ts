import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import {
  DDIMScheduler,
  DDPMScheduler,
  flooredCosineBetas,
  gaussianLogProb,
  loadScheduler,
} from '../../diffusion/schedulers/index.js';

let folder = '';
beforeAll(async () => {
  await useBackend();
  folder = await mkdtemp(join(tmpdir(), 'schedulers-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** The scheduler_config.json of Stable Diffusion 1.x, whose class is PNDMScheduler. */
const stableDiffusion = {
  _class_name: 'PNDMScheduler',
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  beta_start: 0.00085,
  clip_sample: false,
  num_train_timesteps: 1000,
  set_alpha_to_one: false,
  skip_prk_steps: true,
  steps_offset: 1,
  trained_betas: null,
};

function ddim(steps: number, config: Record<string, unknown> = stableDiffusion): DDIMScheduler {
  const scheduler = DDIMScheduler.fromConfig(config);
  scheduler.setTimesteps(steps);
  return scheduler;
}

function ddpm(steps: number, config: Record<string, unknown>): DDPMScheduler {
  const scheduler = DDPMScheduler.fromConfig(config);
  scheduler.setTimesteps(steps);
  return scheduler;
}

/** One sample of four values. */
const four = (...values: number[]) => tf.tensor4d(values, [1, 2, 2, 1]);

async function expectClose(tensor: tf.Tensor, expected: readonly number[], digits = 5) {
  const actual = await tensor.data();
  expect(actual.length).toBe(expected.length);
  for (const [i, value] of expected.entries()) expect(actual[i]).toBeCloseTo(value, digits);
}

describe('noise schedule', () => {
  it("is torch's float32 cumulative product, bit for bit", () => {
    // DDIMScheduler.from_config(pndm.config).alphas_cumprod[[0, 999]]
    const { alphasCumprod } = DDIMScheduler.fromConfig(stableDiffusion);
    expect(alphasCumprod[0]).toBe(0.9991499781608582);
    expect(alphasCumprod[999]).toBe(0.00466009508818388);
  });

  it('reaches zero SNR on request', () => {
    // DDIMScheduler(rescale_betas_zero_snr=True, beta_schedule='scaled_linear', beta_start=.00085, beta_end=.012)
    const { alphasCumprod } = DDIMScheduler.fromConfig({ ...stableDiffusion, rescale_betas_zero_snr: true });
    expect(alphasCumprod[0]).toBeCloseTo(0.9991499781608582, 6);
    expect(alphasCumprod[500]).toBeCloseTo(0.2410186380147934, 6);
    expect(alphasCumprod[999]).toBe(0);
  });

  it('takes the betas of a file, such as a cosine with a floor', async () => {
    const betas = flooredCosineBetas(1000, 1e-3);
    const scheduler = DDIMScheduler.fromConfig({ trained_betas: betas });
    const alphas = [...scheduler.alphasCumprod];
    expect(alphas[0]).toBeCloseTo(1 - 4.128e-5, 7);
    expect(alphas[499]).toBeCloseTo(0.4936, 3);
    expect(alphas[999]).toBeCloseTo(1e-3, 7);
    expect(alphas.every((alpha, i) => i === 0 || alpha <= alphas[i - 1]!)).toBe(true);
    await scheduler.save(folder);
    const loaded = await DDIMScheduler.load(folder);
    expect(loaded.alphasCumprod).toEqual(scheduler.alphasCumprod);
  });

  it('says what is wrong with betas', () => {
    expect(() => DDIMScheduler.fromConfig({ trained_betas: [0.1, 0.2] })).toThrow(/2 numbers.*is 1000/);
    expect(() => DDIMScheduler.fromConfig({ trained_betas: [0.1, 1], num_train_timesteps: 2 })).toThrow(/beta 1 is 1/);
    expect(() => DDIMScheduler.fromConfig({ trained_betas: 'none' })).toThrow(/trained_betas must be/);
    expect(() => flooredCosineBetas(10, 0)).toThrow(/floor must be in \(0, 1\), actual value 0/);
  });
});

describe('timesteps', () => {
  it.each([
    ['leading', [901, 801, 701, 601, 501, 401, 301, 201, 101, 1]],
    ['trailing', [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]],
    ['linspace', [999, 888, 777, 666, 555, 444, 333, 222, 111, 0]],
  ])('%s', (timestep_spacing, expected) => {
    expect(ddim(10, { ...stableDiffusion, timestep_spacing }).timesteps).toEqual(expected);
  });

  it('rounds halves to even, as numpy does', () => {
    // DDIMScheduler(timestep_spacing='trailing'), set_timesteps(16)
    const { timesteps } = ddim(16, { timestep_spacing: 'trailing' });
    expect(timesteps.slice(0, 5)).toEqual([999, 937, 874, 811, 749]);
  });

  it('refuses chains that do not exist', () => {
    const scheduler = DDIMScheduler.fromConfig(stableDiffusion);
    expect(() => scheduler.setTimesteps(1001)).toThrow(/1\.\.1000, actual value 1001/);
    expect(() => scheduler.setTimesteps(0)).toThrow(/actual value 0/);
    expect(() => scheduler.setTimesteps(1000)).toThrow(/steps_offset 1 leads to timestep 1000/);
    expect(() => scheduler.coefficients(1)).toThrow(/call setTimesteps/);
    scheduler.setTimesteps(10);
    expect(() => scheduler.coefficients(2)).toThrow(/timestep 2 is not one of the chain's 10 \(901, 801, 701/);
    expect(() => scheduler.coefficients(1, { eta: 2 })).toThrow(/eta must be in 0\.\.1, actual value 2/);
  });
});

describe('DDIM', () => {
  it('has the standard deviations of eta 1', () => {
    const golden: [number, [number, number][]][] = [
      [
        50,
        [
          [981, 0.454463],
          [481, 0.287685],
          [21, 0.03948],
          [1, 0.020648],
        ],
      ],
      [
        10,
        [
          [901, 0.776332],
          [401, 0.44809],
          [101, 0.040984],
          [1, 0.020648],
        ],
      ],
      [
        5,
        [
          [801, 0.820143],
          [401, 0.433599],
          [201, 0.041172],
          [1, 0.020648],
        ],
      ],
    ];
    for (const [steps, sigmas] of golden) {
      const scheduler = ddim(steps);
      for (const [timestep, sigma] of sigmas) {
        expect(scheduler.coefficients(timestep, { eta: 1 }).sigma).toBeCloseTo(sigma, 6);
        expect(scheduler.coefficients(timestep).sigma).toBe(0);
      }
    }
  });

  it('ends without noise where the last step reaches the sample', () => {
    expect(ddim(50, { ...stableDiffusion, steps_offset: 0 }).coefficients(0, { eta: 1 }).sigma).toBe(0);
  });

  // DDIMScheduler.from_config(pndm.config); set_timesteps(50); step(out, t, x, eta=1, variance_noise=z)
  it.each([
    ['epsilon', 981, [0.4472396, -0.8711855, 0.5721211, 1.716796]],
    ['epsilon', 501, [0.4541524, -0.897186, 0.4790672, 1.797735]],
    ['epsilon', 1, [0.4940128, -0.9859542, 0.2562556, 1.9656813]],
    ['sample', 501, [0.4068273, -0.8205025, 0.5721878, 1.734201]],
    ['v_prediction', 501, [0.4121039, -0.818377, 0.4924153, 1.6665573]],
  ])('%s prediction at timestep %i', async (prediction_type, timestep, expected) => {
    const scheduler = ddim(50, { ...stableDiffusion, prediction_type });
    const [x, out, noise] = [four(0.5, -1, 0.25, 2), four(0.1, -0.3, 0.7, 1.1), four(-0.2, 0.4, 1, -0.6)];
    const { prevSample } = scheduler.step(out, timestep, x, { eta: 1, noise });
    await expectClose(prevSample, expected, 6);
  });

  // DDIMScheduler(); set_timesteps(10); step(out, 500, x, eta=1, use_clipped_model_output=..., variance_noise=z)
  it.each([
    [false, [0.3485656, -0.3103999, 0.6558853, 0.5916545]],
    [true, [0.4178883, -0.5504329, 0.5764447, 0.9601616]],
  ])('clips the predicted sample only (use_clipped_model_output %s)', async (useClippedModelOutput, expected) => {
    const scheduler = ddim(10, {});
    const [x, out, noise] = [four(0.5, -1, 0.25, 2), four(0.1, -0.3, 0.7, 1.1), four(-0.2, 0.4, 1, -0.6)];
    const { prevSample, predOriginal } = scheduler.step(out, 500, x, { eta: 1, noise, useClippedModelOutput });
    await expectClose(predOriginal, [1, -1, -1, 1]);
    await expectClose(prevSample, expected, 6);
    await expectClose(scheduler.predOriginal(out, x, [500]), [1, -1, -1, 1]);
  });

  it('thresholds by a quantile of each sample', async () => {
    const scheduler = ddim(10, {
      prediction_type: 'sample',
      thresholding: true,
      dynamic_thresholding_ratio: 0.5,
      sample_max_value: 3,
    });
    // Half way between 1.5 and 2; the second sample has nothing above 1 and stays as it is.
    const out = tf.tensor4d([0.5, -2, 1.5, 4, 0.1, 0.2, -0.3, 0.4], [2, 2, 2, 1]);
    const thresholded = scheduler.predOriginal(out, out, [900, 900]);
    await expectClose(thresholded, [0.5 / 1.75, -1, 1.5 / 1.75, 1, 0.1, 0.2, -0.3, 0.4]);
    // d(0.5 / s)/dx with s = (|x_1| + |x_2|) / 2
    const gradient = tf.grad((x) =>
      scheduler
        .predOriginal(x as tf.Tensor4D, out, [900, 900])
        .flatten()
        .slice(0, 1)
        .sum(),
    );
    const slope = 0.5 / 1.75 ** 2 / 2;
    await expectClose(gradient(out), [1 / 1.75, slope, -slope, 0, 0, 0, 0, 0]);
  });

  it('needs noise for a noisy step, and v or sample prediction at zero SNR', () => {
    const x = four(1, 2, 3, 4);
    expect(() => ddim(10).step(x, 901, x, { eta: 1 })).toThrow(/no noise was given/);
    expect(() => ddim(10).step(x, 901, x, { eta: 1, noise: tf.zeros([1, 2, 2, 2]) })).toThrow(/noise: shapes/);
    const zero = { ...stableDiffusion, rescale_betas_zero_snr: true, timestep_spacing: 'trailing' };
    expect(() => ddim(10, zero).coefficients(999)).toThrow(/alpha-bar is 0/);
    expect(() => ddim(10, { ...zero, prediction_type: 'v_prediction' }).coefficients(999)).not.toThrow();
  });
});

describe('DDPM', () => {
  it('has the variances of its types', () => {
    // DDPMScheduler(variance_type=...), set_timesteps(10), _get_variance(t)
    const large = ddpm(10, { variance_type: 'fixed_large' });
    const small = ddpm(10, {});
    expect(large.coefficients(900).sigma ** 2).toBeCloseTo(0.8207358, 6);
    expect(large.coefficients(100).sigma ** 2).toBeCloseTo(0.1047691, 6);
    expect(small.coefficients(900).sigma ** 2).toBeCloseTo(0.81972, 6);
    expect(small.coefficients(100).sigma ** 2).toBeCloseTo(9.9931e-5, 8);
    expect(small.coefficients(0).sigma).toBe(0);
    expect(large.coefficients(0).sigma).toBe(0);
    expect(() => DDPMScheduler.fromConfig({ variance_type: 'fixed_big' })).toThrow(/unknown variance_type `fixed_big`/);
    expect(() => DDPMScheduler.fromConfig({ variance_type: 'learned_range' })).toThrow(/unknown variance_type/);
  });

  it('is DDIM with eta 1 where nothing is clipped (Song et al. 2021, section 4.1)', async () => {
    const config = { ...stableDiffusion, steps_offset: 0, set_alpha_to_one: true };
    const [x, out] = [four(0.5, -1, 0.25, 2), four(0.1, -0.3, 0.7, 1.1)];
    for (const timestep of [900, 500, 100]) {
      const a = ddim(10, config).coefficients(timestep, { eta: 1 });
      const b = ddpm(10, config).coefficients(timestep);
      expect(b.sigma).toBeCloseTo(a.sigma, 9);
      await expectClose(ddpm(10, config).mean(out, x, [b]).mean, [
        ...(await ddim(10, config).mean(out, x, [a]).mean.data()),
      ]);
    }
  });
});

describe('any scheduler', () => {
  it('gives a batch of mixed timesteps what each of its rows gets alone, and gradients', async () => {
    for (const scheduler of [
      ddim(10),
      ddim(10, {}),
      ddpm(10, {}),
      ddim(10, { prediction_type: 'v_prediction', clip_sample: false }),
    ]) {
      const rows = [0, 4, 8].map((i) => scheduler.coefficients(scheduler.timesteps[i]!, { eta: 1 }));
      const x = tf.tensor4d(
        Float32Array.from({ length: 12 }, (_, i) => Math.sin(3 * i)),
        [3, 2, 2, 1],
      );
      const out = tf.tensor4d(
        Float32Array.from({ length: 12 }, (_, i) => Math.cos(2 * i)),
        [3, 2, 2, 1],
      );
      const together = await scheduler.mean(out, x, rows).mean.data();
      for (const [i, row] of rows.entries()) {
        const one = (t: tf.Tensor4D) => t.slice([i, 0, 0, 0], [1, 2, 2, 1]);
        await expectClose(scheduler.mean(one(out), one(x), [row]).mean, [...together.slice(4 * i, 4 * i + 4)], 6);
      }
      const gradient = await tf
        .grad((o) => scheduler.mean(o as tf.Tensor4D, x, rows).mean.sum())(out)
        .data();
      // The mean is piecewise linear in the output, and linear where nothing is clipped.
      const step = 1e-2;
      const moved = await scheduler.mean(out.add(step), x, rows).mean.data();
      if (!scheduler.config.clip_sample)
        for (const [i, slope] of gradient.entries()) expect((moved[i]! - together[i]!) / step).toBeCloseTo(slope, 3);
      expect(gradient.some((g) => g !== 0)).toBe(true);
    }
  });

  it('adds noise and knows the velocity', async () => {
    // DDIMScheduler().add_noise(x, z, [500]), .get_velocity(x, z, [500])
    const scheduler = DDIMScheduler.fromConfig();
    const [x, noise] = [four(0.5, -1, 0.25, 2), four(-0.2, 0.4, 1, -0.6)];
    await expectClose(scheduler.addNoise(x, noise, [500]), [-0.0526026, 0.1052052, 1.0300443, -0.0183476], 6);
    await expectClose(scheduler.velocity(x, noise, [500]), [-0.5359412, 1.0718824, 0.0388419, -2.0879807], 6);
    // The target is what the network predicts.
    await expectClose(scheduler.target(x, noise, [500]), [-0.2, 0.4, 1, -0.6], 6);
    await expectClose(
      DDIMScheduler.fromConfig({ prediction_type: 'sample' }).target(x, noise, [500]),
      [0.5, -1, 0.25, 2],
    );
    await expectClose(
      DDIMScheduler.fromConfig({ prediction_type: 'v_prediction' }).target(x, noise, [500]),
      [-0.5359412, 1.0718824, 0.0388419, -2.0879807],
      6,
    );
    expect(scheduler.trainTimesteps).toEqual(Array.from({ length: 1000 }, (_, t) => t));
    expect(() => scheduler.addNoise(x, noise, [500, 1])).toThrow(/a batch of 1 with 2 timesteps/);
    expect(() => scheduler.addNoise(x, noise, [1000])).toThrow(/0\.\.999, actual value 1000/);
    expect(() => scheduler.velocity(x, tf.zeros([1, 2, 2, 2]), [1])).toThrow(/shapes \[1,2,2,1\] and \[1,2,2,2\]/);
  });

  it('takes from a foreign configuration what it knows, and its own defaults for the rest', async () => {
    const { config } = DDIMScheduler.fromConfig(stableDiffusion);
    expect(config).toMatchObject({ steps_offset: 1, clip_sample: false, set_alpha_to_one: false, beta_end: 0.012 });
    expect(config).toMatchObject({ prediction_type: 'epsilon', timestep_spacing: 'leading', clip_sample_range: 1 });
    expect(config).not.toHaveProperty('skip_prk_steps');
    await writeFile(join(folder, 'scheduler_config.json'), JSON.stringify(stableDiffusion));
    expect(await loadScheduler(folder)).toBeInstanceOf(DDIMScheduler);
    await DDPMScheduler.fromConfig({ variance_type: 'fixed_large' }).save(folder);
    expect(await loadScheduler(folder)).toBeInstanceOf(DDPMScheduler);
    const written = JSON.parse(await readFile(join(folder, 'scheduler_config.json'), 'utf8'));
    expect(written).toMatchObject({ _class_name: 'DDPMScheduler', variance_type: 'fixed_large', trained_betas: null });
  });

  // What diffusers 0.42's DDIMScheduler.from_pretrained makes of the folders that these schedulers save; those of both
  // DPMSolvers hold a bare -Infinity.
  it.each([
    ['PNDMScheduler', 'leading', [800, 600, 400, 200, 0], { set_alpha_to_one: false, skip_prk_steps: false }],
    ['EulerDiscreteScheduler', 'linspace', [999, 749, 500, 250, 0], { use_karras_sigmas: true }],
    ['DPMSolverMultistepScheduler', 'linspace', [999, 749, 500, 250, 0], { lambda_min_clipped: -1 / 0 }],
    ['DPMSolverSinglestepScheduler', 'leading', [800, 600, 400, 200, 0], { lambda_min_clipped: -1 / 0 }],
    ['UniPCMultistepScheduler', 'linspace', [999, 749, 500, 250, 0], { solver_order: 2 }],
  ])('reads the configuration of a %s as that of DDIM, and says so', async (name, spacing, timesteps, others) => {
    const saved = {
      ...{ _class_name: name, beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' },
      // The two whose files do not say it have no such key.
      ...(name === 'PNDMScheduler' || name === 'DPMSolverSinglestepScheduler' ? {} : { timestep_spacing: spacing }),
      ...others,
    };
    const text = JSON.stringify(saved, (_, value) => (value === -1 / 0 ? '-Infinity' : value));
    await writeFile(join(folder, 'scheduler_config.json'), text.replace('"-Infinity"', '-Infinity'));
    const warnings: string[] = [];
    const scheduler = await loadScheduler(folder, (message) => warnings.push(message));
    scheduler.setTimesteps(5);
    expect(scheduler).toBeInstanceOf(DDIMScheduler);
    expect(scheduler.timesteps).toEqual(timesteps);
    expect((scheduler as DDIMScheduler).alphasCumprod[500]).toBeCloseTo(0.27633246779441833, 6);
    expect(warnings).toEqual([expect.stringContaining(`of a ${name} is read as DDIM's`)]);
    expect(warnings[0]).toMatch(/nothing of clip_sample/);
  });

  it('names the field that is wrong', async () => {
    expect(() => DDIMScheduler.fromConfig({ beta_start: '1e-4' })).toThrow(/beta_start must be a number.*"1e-4"/);
    expect(() => DDIMScheduler.fromConfig({ clip_sample: 1 })).toThrow(/clip_sample must be a boolean/);
    expect(() => DDIMScheduler.fromConfig({ prediction_type: 'v' })).toThrow(/unknown prediction_type `v`/);
    expect(() => DDIMScheduler.fromConfig({ timestep_spacing: 'trailling' })).toThrow(/Did you mean `trailing`/);
    expect(() => DDIMScheduler.fromConfig({ beta_schedule: 'cosine' })).toThrow(/beta_schedule `cosine`/);
    expect(() => DDIMScheduler.fromConfig({ num_train_timesteps: 1.5 })).toThrow(/actual value 1.5/);
    await writeFile(join(folder, 'scheduler_config.json'), '{"_class_name": "FlowMatchHeunDiscreteScheduler"}');
    await expect(loadScheduler(folder)).rejects.toThrow(/unknown scheduler `FlowMatchHeun/);
    await expect(loadScheduler(join(folder, 'absent'))).rejects.toThrow(/absent.*does not exist/);
  });

  it('leaks no tensors', () => {
    const scheduler = ddim(10, { thresholding: true });
    const x = four(0.5, -1, 0.25, 2);
    const before = tf.memory().numTensors;
    for (const t of scheduler.timesteps) {
      tf.dispose(scheduler.step(x, t, x, { eta: 1, noise: x }));
      tf.dispose([scheduler.addNoise(x, x, [t]), scheduler.velocity(x, x, [t]), scheduler.predOriginal(x, x, [t])]);
      gaussianLogProb(x, x, [1]).dispose();
    }
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('log-probability', () => {
  it('is the mean over dimensions', async () => {
    // -((x - m) ** 2) / (2 * s ** 2) - log(s) - log(sqrt(2 * pi)), mean over all but the batch
    const scheduler = ddim(50);
    const [x, out, noise] = [four(0.5, -1, 0.25, 2), four(0.1, -0.3, 0.7, 1.1), four(-0.2, 0.4, 1, -0.6)];
    for (const [timestep, expected] of [
      [981, -0.3253005],
      [501, 0.1075715],
      [1, 2.766182],
    ] as const) {
      const row = scheduler.coefficients(timestep, { eta: 1 });
      const { prevSample } = scheduler.step(out, timestep, x, { eta: 1, noise });
      await expectClose(gaussianLogProb(prevSample, scheduler.mean(out, x, [row]).mean, [row.sigma]), [expected]);
    }
  });

  it('does not exist without noise', () => {
    const x = four(1, 2, 3, 4);
    expect(() => gaussianLogProb(x, x, [0])).toThrow(/sigma of row 0 is 0/);
    expect(() => gaussianLogProb(x, x, [1, 1])).toThrow(/2 sigmas for a batch of 1/);
  });
});
