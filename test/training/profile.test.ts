import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { profileText, RunProfiler } from '../../training/profile.js';
import { runTraining } from '../../training/run.js';
import { saveTinyDenoiser } from './tiny-denoiser.js';

let temporary: string;
beforeAll(async () => {
  await useBackend('wasm');
  temporary = await mkdtemp(join(tmpdir(), 'profile-'));
  await saveTinyDenoiser(join(temporary, 'model'));
});
afterAll(() => rm(temporary, { recursive: true }));

it('says where the time of a run went, and takes itself away', async () => {
  const kernel = () => tf.getKernel('Multiply', 'wasm').kernelFunc;
  const before = kernel();
  const profiler = new RunProfiler();
  profiler.start();
  expect(kernel()).not.toBe(before);
  const { folder } = await runTraining(
    {
      name: 'profiled',
      runs: temporary,
      model: join(temporary, 'model'),
      sampling: { steps: 3 },
      samplesPerEpoch: 8,
      numEnvs: 8,
      epochs: 2,
      evaluation: { samples: 8 },
      backend: 'wasm',
      workers: 0,
    },
    {
      warn: () => {},
      onProgress: (progress) => profiler.onProgress(progress),
      onEvent: (event) => profiler.onEvent(event),
    },
  );
  const profile = profiler.stop();
  expect(kernel()).toBe(before);

  const names = profile.phases.map(({ phase }) => phase);
  for (const phase of ['sampling', 'learning', 'evaluating', 'saving']) expect(names).toContain(phase);
  const learning = profile.phases.find(({ phase }) => phase === 'learning')!;
  expect(learning.kernels.find(({ kernel }) => kernel === 'FusedConvolutionGrad')!.calls).toBeGreaterThan(0);
  for (const { seconds, kernelSeconds } of profile.phases) expect(kernelSeconds).toBeLessThanOrEqual(seconds);
  // Two batches of training, and two evaluations of one batch.
  expect(profile.rewards).toMatchObject([{ name: 'jpeg-incompressibility', batches: 4 }]);
  expect(profileText(profile)).toMatch(/learning .* s .*%/);

  await profiler.write(folder.path, profile);
  const { traceEvents } = JSON.parse(await readFile(join(folder.path, 'trace.json'), 'utf8'));
  expect(traceEvents.length).toBeGreaterThan(100);
  expect(traceEvents[0]).toMatchObject({ ph: 'X', ts: expect.any(Number), dur: expect.any(Number) });
});
