import { expect, it } from 'vitest';
import { DDIMScheduler, gaussianLogProb } from '../../diffusion/schedulers/index.js';
import { type FixtureArray, fromNhwc, largestError, readFixture, startBackend, toNhwc } from './fixtures.js';

interface Case {
  timestep: number;
  eta: number;
  sample: FixtureArray;
  modelOutput: FixtureArray;
  mean: FixtureArray;
  std: number;
  prevSample: FixtureArray;
  logProb: FixtureArray;
}

await startBackend();
const { scheduler: described, cases } = await readFixture<{ scheduler: string; cases: Case[] }>('ddim_log_prob.json');

// The file gives the configuration in words: "scaled_linear .00085 to .012, 1000 training steps, ... 50 steps".
const words =
  /^(\w+) (\S+) to (\S+), (\d+) training steps.* steps_offset (\d+), set_alpha_to_one (\w+), (\w+) spacing, (\d+) steps, (\w+)/;
const [, schedule, start, end, training, offset, toOne, spacing, steps, prediction] = words.exec(described)!;
const scheduler = DDIMScheduler.fromConfig({
  beta_schedule: schedule,
  beta_start: Number(start),
  beta_end: Number(end),
  num_train_timesteps: Number(training),
  steps_offset: Number(offset),
  set_alpha_to_one: toOne === 'true',
  timestep_spacing: spacing,
  prediction_type: prediction,
  clip_sample: false,
});
scheduler.setTimesteps(Number(steps));

it.each(cases)('timestep $timestep, eta $eta: mean, sigma and log-probability of a DDIM step', async (given) => {
  const row = scheduler.coefficients(given.timestep, { eta: given.eta });
  expect(Math.abs(row.sigma - given.std)).toBeLessThan(1e-5);
  const batch = given.sample.shape[0]!;
  const rows = Array.from({ length: batch }, () => row);
  const { mean } = scheduler.mean(toNhwc(given.modelOutput), toNhwc(given.sample), rows);
  const logProb = gaussianLogProb(
    toNhwc(given.prevSample),
    mean,
    rows.map(({ sigma }) => sigma),
  );
  expect(largestError(await logProb.data(), given.logProb.data)).toBeLessThan(1e-5);
  expect(largestError(await fromNhwc(mean), given.mean.data)).toBeLessThan(1e-5);
});
