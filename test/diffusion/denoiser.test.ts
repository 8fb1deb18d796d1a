import { access, cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { Random } from '../../core/random.js';
import { readSafetensors, writeSafetensors } from '../../core/safetensors.js';
import {
  AutoencoderKL,
  CLIPTextModel,
  CLIPTokenizer,
  conditionOf,
  conditionOfFolder,
  DDIMScheduler,
  DDPMScheduler,
  type Denoiser,
  denoiserFiles,
  disposeDenoiser,
  encodePrompts,
  latentDecoder,
  loadDenoiser,
  pythonUse,
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
    [{ unet: undefined }, /it has no `unet`, but scheduler \(DDIMScheduler\), text_encoder/],
    [{ unet: ['diffusers', 'UNet3DConditionModel'] }, /`unet` is UNet3DConditionModel/],
    [{ scheduler: undefined }, /it has no `scheduler`, but/],
    [{ text_encoder: ['transformers', 'T5EncoderModel'] }, /`text_encoder` is T5EncoderModel/],
    [{ text_encoder: [null, null], tokenizer: [null, null] }, /a UNet2DConditionModel needs a text_encoder/],
    [{ text_encoder: [null, null] }, /there is a tokenizer without its counterpart/],
    [{ vae: ['diffusers', 'AutoencoderTiny'] }, /`vae` is AutoencoderTiny; supported is AutoencoderKL/],
    [{ vae: ['diffusers', 'AutoencoderKL'] }, /cannot read .*vae\/config\.json/],
    [
      { unet: [null, null], transformer: ['diffusers', 'SD3Transformer2DModel'] },
      /it has no `unet`, but .*transformer \(SD3Transformer2DModel\)/,
    ],
    [{ text_encoder_2: ['transformers', 'CLIPTextModelWithProjection'] }, /part `text_encoder_2`.*not supported/],
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

/** A UNet of 1 channel without text. */
function grey(options: { num_class_embeds?: number } = {}): UNet2DModel {
  return UNet2DModel.create(
    {
      ...{ sample_size: 4, in_channels: 1, out_channels: 1, block_out_channels: [4], layers_per_block: 1 },
      ...{
        down_block_types: ['DownBlock2D'],
        up_block_types: ['UpBlock2D'],
        norm_num_groups: 2,
        attention_head_dim: 2,
      },
      ...options,
    },
    new Random(0),
  );
}

test('all in one folder, as google/ddpm-cifar10-32 has it, with an index and without', async () => {
  const path = join(root, 'flat');
  const plain: Denoiser = { unet: grey(), scheduler: DDPMScheduler.fromConfig({}) };
  await saveDenoiser(path, plain);
  for (const part of ['unet', 'scheduler']) {
    for (const file of await readdir(join(path, part))) await rename(join(path, part, file), join(path, file));
    await rm(join(path, part), { recursive: true });
  }
  const files = ['config.json', 'diffusion_pytorch_model.safetensors', 'scheduler_config.json'];
  for (const index of [['model_index.json'], []]) {
    expect(await denoiserFiles(path)).toEqual([...files, ...index].sort());
    const back = await loadDenoiser(path);
    expect(back.scheduler).toBeInstanceOf(DDPMScheduler);
    expect(back.unet.parameters.size).toBe(plain.unet.parameters.size);
    disposeDenoiser(back);
    await rm(join(path, 'model_index.json'), { force: true });
  }
  await rm(join(path, 'scheduler_config.json'));
  await expect(loadDenoiser(path)).rejects.toThrow(/cannot read .*model_index\.json/);
  disposeDenoiser(plain);
});

test('a model of classes takes their numbers as prompts', async () => {
  const path = join(root, 'classes');
  const plain: Denoiser = { unet: grey({ num_class_embeds: 3 }), scheduler: DDPMScheduler.fromConfig({}) };
  expect(conditionOf(plain)).toBe('class');
  await saveDenoiser(path, plain);
  expect(await conditionOfFolder(path)).toBe('class');
  expect(pythonUse(path, plain)).toMatch(/class_labels/);
  const classes = encodePrompts(plain, ['2', ' 0 ']);
  expect(classes.shape).toEqual([2, 1, 1]);
  expect([...(await classes.data())]).toEqual([2, 0]);
  for (const prompt of ['3', '-1', 'a cat', ''])
    expect(() => encodePrompts(plain, [prompt])).toThrow(/is no class.*0 to 2/);
  disposeDenoiser(plain);
});

describe('a model of latents', () => {
  const latent = (): Denoiser => ({
    ...small(),
    unet: UNet2DConditionModel.create(
      {
        ...{ sample_size: 4, block_out_channels: [4, 8], layers_per_block: 1, attention_head_dim: 2 },
        down_block_types: ['DownBlock2D', 'CrossAttnDownBlock2D'],
        up_block_types: ['CrossAttnUpBlock2D', 'UpBlock2D'],
        ...{ cross_attention_dim: 8, norm_num_groups: 2 },
      },
      new Random(1),
    ),
    vae: AutoencoderKL.create(
      {
        ...{ block_out_channels: [4, 8], norm_num_groups: 2 },
        down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D'],
        up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D'],
      },
      new Random(2),
    ),
  });

  test('comes back as it was, with its autoencoder where that is wanted', async () => {
    const model = latent();
    await saveDenoiser(folder, model);
    expect(JSON.parse(await readFile(index(), 'utf8'))).toMatchObject({
      _class_name: 'StableDiffusionPipeline',
      vae: ['diffusers', 'AutoencoderKL'],
    });
    expect(pythonUse(folder, model)).toMatch(
      /^pipeline = diffusers\.StableDiffusionPipeline\.from_pretrained\("[^"]*"\)$/m,
    );
    expect(await denoiserFiles(folder)).toContain('vae/diffusion_pytorch_model.safetensors');
    const back = await loadDenoiser(folder);
    const z = tf.ones<tf.Rank.R4>([1, 4, 4, 4]);
    expect(await back.vae!.decode(z).data()).toEqual(await model.vae!.decode(z).data());
    const without = await loadDenoiser(folder, { vae: false });
    expect(without.vae).toBeUndefined();
    disposeDenoiser(back);
    disposeDenoiser(without);
    disposeDenoiser(model);
  });

  test('decodes many latents as one after the other, and frees what it made', async () => {
    const { vae } = latent();
    const data = new Float32Array(3 * 64 * 64 * 4).map((_, i) => Math.sin(i));
    const decode = latentDecoder(vae!);
    await decode({ data: data.subarray(0, 64), shape: [1, 4, 4, 4] }); // the first use of a weight may make tensors
    const before = tf.memory().numTensors;
    // 128 × 128 pixels each, of which more than 256 × 256 pixels are not decoded at once.
    const all = await decode({ data, shape: [3, 64, 64, 4] });
    expect(tf.memory().numTensors).toBe(before);
    expect(all.shape).toEqual([3, 128, 128, 3]);
    const third = await decode({ data: data.slice(2 * 64 * 64 * 4), shape: [1, 64, 64, 4] });
    expect(all.data.slice(2 * 128 * 128 * 3)).toEqual(third.data);
  });

  test('encoding is undone by scaling alone', async () => {
    const { vae } = latent();
    const z = tf.randomUniform<tf.Rank.R4>([1, 2, 2, 4], -1, 1, 'float32', 1);
    expect(await vae!.scale(z).data()).toEqual(await z.mul(0.18215).data());
    const error = vae!.unscale(vae!.scale(z)).sub(z).abs().max();
    expect((await error.data())[0]).toBeLessThan(1e-6);
    expect(() => vae!.encode(tf.zeros([1, 3, 4, 3]))).toThrow(/multiples of 2/);
    expect(() => vae!.decode(tf.zeros([1, 3, 4, 3]))).toThrow(/must be \[batch, height, width, 4\]/);
  });

  test('an autoencoder of other latents does not fit', async () => {
    const model = latent();
    await expect(saveDenoiser(folder, { ...model, unet: denoiser.unet })).rejects.toThrow(
      /latent_channels is 4, the unet's in_channels 3/,
    );
    disposeDenoiser(model);
  });
});

test('the text part of a whole CLIP', async () => {
  const path = join(folder, 'text_encoder');
  const config = JSON.parse(await readFile(join(path, 'config.json'), 'utf8'));
  const { architectures: _, model_type: __, ...text } = config;
  await writeFile(
    join(path, 'config.json'),
    JSON.stringify({ model_type: 'clip', projection_dim: 4, text_config: text, vision_config: {} }),
  );
  const weights = join(path, 'model.safetensors');
  const state = await readSafetensors(weights);
  const other = { data: new Float32Array(2), shape: [2] };
  for (const name of [
    'logit_scale',
    'vision_model.post_layernorm.weight',
    'visual_projection.weight',
    'text_projection.weight',
  ])
    state.set(name, other);
  await writeSafetensors(weights, state);
  const back = await loadDenoiser(folder);
  const [before, after] = [encodePrompts(denoiser, ['a circle']), encodePrompts(back, ['a circle'])];
  expect(await after.data()).toEqual(await before.data());
  disposeDenoiser(back);
});

describe('weights in other files', () => {
  test('pickles are refused with the line that converts them', async () => {
    const path = join(folder, 'unet');
    const weights = join(path, 'diffusion_pytorch_model.safetensors');
    await rename(weights, join(path, 'diffusion_pytorch_model.bin'));
    await expect(loadDenoiser(folder)).rejects.toThrow(
      `torch.load(file, map_location='cpu', weights_only=True).items()}, '${weights}', {'format': 'pt'})`,
    );
  });

  test('others are named', async () => {
    const path = join(folder, 'unet');
    await rename(join(path, 'diffusion_pytorch_model.safetensors'), join(path, 'model.ckpt'));
    await expect(loadDenoiser(folder)).rejects.toThrow(/it is not there.*there is config\.json, model\.ckpt/);
  });

  test('a configuration that is not supported is said before weights that are missing', async () => {
    const config = join(folder, 'unet', 'config.json');
    await writeFile(config, JSON.stringify({ ...JSON.parse(await readFile(config, 'utf8')), act_fn: 'mish' }));
    await rm(join(folder, 'unet', 'diffusion_pytorch_model.safetensors'));
    await expect(loadDenoiser(folder)).rejects.toThrow(/`act_fn` is "mish"/);
  });

  test.each([
    ['{"weight_map": {}}', /has no `weight_map`/],
    ['{"weight_map": {"a": "../other.safetensors"}}', /names "\.\.\/other\.safetensors" as a shard/],
    ['{"weight_map": {"a": "gone.safetensors"}}', /cannot read .*gone\.safetensors/],
    [
      '{"weight_map": {"a": "diffusion_pytorch_model.safetensors", "b": "twice.safetensors"}}',
      /twice\.safetensors: has the tensor `.*`, which .* has, too/,
    ],
  ])('an index of shards that says %s', async (text, message) => {
    const path = join(folder, 'unet');
    await cp(join(path, 'diffusion_pytorch_model.safetensors'), join(path, 'twice.safetensors'));
    await writeFile(join(path, 'diffusion_pytorch_model.safetensors.index.json'), text);
    await expect(loadDenoiser(folder)).rejects.toThrow(message);
  });
});
