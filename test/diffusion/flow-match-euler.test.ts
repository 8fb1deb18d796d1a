import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { Random } from '../../core/random.js';
import { FlowMatchEulerDiscreteScheduler, gaussianLogProb, loadScheduler } from '../../diffusion/schedulers/index.js';

let folder = '';
beforeAll(async () => {
  await useBackend();
  folder = await mkdtemp(join(tmpdir(), 'flow-match-'));
});
afterAll(() => rm(folder, { recursive: true }));

function flow(steps: number, shift = 3): FlowMatchEulerDiscreteScheduler {
  const scheduler = FlowMatchEulerDiscreteScheduler.fromConfig({ shift });
  scheduler.setTimesteps(steps);
  return scheduler;
}

const four = (...values: number[]) => tf.tensor4d(values, [1, 2, 2, 1]);
const x = () => four(0.5, -1, 0.25, 2);
const v = () => four(0.1, -0.3, 0.7, 1.1);
const z = () => four(-0.2, 0.4, 1, -0.6);

async function expectClose(tensor: tf.Tensor, expected: readonly number[], digits = 6) {
  const actual = await tensor.data();
  expect(actual.length).toBe(expected.length);
  for (const [i, value] of expected.entries()) expect(actual[i]).toBeCloseTo(value, digits);
}

it("has diffusers' timesteps, which are T·σ and shifted twice", () => {
  // FlowMatchEulerDiscreteScheduler(shift=3), set_timesteps(10).sigmas and, for 40 steps, the last of them
  const sigmas = [1, 0.960129, 0.913349, 0.857692, 0.790368, 0.707278, 0.602151, 0.464876, 0.278049, 0.008929];
  const scheduler = flow(10);
  expect(scheduler.timesteps.length).toBe(10);
  for (const [i, sigma] of sigmas.entries()) expect(scheduler.timesteps[i]! / 1000).toBeCloseTo(sigma, 5);
  for (const [i, sigma] of [0.146509, 0.081046, 0.008929].entries())
    expect(flow(40).timesteps[37 + i]! / 1000).toBeCloseTo(sigma, 5);
  expect(flow(4, 1).timesteps).toEqual([1000, 667, 334, 1]);
  expect(flow(1).timesteps).toEqual([1000]);
  expect(scheduler.initNoiseSigma).toBe(1);
});

it("makes Flow-GRPO's stochastic steps", async () => {
  // flow_grpo's sde_step_with_logprob with noise_level 0.7 at steps 0, 4 and 8 of 10: mean or next sample, standard
  // deviation, log-probability.
  const scheduler = flow(10);
  for (const [step, sigma, next, logProb] of [
    [0, 0.7, [0.2335129, -0.4630388, 0.8608405, 1.0461422], -0.7572636],
    [4, 0.3917943, [0.3627423, -0.7151399, 0.5451045, 1.4569152], -0.1769202],
    [8, 0.2253605, [0.3757584, -0.7180113, 0.2179902, 1.3135673], 0.3761155],
  ] as const) {
    const timestep = scheduler.timesteps[step]!;
    const row = scheduler.coefficients(timestep, { eta: 0.7 });
    expect(row.sigma).toBeCloseTo(sigma, 6);
    const { prevSample } = scheduler.step(v(), timestep, x(), { eta: 0.7, noise: z() });
    await expectClose(prevSample, next);
    const { mean } = scheduler.mean(v(), x(), [row]);
    if (step === 0) await expectClose(mean, [0.3735129, -0.7430388, 0.1608405, 1.4661422]);
    await expectClose(gaussianLogProb(prevSample, mean, [row.sigma]), [logProb]);
  }
});

it("without noise makes Euler's steps, which lead from noise to sample along a straight flow", async () => {
  const scheduler = flow(7, 1);
  const [sample, noise] = [x(), z()];
  const velocity = scheduler.target(sample, noise, [1000]);
  await expectClose(velocity, [-0.7, 1.4, 0.75, -2.6]);
  let latents = noise;
  for (const t of scheduler.timesteps) {
    // On the way x is what the forward process says.
    await expectClose(latents, [...(await scheduler.addNoise(sample, noise, [t]).data())], 5);
    const { prevSample, predOriginal } = scheduler.step(velocity, t, latents);
    await expectClose(predOriginal, [0.5, -1, 0.25, 2], 5);
    latents = prevSample;
  }
  await expectClose(latents, [0.5, -1, 0.25, 2], 5);
});

