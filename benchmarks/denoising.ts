import { DenoisingPolicy, makeAgent } from '../agents/index.js';
import { type BackendName, useBackend } from '../backend/index.js';
import { GymError } from '../core/errors.js';
import { Random } from '../core/random.js';
import { DDIMScheduler, disposeDenoiser, encodePrompts, loadDenoiser } from '../diffusion/index.js';
import { Denoising } from '../envs/denoising/denoising.js';
import { promptList } from '../envs/denoising/prompts.js';
import { shapesPrompts } from '../rewards/index.js';
import { latentShape } from '../training/families/denoising.js';
import { Collector, modelFolder } from '../training/index.js';
import { median, print } from './print.js';

export interface DenoisingOptions {
  model: string;
  batches: number[];
  steps: number;
  repeats: number;
  backend?: BackendName;
  json?: boolean;
}

/**
 * What fine-tuning spends its time on: whole chains sampled (η = 1, unguided) and transitions trained (forward, backward,
 * and the optimiser's steps of PPO), with the batch as the size of one pass. Sizes go up, since a process's peak memory does.
 */
export async function denoising({ model, batches, steps, repeats, backend, json }: DenoisingOptions): Promise<void> {
  const info = await useBackend(backend);
  const rows = [];
  for (const batch of [...batches].sort((a, b) => a - b)) {
    if (!Number.isInteger(batch) || batch < 1)
      throw new GymError('E_VALUE', `--batches: must be whole numbers of at least 1, actual value ${batch}.`);
    const denoiser = await loadDenoiser(modelFolder(model));
    const scheduler = DDIMScheduler.fromConfig({ ...denoiser.scheduler.config, timestep_spacing: 'trailing' });
    scheduler.setTimesteps(steps);
    const policy = new DenoisingPolicy({
      unet: denoiser.unet,
      sampler: scheduler,
      embed: denoiser.textEncoder && ((prompts) => encodePrompts(denoiser, prompts)),
    });
    const agent = await makeAgent('ppo', {
      policy,
      // without a baseline, since a batch of one sample has no variance
      options: { collect: { episodes: batch }, microBatch: batch, advantage: 'none' },
      random: new Random(1),
      warn: () => {},
    });
    const env = new Denoising({
      timesteps: scheduler.timesteps,
      latentShape: latentShape(denoiser),
      initNoiseSigma: scheduler.initNoiseSigma,
      prompts: promptList(shapesPrompts('composition')),
      // a reward that costs nothing and differs from sample to sample, so that there is something to learn
      reward: ({ images }) => Float64Array.from({ length: images.shape[0]! }, (_, i) => i + 1),
      numEnvs: batch,
      seed: 0,
    });
    const collector = new Collector({ agent, envs: [env], seed: 0 });
    const sampling: number[] = [];
    const training: number[] = [];
    let transitions = 0;
    for (let i = 0; i <= repeats; i++) {
      const started = performance.now();
      const { rollout } = await collector.collect();
      const sampled = performance.now();
      const metrics = await agent.learn(rollout);
      const trained = performance.now();
      transitions = metrics['train/transitions']!;
      if (i === 0) continue; // warm-up
      sampling.push((sampled - started) / 1000);
      training.push((trained - sampled) / 1000);
    }
    rows.push({
      batch,
      'images/s': batch / median(sampling),
      'transitions/s': transitions / median(training),
      'peak MiB': process.resourceUsage().maxRSS / 1024,
    });
    agent.dispose();
    disposeDenoiser(denoiser);
  }
  print('denoising', info, { model, steps, repeats, eta: 1, guidanceScale: 1 }, rows, json);
}
