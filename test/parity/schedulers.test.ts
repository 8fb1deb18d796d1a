import { describe, expect, it } from 'vitest';
import { DDIMScheduler, DDPMScheduler } from '../../diffusion/schedulers/index.js';
import { type FixtureArray, fromNhwc, largestError, readFixture, startBackend, toNhwc } from './fixtures.js';

interface Case {
  scheduler: 'DDIMScheduler' | 'DDPMScheduler';
  config: Record<string, unknown>;
  inferenceSteps: number;
  eta: number | null;
  timesteps: number[];
  alphasCumprod: number[];
  alphasCumprodAt: number[];
  steps: {
    timestep: number;
    sample: FixtureArray;
    modelOutput: FixtureArray;
    noise: FixtureArray;
    prevSample: FixtureArray;
    predOriginal: FixtureArray;
  }[];
}

const classes = { DDIMScheduler, DDPMScheduler };
await startBackend();
const { cases } = await readFixture<{ cases: Case[] }>('schedulers.json');

describe.each(cases)('$scheduler $config, $inferenceSteps steps, eta $eta', (given) => {
  const scheduler = classes[given.scheduler].fromConfig(given.config);
  scheduler.setTimesteps(given.inferenceSteps);

  it('has the timesteps of diffusers', () => {
    expect(scheduler.timesteps).toEqual(given.timesteps);
  });

  it('has the noise schedule of diffusers', () => {
    const actual = given.alphasCumprodAt.map((t) => scheduler.alphasCumprod[t]!);
    expect(largestError(actual, given.alphasCumprod)).toBeLessThan(1e-6);
  });

  it.each(given.steps)('makes the step at timestep $timestep', async (step) => {
    const [sample, output, noise] = [toNhwc(step.sample), toNhwc(step.modelOutput), toNhwc(step.noise)];
    const result = scheduler.step(output, step.timestep, sample, { eta: given.eta ?? undefined, noise });
    expect(largestError(await fromNhwc(result.prevSample), step.prevSample.data)).toBeLessThan(1e-5);
    expect(largestError(await fromNhwc(result.predOriginal), step.predOriginal.data)).toBeLessThan(1e-5);
  });

  it('makes all of these steps in one batch', async () => {
    const rows = given.steps.map((step) => scheduler.coefficients(step.timestep, { eta: given.eta ?? undefined }));
    const batch = given.steps[0]!.sample.shape[0]!;
    const stacked = (field: 'sample' | 'modelOutput' | 'predOriginal'): FixtureArray => ({
      data: given.steps.flatMap((step) => step[field].data),
      shape: [given.steps.length * batch, ...given.steps[0]!.sample.shape.slice(1)],
    });
    const { mean, predOriginal } = scheduler.mean(
      toNhwc(stacked('modelOutput')),
      toNhwc(stacked('sample')),
      rows.flatMap((row) => Array.from({ length: batch }, () => row)),
    );
    expect(largestError(await fromNhwc(predOriginal), stacked('predOriginal').data)).toBeLessThan(1e-5);
    const means = await fromNhwc(mean);
    const size = means.length / rows.length;
    const previous = Array.from(means, (mu, i) => {
      const row = Math.floor(i / size);
      return mu + rows[row]!.sigma * given.steps[row]!.noise.data[i % size]!;
    });
    expect(
      largestError(
        previous,
        given.steps.flatMap((step) => step.prevSample.data),
      ),
    ).toBeLessThan(1e-5);
  });
});
