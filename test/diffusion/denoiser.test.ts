import { access, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { Random } from '../../core/random.js';
import {
  CLIPTextModel,
  CLIPTokenizer,
  DDIMScheduler,
  DDPMScheduler,
  type Denoiser,
  disposeDenoiser,
  encodePrompts,
  loadDenoiser,
  saveDenoiser,
  UNet2DConditionModel,
  UNet2DModel,
} from '../../diffusion/index.js';

let root: string;
let folder: string;
let denoiser: Denoiser;

function small(width = 8): Denoiser {
  const random = new Random(0);
  const tokenizer = CLIPTokenizer.fromWords(['a', 'red', 'circle'], 6);
  return {
    unet: UNet2DConditionModel.create(
      {
        in_channels: 3,
        out_channels: 3,
        block_out_channels: [4, 8],
        layers_per_block: 1,
        down_block_types: ['DownBlock2D', 'CrossAttnDownBlock2D'],
        up_block_types: ['CrossAttnUpBlock2D', 'UpBlock2D'],
        cross_attention_dim: 8,
        attention_head_dim: 2,
        norm_num_groups: 2,
      },
      random.child('unet'),
    ),
    textEncoder: CLIPTextModel.create(
      {
        vocab_size: tokenizer.vocabSize,
        hidden_size: width,
        intermediate_size: 16,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        max_position_embeddings: 6,
        eos_token_id: tokenizer.eosTokenId,
      },
      random.child('text'),
    ),
    tokenizer,
    scheduler: DDIMScheduler.fromConfig({ prediction_type: 'v_prediction' }),
  };
}

beforeAll(async () => {
  await useBackend();
  root = await mkdtemp(join(tmpdir(), 'denoiser-'));
  denoiser = small();
});
beforeEach(async () => {
  folder = await mkdtemp(join(root, 'model-'));
  await saveDenoiser(folder, denoiser);
});
afterAll(() => rm(root, { recursive: true }));

const index = () => join(folder, 'model_index.json');

async function changeIndex(change: Record<string, unknown>): Promise<void> {
  await writeFile(index(), JSON.stringify({ ...JSON.parse(await readFile(index(), 'utf8')), ...change }));
}

describe('a model with text', () => {
  test('comes back as it was', async () => {
    const back = await loadDenoiser(folder);
    expect(back.folder).toBe(folder);
    expect(back.scheduler).toBeInstanceOf(DDIMScheduler);
    expect(back.scheduler.config).toMatchObject({ prediction_type: 'v_prediction' });
    const prompts = ['a red circle', ''];
    const [before, after] = [encodePrompts(denoiser, prompts), encodePrompts(back, prompts)];
    expect(after.shape).toEqual([2, 6, 8]);
    expect(await after.data()).toEqual(await before.data());
    const x = tf.ones<tf.Rank.R4>([2, 8, 8, 3]);
    expect(await back.unet.apply(x, 7, after).data()).toEqual(await denoiser.unet.apply(x, 7, before).data());
    disposeDenoiser(back);
  });

  test('says to Python what its parts are', async () => {
    // What StableDiffusionPipeline.from_pretrained(folder, vae=None) reads.
    expect(JSON.parse(await readFile(index(), 'utf8'))).toMatchObject({
      _class_name: 'StableDiffusionPipeline',
      scheduler: ['diffusers', 'DDIMScheduler'],
      text_encoder: ['transformers', 'CLIPTextModel'],
      tokenizer: ['transformers', 'CLIPTokenizer'],
      unet: ['diffusers', 'UNet2DConditionModel'],
      vae: [null, null],
    });
    // transformers checks types strictly: 1 is no float to it.
    const config = await readFile(join(folder, 'text_encoder', 'config.json'), 'utf8');
    expect(config).toContain('"initializer_factor": 1.0,\n');
    expect(JSON.parse(config).initializer_factor).toBe(1);
  });

  test('frees what it holds and leaves no tensor of an encoding', async () => {
    const before = tf.memory().numTensors;
    const back = await loadDenoiser(folder);
    encodePrompts(back, ['a circle']).dispose();
    disposeDenoiser(back);
    expect(tf.memory().numTensors).toBe(before);
  });

  test('names a missing file, and frees what was read before it', async () => {
    for (const file of [
      'model_index.json',
      'unet/config.json',
      'unet/diffusion_pytorch_model.safetensors',
      'scheduler/scheduler_config.json',
      'text_encoder/config.json',
      'text_encoder/model.safetensors',
      'tokenizer/vocab.json',
    ]) {
      await saveDenoiser(folder, denoiser);
      await access(join(folder, file));
      await rm(join(folder, file));
      const before = tf.memory().numTensors;
      await expect(loadDenoiser(folder), file).rejects.toThrow(join(folder, file));
      expect(tf.memory().numTensors, file).toBe(before);
    }
  });

  test.each([
    [{ unet: undefined }, /`unet` is missing/],
    [{ unet: ['diffusers', 'UNet3DConditionModel'] }, /`unet` is UNet3DConditionModel/],
    [{ scheduler: undefined }, /`scheduler` is missing/],
    [{ text_encoder: ['transformers', 'T5EncoderModel'] }, /`text_encoder` is T5EncoderModel/],
    [{ text_encoder: [null, null] }, /a UNet2DConditionModel needs a text_encoder/],
    [{ vae: ['diffusers', 'AutoencoderKL'] }, /it has a `vae` \(AutoencoderKL\)/],
  ])('an index that says %j', async (change, message) => {
    await changeIndex(change);
    await expect(loadDenoiser(folder)).rejects.toThrow(message);
  });

  test('a save removes what Python would read instead: shards, variants, pickles, another tokenizer', async () => {
    const outdated = [
      'unet/diffusion_pytorch_model.safetensors.index.json',
      'unet/diffusion_pytorch_model-00001-of-00002.safetensors',
      'unet/diffusion_pytorch_model-00002-of-00002.safetensors',
      'unet/diffusion_pytorch_model.fp16.safetensors',
      'unet/diffusion_pytorch_model.safetensors.index.fp16.json',
      'unet/diffusion_pytorch_model.fp16-00001-of-00002.safetensors',
      'unet/diffusion_pytorch_model-00002-of-00002.fp16.safetensors',
      'unet/diffusion_pytorch_model.bin',
      'unet/diffusion_pytorch_model.bin.index.json',
      'text_encoder/model.safetensors.index.json',
      'text_encoder/model-00001-of-00001.safetensors',
      'text_encoder/model.fp16.safetensors',
      'text_encoder/pytorch_model.bin',
      'text_encoder/pytorch_model.fp16.bin',
      'tokenizer/tokenizer.json',
      'tokenizer/added_tokens.json',
    ];
    const others = [
      'unet/README.md',
      'unet/model.safetensors',
      'unet/pytorch_lora_weights.safetensors',
      'unet/diffusion_pytorch_model_of_mine.safetensors',
      'unet/optimizer.bin',
      'text_encoder/diffusion_pytorch_model.bin',
      'diffusion_pytorch_model.bin',
    ];
    const written = await readdir(folder, { recursive: true });
    for (const path of [...outdated, ...others]) await writeFile(join(folder, path), 'older');

    await saveDenoiser(folder, denoiser);
    expect((await readdir(folder, { recursive: true })).sort()).toEqual([...written, ...others].sort());
    disposeDenoiser(await loadDenoiser(folder));
  });

  test('what cannot be removed is named', async () => {
    const index = join(folder, 'unet/diffusion_pytorch_model.safetensors.index.json');
    await mkdir(index);
    const save = saveDenoiser(folder, denoiser);
    await expect(save).rejects.toThrow(/cannot remove .*safetensors\.index\.json/);
  });

  test('parts that do not fit together are not saved', async () => {
    const wide = small(16);
    await expect(saveDenoiser(folder, wide)).rejects.toThrow(/hidden_size is 16, the unet's cross_attention_dim 8/);
    disposeDenoiser(wide);
    const { tokenizer: _, ...half } = denoiser;
    await expect(saveDenoiser(folder, half)).rejects.toThrow(/text_encoder without its counterpart/);
    const long = CLIPTokenizer.fromWords(['a', 'red', 'circle'], 7);
    await expect(saveDenoiser(folder, { ...denoiser, tokenizer: long })).rejects.toThrow(/pads to 7/);
  });

  test('a prompt that is too long, or none, is an error', () => {
    expect(() => encodePrompts(denoiser, ['a a a a a a a'])).toThrow(/9 tokens/);
    expect(() => encodePrompts(denoiser, [])).toThrow(/empty/);
  });

  test('text is trained through the encoding', async () => {
    const { textEncoder } = denoiser;
    const vars = [...textEncoder!.parameters.values()];
    const { grads } = tf.variableGrads(
      () => encodePrompts(denoiser, ['a red circle']).square().mean<tf.Scalar>(),
      vars,
    );
    const embedding = [...textEncoder!.parameters].find(([name]) => name.endsWith('token_embedding.weight'))![1];
    expect((await grads[embedding.name]!.abs().sum().data())[0]).toBeGreaterThan(0);
  });
});

test('an unconditional model', async () => {
  const plain: Denoiser = {
    unet: UNet2DModel.create(
      {
        block_out_channels: [4],
        layers_per_block: 1,
        down_block_types: ['DownBlock2D'],
        up_block_types: ['UpBlock2D'],
        norm_num_groups: 2,
        attention_head_dim: 2,
      },
      new Random(0),
    ),
    scheduler: DDPMScheduler.fromConfig({ num_train_timesteps: 100 }),
  };
  const path = join(root, 'plain');
  await saveDenoiser(path, plain);
  expect(JSON.parse(await readFile(join(path, 'model_index.json'), 'utf8'))._class_name).toBe('DDPMPipeline');
  const back = await loadDenoiser(path);
  expect(back.scheduler).toBeInstanceOf(DDPMScheduler);
  expect(back.textEncoder).toBeUndefined();
  const x = tf.ones<tf.Rank.R4>([1, 4, 4, 3]);
  expect(await back.unet.apply(x, 3).data()).toEqual(await plain.unet.apply(x, 3).data());
  expect(() => encodePrompts(back, ['a'])).toThrow(/unconditional/);
  disposeDenoiser(plain);
  disposeDenoiser(back);
});
