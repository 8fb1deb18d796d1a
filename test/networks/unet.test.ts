import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { Random } from '../../core/random.js';
import { readSafetensors, writeSafetensors } from '../../core/safetensors.js';
import { UNet2DModel } from '../../networks/unet-2d.js';
import { UNet2DConditionModel } from '../../networks/unet-2d-condition.js';
import type { UNet2DConditionOptions, UNet2DOptions } from '../../networks/unet-config.js';

const condition: UNet2DConditionOptions = {
  in_channels: 3,
  out_channels: 3,
  block_out_channels: [4, 8],
  layers_per_block: 1,
  down_block_types: ['DownBlock2D', 'CrossAttnDownBlock2D'],
  up_block_types: ['CrossAttnUpBlock2D', 'UpBlock2D'],
  cross_attention_dim: 6,
  attention_head_dim: 2,
  norm_num_groups: 2,
};
const unconditional: UNet2DOptions = {
  block_out_channels: [4, 8],
  layers_per_block: 1,
  down_block_types: ['DownBlock2D', 'AttnDownBlock2D'],
  up_block_types: ['AttnUpBlock2D', 'UpBlock2D'],
  attention_head_dim: null,
  norm_num_groups: 2,
};

let folder: string;
beforeAll(async () => {
  await useBackend();
  folder = await mkdtemp(join(tmpdir(), 'unet-'));
});
afterAll(() => rm(folder, { recursive: true }));

const image = (batch: number, height: number, width = height) => {
  const random = new Random(1);
  return tf.tensor4d(random.normals(batch * height * width * 3), [batch, height, width, 3]);
};
const text = (batch: number) => tf.tensor3d(new Random(2).normals(batch * 5 * 6), [batch, 5, 6]);

async function norm(x: tf.Tensor): Promise<number> {
  return (await x.square().sum().data())[0]!;
}

