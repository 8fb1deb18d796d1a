import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { FlowMatchEulerDiscreteScheduler } from '../../diffusion/index.js';
import { parseConfig, type RunConfigInput } from '../../training/config/index.js';
import { runTraining } from '../../training/run.js';
import { sampleImages } from '../../training/sample.js';
import { saveTinyDenoiser } from './tiny-denoiser.js';

let temporary: string;
beforeAll(async () => {
  await useBackend('wasm');
  temporary = await mkdtemp(join(tmpdir(), 'flow-'));
  await saveTinyDenoiser(join(temporary, 'flow'), FlowMatchEulerDiscreteScheduler.fromConfig({ shift: 2 }));
  await saveTinyDenoiser(join(temporary, 'diffusion'));
});
afterAll(() => rm(temporary, { recursive: true }));

const start = (more: RunConfigInput = {}) =>
  runTraining(
    parseConfig({
      name: 'run',
      runs: temporary,
      model: join(temporary, 'flow'),
      sampling: { steps: 4, eta: 0.7 },
      samplesPerEpoch: 8,
      numEnvs: 4,
      epochs: 1,
      evaluation: { samples: 4 },
      backend: 'wasm',
      ...more,
    }),
    { warn: () => {}, overwrite: true },
  );

it('a model of flow matching is fine-tuned as any other', async () => {
  const { folder } = await start();
  const [metrics] = await folder.metrics();
  // All four steps have noise; with the weights that sampled them the ratios are 1.
  expect(metrics!['train/transitions']).toBe(32);
  expect(metrics!['check/ratioError']).toBeLessThan(1e-4);
  expect(metrics!['check/gradientError']).toBeLessThan(1e-3);
  const { images } = await sampleImages({ run: folder.path, prompts: ['a red circle'] });
  expect(images[0]!.shape).toEqual([8, 8, 3]);
});

it('a scheduler that the model was not trained for is an error', async () => {
  await expect(start({ sampling: { scheduler: 'ddim' } })).rejects.toThrow(/must be flow-match \(or auto\)/);
  await expect(start({ model: join(temporary, 'diffusion'), sampling: { scheduler: 'flow-match' } })).rejects.toThrow(
    /must be ddim or ddpm \(or auto\).*actual value flow-match/,
  );
});
