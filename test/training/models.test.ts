import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { Random } from '../../core/random.js';
import {
  AutoencoderKL,
  CLIPTextModel,
  CLIPTokenizer,
  DDIMScheduler,
  DDPMScheduler,
  type Denoiser,
  disposeDenoiser,
  saveDenoiser,
  UNet2DConditionModel,
  UNet2DModel,
} from '../../diffusion/index.js';
import { parseConfig, type RunConfigInput } from '../../training/config/index.js';
import { compose } from '../../training/families/index.js';
import { runTraining } from '../../training/run.js';
import { sampleImages } from '../../training/sample.js';
import { openCheckpoint } from '../../training/trained.js';

// Models of other kinds than the embedded one: of latents, of classes, grey, unconditional.

let temporary: string;
const folder = (name: string) => join(temporary, name);
const random = new Random('models');
const blocks = { block_out_channels: [8, 8], layers_per_block: 1, norm_num_groups: 4 };

async function save(name: string, denoiser: Denoiser): Promise<void> {
  await saveDenoiser(folder(name), denoiser);
  disposeDenoiser(denoiser);
}

function pixelUnet(options: { num_class_embeds?: number } = {}): UNet2DModel {
  return UNet2DModel.create(
    {
      ...{ sample_size: 8, in_channels: 1, out_channels: 1, ...blocks, attention_head_dim: 4 },
      ...{ down_block_types: ['DownBlock2D', 'AttnDownBlock2D'], up_block_types: ['AttnUpBlock2D', 'UpBlock2D'] },
      ...options,
    },
    random.child('unet'),
  );
}

beforeAll(async () => {
  await useBackend('wasm');
  temporary = await mkdtemp(join(tmpdir(), 'models-'));
  const tokenizer = CLIPTokenizer.fromWords(['a', 'red', 'blue', 'circle'], 6);
  await save('latent', {
    unet: UNet2DConditionModel.create(
      {
        ...{ sample_size: 4, ...blocks, cross_attention_dim: 8, attention_head_dim: 2 },
        down_block_types: ['DownBlock2D', 'CrossAttnDownBlock2D'],
        up_block_types: ['CrossAttnUpBlock2D', 'UpBlock2D'],
      },
      random.child('unet'),
    ),
    textEncoder: CLIPTextModel.create(
      {
        ...{ vocab_size: tokenizer.vocabSize, hidden_size: 8, intermediate_size: 16, num_hidden_layers: 1 },
        ...{ num_attention_heads: 2, max_position_embeddings: 6, eos_token_id: tokenizer.eosTokenId },
      },
      random.child('text'),
    ),
    tokenizer,
    vae: AutoencoderKL.create(
      {
        ...blocks,
        down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D'],
        up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D'],
      },
      random.child('vae'),
    ),
    // As Stable Diffusion has it, with leading timesteps.
    scheduler: DDIMScheduler.fromConfig({ steps_offset: 1, clip_sample: false, set_alpha_to_one: false }),
  });
  await save('grey', { unet: pixelUnet(), scheduler: DDPMScheduler.fromConfig({}) });
  await save('classes', { unet: pixelUnet({ num_class_embeds: 3 }), scheduler: DDPMScheduler.fromConfig({}) });
});
afterAll(() => rm(temporary, { recursive: true }));

const configOf = (model: string, more: RunConfigInput = {}) =>
  parseConfig({
    ...{ name: model, runs: folder('runs'), model: folder(model), samplesPerEpoch: 4, numEnvs: 4, epochs: 1 },
    ...{ sampling: { steps: 2 }, evaluation: { samples: 2 }, backend: 'wasm', workers: 0 },
    prompts: { kind: 'list', list: ['a red circle', 'a blue circle'] },
    ...more,
  });
const start = (model: string, more: RunConfigInput = {}, warn: (message: string) => void = () => {}) =>
  runTraining(configOf(model, more), { warn, overwrite: true });

const schedulerOf = async (model: string) =>
  JSON.parse(await readFile(join(model, 'scheduler', 'scheduler_config.json'), 'utf8'));