describe('a new network', () => {
  test('has as many parameters as the sizes of its layers add up to', () => {
    // Counted from the sizes of the layers: 9io + o a 3×3 convolution, io + o a linear one, 2c a norm, ...
    const model = UNet2DConditionModel.create(
      {
        in_channels: 3,
        out_channels: 3,
        block_out_channels: [16, 32, 64],
        layers_per_block: 1,
        down_block_types: ['DownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D'],
        up_block_types: ['CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'UpBlock2D'],
        cross_attention_dim: 32,
        attention_head_dim: 4,
        norm_num_groups: 8,
      },
      new Random(0),
    );
    let count = 0;
    for (const variable of model.parameters.values()) count += variable.size;
    expect(count).toBe(1_039_315);
    model.dispose();
  });

  test('starts as PyTorch starts it: uniform within 1/sqrt(fan in), norms 1 and 0, the same for the same seed', async () => {
    const one = UNet2DConditionModel.create(condition, new Random(0));
    const other = UNet2DConditionModel.create(condition, new Random(0));
    const bounds: Record<string, number> = {
      'conv_in.weight': 1 / Math.sqrt(27),
      'conv_in.bias': 1 / Math.sqrt(27),
      'time_embedding.linear_2.weight': 1 / Math.sqrt(16),
      'mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight': 1 / Math.sqrt(6),
    };
    for (const [key, variable] of one.parameters) {
      const data = await variable.data();
      expect(data, key).toEqual(await other.parameters.get(key)!.data());
      const bound = bounds[key];
      if (bound === undefined) continue;
      const largest = Math.max(...data.map(Math.abs));
      expect(largest).toBeLessThanOrEqual(bound);
      expect(largest).toBeGreaterThan(bound * 0.5);
    }
    expect(await one.parameters.get('conv_norm_out.weight')!.data()).toEqual(Float32Array.of(1, 1, 1, 1));
    expect(await one.parameters.get('conv_norm_out.bias')!.data()).toEqual(Float32Array.of(0, 0, 0, 0));
    one.dispose();
    other.dispose();
  });
});

describe('apply', () => {
  test.each([
    ['odd sizes, down and up again', condition, [7, 5]],
    ['no middle block', { ...condition, mid_block_type: null }, [8, 8]],
    ['times that scale and shift', { ...condition, resnet_time_scale_shift: 'scale_shift' }, [8, 8]],
    ['padding at the end only', { ...condition, downsample_padding: 0 }, [8, 8]],
    ['only cross attention', { ...condition, only_cross_attention: true }, [8, 8]],
    ['layers and heads by block', { ...condition, layers_per_block: [1, 2], attention_head_dim: [1, 4] }, [8, 8]],
    ['transformers of two layers', { ...condition, transformer_layers_per_block: [1, 2] }, [8, 8]],
    ['a scaled middle block', { ...condition, mid_block_scale_factor: 2, center_input_sample: true }, [8, 8]],
  ] as const)('takes %s, with a gradient everywhere', async (_, options, [height, width]) => {
    const model = UNet2DConditionModel.create(options as UNet2DConditionOptions, new Random(0));
    const x = image(2, height, width);
    const times = tf.tensor1d([3, 900]);
    const { value, grads } = tf.variableGrads(
      () => model.apply(x, times, text(2)).square().mean<tf.Scalar>(),
      [...model.parameters.values()],
    );
    expect(await norm(value)).toBeGreaterThan(0);
    for (const [key, variable] of model.parameters) expect(await norm(grads[variable.name]!), key).toBeGreaterThan(0);
    model.dispose();
  });

  test('is differentiable in the sample, as finite differences say', async () => {
    const model = UNet2DConditionModel.create(condition, new Random(0));
    const x = image(1, 4);
    const z = text(1);
    const f = (x: tf.Tensor) =>
      model
        .apply(x as tf.Tensor4D, 10, z)
        .sum()
        .asScalar();
    const slope = (await tf.grad(f)(x).data())[5]!;
    const bump = tf.buffer(x.shape);
    bump.values[5] = 1e-2;
    const h = bump.toTensor();
    const difference =
      (
        await f(x.add(h))
          .sub(f(x.sub(h)))
          .data()
      )[0]! / 2e-2;
    expect(slope).toBeCloseTo(difference, 2);
    model.dispose();
  });

  test('depends on time and on text', async () => {
    const model = UNet2DConditionModel.create(condition, new Random(0));
    const x = image(1, 8);
    const z = text(1);
    const base = model.apply(x, 10, z);
    expect(await norm(base.sub(model.apply(x, 500, z)))).toBeGreaterThan(1e-6);
    expect(await norm(base.sub(model.apply(x, 10, z.mul(2))))).toBeGreaterThan(1e-8);
    expect(await norm(base.sub(model.apply(x, tf.tensor1d([10], 'int32'), z)))).toBeLessThan(1e-9);
    model.dispose();
  });

  test('names what does not fit', () => {
    const model = UNet2DConditionModel.create(condition, new Random(0));
    const plain = UNet2DModel.create(unconditional, new Random(0));
    expect(() => model.apply(tf.zeros([1, 8, 8, 4]), 1, text(1))).toThrow(/sample has shape \[1,8,8,4\].*3\]/);
    expect(() => model.apply(image(2, 8), tf.tensor1d([1]), text(2))).toThrow(/timesteps have shape \[1\]/);
    expect(() => model.apply(image(2, 8), 1)).toThrow(/encoderHiddenStates are missing/);
    expect(() => model.apply(image(2, 8), 1, text(1))).toThrow(/\[1,5,6\]; they must be \[2, tokens, 6\]/);
    expect(() => plain.apply(image(1, 8), 1, text(1))).toThrow(/takes no encoderHiddenStates/);
    model.dispose();
    plain.dispose();
  });
});

describe('UNet2DModel', () => {
  test.each([
    ['one head', unconditional],
    ['heads of two channels', { ...unconditional, attention_head_dim: 2 }],
    ['no attention in the middle', { ...unconditional, add_attention: false }],
    ['times that scale and shift', { ...unconditional, resnet_time_scale_shift: 'scale_shift' }],
    ['sine before cosine', { ...unconditional, flip_sin_to_cos: false, freq_shift: 1 }],
  ] as const)('takes %s', async (_, options) => {
    const model = UNet2DModel.create(options as UNet2DOptions, new Random(0));
    const names = [...model.parameters.keys()];
    expect(names.some((name) => name.startsWith('mid_block.attentions'))).toBe(!('add_attention' in options));
    // diffusers leaves out this norm where times scale and shift.
    if (!('add_attention' in options))
      expect(names.includes('mid_block.attentions.0.group_norm.weight')).toBe(!('resnet_time_scale_shift' in options));
    const output = model.apply(image(2, 8), tf.tensor1d([1, 2]));
    expect(output.shape).toEqual([2, 8, 8, 3]);
    expect(await norm(output)).toBeGreaterThan(0);
    model.dispose();
  });
});

