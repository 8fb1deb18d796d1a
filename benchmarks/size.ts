import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BackendName, useBackend } from '../backend/index.js';
import type { NdArray } from '../core/ndarray.js';
import { Random } from '../core/random.js';
import {
  AutoencoderKL,
  CLIPTextModel,
  CLIPTokenizer,
  DDIMScheduler,
  type Denoiser,
  disposeDenoiser,
  saveDenoiser,
  UNet2DConditionModel,
} from '../diffusion/index.js';
import { Collector, compose, parseConfig } from '../training/index.js';
import { print } from './print.js';

export interface SizeOptions {
  model: string;
  pixels: number;
  rank: number;
  backend?: BackendName;
  json?: boolean;
}

/**
 * Random weights in Stable Diffusion 1.5's configuration: 860 million parameters in the UNet, 123 million in the text encoder,
 * 84 million in the autoencoder. Its tokenizer has a few words alone, with ids that the text encoder has.
 */
function stableDiffusion(): Denoiser {
  const random = new Random('size');
  const tokenizer = CLIPTokenizer.fromWords(['a', 'photo', 'of', 'cat', 'dog'], 77);
  const encoderBlocks = Array.from({ length: 4 }, () => 'DownEncoderBlock2D' as const);
  const decoderBlocks = Array.from({ length: 4 }, () => 'UpDecoderBlock2D' as const);
  return {
    // All other keys of its configuration are the classes' defaults.
    unet: UNet2DConditionModel.create({ sample_size: 64, cross_attention_dim: 768 }, random.child('unet')),
    textEncoder: CLIPTextModel.create(
      { hidden_size: 768, intermediate_size: 3072, num_attention_heads: 12, eos_token_id: tokenizer.eosTokenId },
      random.child('text'),
    ),
    tokenizer,
    vae: AutoencoderKL.create(
      {
        ...{ block_out_channels: [128, 256, 512, 512], layers_per_block: 2, sample_size: 512 },
        ...{ down_block_types: encoderBlocks, up_block_types: decoderBlocks },
      },
      random.child('vae'),
    ),
    scheduler: DDIMScheduler.fromConfig({
      ...{ beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear' },
      ...{ set_alpha_to_one: false, steps_offset: 1, clip_sample: false },
    }),
  };
}

/** Forgets the largest resident memory so far, so that {@link peak} is that of what follows. Linux alone knows how. */
function forgetPeak(): void {
  writeFileSync('/proc/self/clear_refs', '5');
}

/** The largest resident memory since {@link forgetPeak}, in GiB. */
function peak(): number {
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1];
  return Number(kibibytes) / 2 ** 20;
}

const parametersOf = (networks: readonly { parameters: ReadonlyMap<string, { size: number }> }[]) =>
  networks.flatMap(({ parameters }) => [...parameters.values()]).reduce((sum, { size }) => sum + size, 0);

/**
 * What a model of Stable Diffusion 1.5's size takes: to make one where the folder holds none, and then, in this or a later
 * process, to load it, to go two guided steps, to decode a picture, and to learn from the two transitions by a LoRA.
 */
export async function size({ model, pixels, rank, backend, json }: SizeOptions): Promise<void> {
  const info = await useBackend(backend);
  const rows: Record<string, string | number>[] = [];
  const phase = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    forgetPeak();
    const started = performance.now();
    const processor = process.cpuUsage();
    const result = await work();
    const { user, system } = process.cpuUsage(processor);
    rows.push({
      what: name,
      seconds: (performance.now() - started) / 1000,
      'processor seconds': (user + system) / 1e6,
      'peak GiB': peak(),
      'resident GiB': process.memoryUsage.rss() / 2 ** 30,
    });
    return result;
  };

  if (!existsSync(join(model, 'model_index.json'))) {
    const made = await phase('make', async () => stableDiffusion());
    await phase('save', () => saveDenoiser(model, made));
    const { unet, textEncoder, vae } = made;
    const parameters = { parameters: parametersOf([unet, textEncoder!, vae!]) };
    disposeDenoiser(made);
    print('size', info, { model, ...parameters }, rows, json);
    return;
  }

  const config = parseConfig(
    {
      ...{ model, workers: 0, numEnvs: 1, samplesPerEpoch: 1, adapter: { rank } },
      prompts: { kind: 'list', list: ['a cat'] },
      sampling: { steps: 2, size: pixels, guidanceScale: 5 },
      // One update on all transitions, of which one at a time is in memory.
      agent: { name: 'ppo', advantage: 'none', minibatches: 1, microBatch: 1 },
    },
    'benchmark',
  );
  const parts = await phase('load', () => compose(config, { reward: () => [1], animation: true, warn: () => {} }));
  try {
    const { rollout } = await phase('two guided steps, decoding', () => {
      const collector = new Collector({ agent: parts.agent, envs: parts.envs, seed: 0 });
      return collector.collect();
    });
    const last = rollout!.steps.at(-1)!.actions[0] as NdArray<Float32Array>;
    const latents = { data: last.data, shape: [1, ...last.shape] };
    const picture = await phase('decoding alone', async () => parts.decode!(latents));
    const metrics = await phase('one update of a LoRA', () => Promise.resolve(parts.agent.learn(rollout)));
    const settings = { model, rank, picture: picture.shape };
    print('size', info, { ...settings, transitions: metrics['train/transitions'] }, rows, json);
  } finally {
    await parts.close();
  }
}