describe('a model of latents', () => {
  it.each([
    ['whole', {}],
    ['by a LoRA', { adapter: { rank: 2 } }],
  ])('is trained %s, sampled, and exported with its autoencoder', async (_, more) => {
    const before = tf.memory().numTensors;
    const { folder: run } = await start('latent', more);
    const [metrics] = await run.metrics();
    expect(metrics!['check/ratioError']).toBeLessThan(1e-4);
    expect(tf.memory().numTensors).toBe(before);
    const own = await sampleImages({ run: run.path, prompts: ['a red circle'] });
    expect(own.images[0]!.shape).toEqual([8, 8, 3]);
    expect(own.webp).toBeUndefined();

    const config = configOf('latent', more);
    const parts = await compose(config);
    await parts.agent.restore((await openCheckpoint(run.path)).path);
    const out = folder('exported');
    expect(await parts.saveModel!(out)).toMatch(/StableDiffusionPipeline/);
    await parts.close();
    const sampling = { steps: 2 };
    const exported = await sampleImages({ model: out, prompts: ['a red circle'], sampling, animation: true });
    expect(exported.images[0]!.data).toEqual(own.images[0]!.data);
    expect(exported.webp!.length).toBeGreaterThan(0);
  });

  it('makes pictures of another size', async () => {
    const sample = (size: number) =>
      sampleImages({ model: folder('latent'), prompts: ['a circle'], sampling: { steps: 1, size } });
    expect((await sample(12)).images[0]!.shape).toEqual([12, 12, 3]);
    await expect(sample(13)).rejects.toThrow(/sampling\.size: must be a multiple of 2/);
  });

  it('does not take an η that it would ignore', async () => {
    const sampling = { steps: 1, eta: 1 };
    await expect(sampleImages({ model: folder('latent'), prompts: ['a circle'], sampling })).rejects.toThrow(
      /sampling\.eta \(1\) would be ignored; eta stands beside sampling/,
    );
  });

  it('makes large pictures in tiles', async () => {
    const sample = async (more: Record<string, unknown>) => {
      const sampling = { steps: 1, size: 24, ...more };
      return (await sampleImages({ model: folder('latent'), prompts: ['a circle'], sampling })).images[0]!;
    };
    const [whole, tiled] = [await sample({}), await sample({ tile: 8 })];
    expect(tiled.shape).toEqual([24, 24, 3]);
    expect(tiled.data).not.toEqual(whole.data);
    await expect(sample({ tile: 9 })).rejects.toThrow(/sampling\.tile: must be a multiple of 8 pixels/);
    const grey = sampleImages({ model: folder('grey'), sampling: { tile: 8 } });
    await expect(grey).rejects.toThrow(/sampling\.tile: given.*no autoencoder/);
  });

  it('has the timesteps of its scheduler, and an export those of the run', async () => {
    const timesteps = async (more: RunConfigInput) => {
      const parts = await compose(configOf('latent', more));
      const { observations } = await parts.envs[0]!.reset({});
      await parts.saveModel!(folder('spaced'));
      await parts.close();
      const { timestep_spacing: spacing } = await schedulerOf(folder('spaced'));
      return [(observations[0] as { timestep: number }).timestep, spacing];
    };
    // Of 2 steps of 1000: 500 + 1 is leading, 999 trailing.
    expect(await timesteps({})).toEqual([501, 'leading']);
    expect(await timesteps({ sampling: { steps: 2, spacing: 'trailing' } })).toEqual([999, 'trailing']);
  });
});

describe('prompts are looked at before a run begins', () => {
  const compositionOf = async (more: RunConfigInput, warn?: (message: string) => void) => {
    const parts = await compose(configOf('latent', more), { warn });
    await parts.close();
  };

  it('one that is too long is named with its line, or cut on request', async () => {
    const path = folder('prompts.csv');
    await writeFile(path, 'prompt,n\na red circle,1\na red circle a blue circle,2\n');
    const prompts = { kind: 'file' as const, path };
    await expect(compositionOf({ prompts })).rejects.toThrow(
      /prompts\.csv:3: .*has 8 tokens .*takes 6.*prompts\.truncation/,
    );
    await compositionOf({ prompts: { ...prompts, truncation: true } });
    const { images } = await sampleImages({
      ...{ model: folder('latent'), prompts: ['a red circle a blue circle'], truncation: true, sampling: { steps: 1 } },
    });
    expect(images).toHaveLength(1);
  });

  it('a negative prompt too, and it needs guidance', async () => {
    const negativePrompt = 'a red circle a blue circle';
    await expect(compositionOf({ sampling: { steps: 2, guidanceScale: 2, negativePrompt } })).rejects.toThrow(
      /sampling\.negativePrompt: .*8 tokens/,
    );
    expect(() => configOf('latent', { sampling: { negativePrompt: 'a' } })).toThrow(/guidanceScale is 1/);
  });

  it('changes what guidance leads away from', async () => {
    const sample = async (negativePrompt: string) => {
      const sampling = { steps: 2, guidanceScale: 3, negativePrompt };
      return (await sampleImages({ model: folder('latent'), prompts: ['a circle'], sampling })).images[0]!.data;
    };
    expect(await sample('a blue')).not.toEqual(await sample(''));
    expect(await sample('a blue')).toEqual(await sample('a blue'));
  });

  it('words that the model does not know are named, each once', async () => {
    const warnings: string[] = [];
    const list = ['a pink circle', 'a red Pink circle', 'a circle'];
    await compositionOf({ prompts: { kind: 'list', list, truncation: true } }, (message) => warnings.push(message));
    expect(warnings).toEqual([expect.stringContaining('does not know the words "pink" (prompts.list[0]):')]);
  });
});

describe('models without text', () => {
  it('a grey one is trained, and sampled without a prompt', async () => {
    const { folder: run } = await start('grey');
    expect((await run.metrics())[0]!['check/ratioError']).toBeLessThan(1e-4);
    const { images } = await sampleImages({ model: folder('grey'), sampling: { steps: 2 } });
    expect(images[0]!.shape).toEqual([8, 8, 3]);
    await expect(sampleImages({ model: folder('grey'), prompts: ['a cat'] })).rejects.toThrow(
      /is unconditional.*actual value "a cat"; leave it out/,
    );
    const { data } = images[0]!;
    for (let i = 0; i < data.length; i += 3) expect([data[i + 1], data[i + 2]]).toEqual([data[i], data[i]]);
  });

  it('one of classes is trained with their numbers as prompts', async () => {
    await expect(start('classes')).rejects.toThrow(/prompts\.list\[0\]: the prompt "a red circle" is no class/);
    const { folder: run } = await start('classes', { prompts: { kind: 'list', list: ['0', '2'] } });
    expect((await run.metrics())[0]!['check/ratioError']).toBeLessThan(1e-4);
    const sample = async (prompt: string) =>
      (await sampleImages({ model: folder('classes'), prompts: [prompt], sampling: { steps: 2 } })).images[0]!.data;
    expect(await sample('0')).not.toEqual(await sample('2'));
  });

  it('models that take prompts ask for one', async () => {
    await expect(sampleImages({ model: folder('classes') })).rejects.toThrow(/takes the number of a class.*--prompt/);
    await expect(sampleImages({ model: folder('latent') })).rejects.toThrow(/takes a text/);
  });
});