describe('memory', () => {
  test('apply leaves its result alone behind; clone and dispose balance', () => {
    const model = UNet2DConditionModel.create(condition, new Random(0));
    const x = image(2, 8);
    const z = text(2);
    const before = tf.memory().numTensors;
    model.apply(x, 1, z).dispose();
    expect(tf.memory().numTensors).toBe(before);
    const vars = [...model.parameters.values()];
    tf.dispose(tf.variableGrads(() => model.apply(x, 1, z).mean<tf.Scalar>(), vars));
    expect(tf.memory().numTensors).toBe(before);
    model.clone().dispose();
    expect(tf.memory().numTensors).toBe(before);
    model.dispose();
    expect(tf.memory().numTensors).toBe(before - vars.length);
  });

  test('a load that fails leaves nothing behind', async () => {
    const path = join(folder, 'half');
    const model = UNet2DModel.create(unconditional, new Random(0));
    await model.save(path);
    model.dispose();
    const weights = join(path, 'diffusion_pytorch_model.safetensors');
    const state = await readSafetensors(weights);
    state.delete('mid_block.resnets.1.conv2.bias');
    await writeSafetensors(weights, state);
    const before = tf.memory().numTensors;
    await expect(UNet2DModel.load(path)).rejects.toThrow(/no tensor `mid_block.resnets.1.conv2.bias` \(\[8\]/);
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('a clone', () => {
  const change = (model: UNet2DConditionModel | UNet2DModel, f: (x: tf.Tensor) => tf.Tensor) =>
    tf.tidy(() => {
      for (const variable of model.parameters.values()) variable.assign(f(variable));
    });
  async function outputOf(model: UNet2DConditionModel | UNet2DModel): Promise<ArrayLike<number>> {
    const output = tf.tidy(() => model.apply(image(2, 8), 5, model instanceof UNet2DModel ? undefined : text(2)));
    const data = await output.data();
    output.dispose();
    return data;
  }

  test.each([
    ['UNet2DConditionModel', () => UNet2DConditionModel.create(condition, new Random(0))],
    ['UNet2DModel', () => UNet2DModel.create(unconditional, new Random(0))],
  ])('of a %s keeps its weights while the original is trained', async (_, create) => {
    const model = create();
    // A clone has the present weights, which are no longer those of the seed.
    change(model, (x) => x.mul(0.5));
    const tensors = tf.memory().numTensors;

    const copy = model.clone();
    expect(copy.config).toEqual(model.config);
    expect([...copy.parameters.keys()]).toEqual([...model.parameters.keys()]);
    const before = await outputOf(model);
    expect(await outputOf(copy)).toEqual(before);

    change(model, (x) => x.add(0.1));
    const after = await outputOf(model);
    expect(after).not.toEqual(before);
    expect(await outputOf(copy)).toEqual(before);
    change(copy, (x) => x.mul(0));
    expect(await outputOf(model)).toEqual(after);

    expect(tf.memory().numTensors).toBe(tensors + copy.parameters.size);
    copy.dispose();
    expect(tf.memory().numTensors).toBe(tensors);
    expect(await outputOf(model)).toEqual(after);
    model.dispose();
  });

  test('outlives its original', async () => {
    const model = UNet2DModel.create(unconditional, new Random(0));
    const output = await outputOf(model);
    const copy = model.clone();
    model.dispose();
    expect(await outputOf(copy)).toEqual(output);
    copy.dispose();
  });
});

describe('files', () => {
  test('a save comes back, with the keys that nobody here knows', async () => {
    const path = join(folder, 'saved');
    const model = UNet2DConditionModel.create({ ...condition, _name_or_path: 'x/y', mine: [1] }, new Random(0));
    await model.save(path);
    const back = await UNet2DConditionModel.load(path);
    expect(back.config).toMatchObject({ ...condition, _class_name: 'UNet2DConditionModel', mine: [1] });
    expect(await norm(back.apply(image(1, 8), 5, text(1)).sub(model.apply(image(1, 8), 5, text(1))))).toBe(0);
    const written = JSON.parse(await readFile(join(path, 'config.json'), 'utf8'));
    expect(Object.keys(written)).toEqual(Object.keys(written).sort());
    expect(written.attention_head_dim).toBe(2);
    model.dispose();
    back.dispose();
  });

  test('reads image attentions under the names of old checkpoints', async () => {
    const path = join(folder, 'old');
    const model = UNet2DModel.create(unconditional, new Random(0));
    await model.save(path);
    const weights = join(path, 'diffusion_pytorch_model.safetensors');
    const old = { to_q: 'query', to_k: 'key', to_v: 'value', 'to_out.0': 'proj_attn' };
    let renamed = 0;
    const state = new Map(
      [...(await readSafetensors(weights))].map(([name, value]) => {
        let stored = name;
        for (const [current, before] of Object.entries(old)) stored = stored.replace(`.${current}.`, `.${before}.`);
        if (stored !== name) renamed++;
        return [stored, value];
      }),
    );
    expect(renamed).toBe(4 * 2 * 4);
    await writeSafetensors(weights, state);
    const back = await UNet2DModel.load(path);
    expect([...back.parameters.keys()]).toEqual([...model.parameters.keys()]);
    expect(await norm(back.apply(image(1, 8), 5).sub(model.apply(image(1, 8), 5)))).toBe(0);
    model.dispose();
    back.dispose();
  });

  test('names what is missing, too much, or of another shape', async () => {
    await expect(UNet2DModel.load(join(folder, 'none'))).rejects.toThrow(/none\/config\.json.*does not exist/);
    const path = join(folder, 'misfit');
    const model = UNet2DModel.create(unconditional, new Random(0));
    await model.save(path);
    model.dispose();
    await expect(UNet2DConditionModel.load(path)).rejects.toThrow(/`_class_name` is "UNet2DModel"/);
    const weights = join(path, 'diffusion_pytorch_model.safetensors');
    const state = await readSafetensors(weights);
    await writeSafetensors(weights, new Map([...state, ['extra.bias', { data: Float32Array.of(1), shape: [1] }]]));
    await expect(UNet2DModel.load(path)).rejects.toThrow(/1 tensors have no place.*extra\.bias/);
    state.set('conv_in.bias', { data: new Float32Array(3), shape: [3] });
    await writeSafetensors(weights, state);
    await expect(UNet2DModel.load(path)).rejects.toThrow(/`conv_in\.bias` has shape \[3\].*gives \[4\]/);
    const bytes = await readFile(weights);
    await writeFile(weights, bytes.subarray(0, bytes.length - 100));
    await expect(UNet2DModel.load(path)).rejects.toThrow(/would end at byte/);
    await rm(weights);
    await expect(UNet2DModel.load(path)).rejects.toThrow(/cannot read .*diffusion_pytorch_model\.safetensors/);
  });
});

test('null for a boolean is false, as in Python, and a dropout that is not used is no obstacle', () => {
  const given = { ...condition, upcast_attention: null, flip_sin_to_cos: null, dropout: 0.1 };
  const { config, ...model } = UNet2DConditionModel.create(given, new Random(0));
  expect(config).toMatchObject({ upcast_attention: false, flip_sin_to_cos: false, dropout: 0.1 });
  for (const variable of model.parameters.values()) variable.dispose();
});

describe('a configuration that is not supported is named with its value', () => {
  test.each([
    [{ addition_embed_type: 'text_time' }, /`addition_embed_type` is "text_time"/],
    [{ dropout: 1.5 }, /`dropout` is 1.5/],
    [{ down_block_types: ['DownBlock2D', 'SimpleCrossAttnDownBlock2D'] }, /`down_block_types\.1` is "SimpleCrossAttn/],
    [{ act_fn: 'mish' }, /`act_fn` is "mish"/],
    [{ num_attention_heads: 4 }, /`num_attention_heads` is 4/],
    [{ attention_head_dim: 3 }, /`attention_head_dim` is 3; these heads do not divide the 8 channels of block 1/],
    [{ norm_num_groups: 3 }, /`norm_num_groups` is 3; it must divide/],
    [{ up_block_types: ['UpBlock2D'] }, /`up_block_types` is \["UpBlock2D"\]; it has 1 entries, but/],
    [{ layers_per_block: [1, 1, 1] }, /`layers_per_block` is \[1,1,1\]; it has 3 entries/],
    [{ conv_in_kernel: 2 }, /`conv_in_kernel` is 2; only odd/],
  ])('%j', (change, message) => {
    expect(() => UNet2DConditionModel.create({ ...condition, ...change } as never, new Random(0))).toThrow(message);
  });

  test.each([
    [{ class_embed_type: 'timestep' }, /`class_embed_type` is "timestep"/],
    [{ upsample_type: 'resnet' }, /`upsample_type` is "resnet"/],
    [{ attention_head_dim: 3 }, /`attention_head_dim` is 3; this width does not divide the 8 channels/],
  ])('%j', (change, message) => {
    expect(() => UNet2DModel.create({ ...unconditional, ...change } as never, new Random(0))).toThrow(message);
  });
});