it('with noise keeps the distribution of the flow', async () => {
  // Where x_0 is N(0, 2²), the best velocity is E[ε − x_0 | x] = x · (σ − (1 − σ)·4) / ((1 − σ)²·4 + σ²), and 200 short
  // steps must end in that distribution again, whatever the noise. Of 10,000 samples the error of the deviation is 0.014.
  const scheduler = flow(200, 1);
  for (const eta of [0, 0.5, 1]) {
    const random = new Random(`flow ${eta}`);
    let latents = random.normals(10_000);
    for (const t of scheduler.timesteps) {
      const { sigma, mean, level: s } = scheduler.coefficients(t, { eta });
      const slope = (s - (1 - s) * 4) / ((1 - s) ** 2 * 4 + s * s);
      const noise = random.normals(latents.length);
      latents = latents.map((x, i) => (mean.sample + mean.output * slope) * x + sigma * noise[i]!);
    }
    const deviation = Math.sqrt(latents.reduce((sum, x) => sum + x * x, 0) / latents.length);
    expect(Math.abs(deviation - 2), `noise ${eta}`).toBeLessThan(0.06);
  }
});

it('takes rows at different timesteps, and passes gradients on', async () => {
  const scheduler = flow(10);
  const rows = [0, 5, 9].map((i) => scheduler.coefficients(scheduler.timesteps[i]!, { eta: 0.7 }));
  const [xs, vs] = [tf.concat([x(), x(), x()]), tf.concat([v(), v(), v()])];
  const means = await scheduler.mean(vs, xs, rows).mean.data();
  for (const [i, row] of rows.entries())
    await expectClose(scheduler.mean(v(), x(), [row]).mean, [...means.subarray(4 * i, 4 * i + 4)]);
  const gradient = await tf
    .grad((out) => scheduler.mean(out as tf.Tensor4D, xs, rows).mean.sum())(vs)
    .data();
  for (const [i, value] of gradient.entries()) expect(value).toBeCloseTo(rows[Math.floor(i / 4)]!.mean.output, 6);
  for (const { gain, mean } of rows) expect(gain).toBe(-mean.output);
  const t = scheduler.timesteps;
  await expectClose(scheduler.predOriginal(v(), x(), [500]), [0.45, -0.85, -0.1, 1.45]);
  expect(() => scheduler.mean(v(), x(), rows)).toThrow(/a batch of 1 with 3 timesteps/);
  expect(() => scheduler.addNoise(x(), z(), [1000.5])).toThrow(/0\.\.1000, actual value 1000.5/);
  expect(() => scheduler.step(v(), t[0]!, x(), { eta: 1 })).toThrow(/no noise was given/);
});

it('trains at the shifted noise levels, from the least', () => {
  // FlowMatchEulerDiscreteScheduler(shift=3).timesteps[[-1, 0]]: 1000 · .003 / 1.002 and 1000
  const { trainTimesteps } = FlowMatchEulerDiscreteScheduler.fromConfig({ shift: 3 });
  expect(trainTimesteps.length).toBe(1000);
  expect(trainTimesteps[0]).toBeCloseTo(2.994012, 5);
  expect(trainTimesteps[999]).toBe(1000);
});

it('is kept in the file of diffusers', async () => {
  await FlowMatchEulerDiscreteScheduler.fromConfig({ shift: 2.5, stochastic_sampling: false }).save(folder);
  const file = join(folder, 'scheduler_config.json');
  expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({
    _class_name: 'FlowMatchEulerDiscreteScheduler',
    num_train_timesteps: 1000,
    shift: 2.5,
  });
  const loaded = await loadScheduler(folder);
  expect(loaded).toBeInstanceOf(FlowMatchEulerDiscreteScheduler);
  expect(loaded.config).toEqual({ num_train_timesteps: 1000, shift: 2.5 });
  await writeFile(file, '{"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": true}');
  await expect(loadScheduler(folder)).rejects.toThrow(/use_dynamic_shifting true is not supported; it must be false/);
});

it('says what is wrong', () => {
  const make = (config: Record<string, unknown>) => () => FlowMatchEulerDiscreteScheduler.fromConfig(config);
  expect(make({ shift: 0 })).toThrow(/shift must be above 0, actual value 0/);
  expect(make({ shift: '3' })).toThrow(/shift must be a number, actual value "3"/);
  expect(make({ num_train_timesteps: 0 })).toThrow(/num_train_timesteps must be an integer/);
  const scheduler = FlowMatchEulerDiscreteScheduler.fromConfig();
  expect(() => scheduler.coefficients(1000)).toThrow(/call setTimesteps/);
  expect(() => scheduler.setTimesteps(0)).toThrow(/1\.\.1000, actual value 0/);
  scheduler.setTimesteps(10);
  expect(() => scheduler.coefficients(999)).toThrow(/timestep 999 is not one of the chain's 10/);
  expect(() => scheduler.coefficients(1000, { eta: 2 })).toThrow(/eta must be in 0\.\.1, actual value 2/);
});

it('leaks no tensors', () => {
  const scheduler = flow(10);
  const sample = x();
  const before = tf.memory().numTensors;
  for (const t of scheduler.timesteps) {
    tf.dispose(scheduler.step(sample, t, sample, { eta: 1, noise: sample }));
    tf.dispose([scheduler.addNoise(sample, sample, [t]), scheduler.target(sample, sample, [t])]);
    scheduler.predOriginal(sample, sample, [t]).dispose();
  }
  expect(tf.memory().numTensors).toBe(before);
});
