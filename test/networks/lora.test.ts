import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import type { NdArray } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import { readSafetensors, readSafetensorsHeader, writeSafetensors } from '../../core/safetensors.js';
import {
  ATTENTION_PROJECTIONS,
  Lora,
  LoraUNet,
  readLora,
  type UNet2DConditionModel,
  UNet2DModel,
} from '../../diffusion/index.js';
import { tinyUNet } from '../training/tiny-denoiser.js';

let temporary: string;
beforeAll(async () => {
  await useBackend();
  temporary = await mkdtemp(join(tmpdir(), 'lora-'));
});
afterAll(() => rm(temporary, { recursive: true }));

const network = () =>
  tinyUNet(new Random('unet'), {
    ...{ sample_size: 4, block_out_channels: [4, 8], cross_attention_dim: 6, norm_num_groups: 2 },
  });

const random = (name: string, shape: number[]) =>
  tf.tensor(new Random(name).normals(shape.reduce((a, b) => a * b)), shape);
function output(unet: { apply: UNet2DConditionModel['apply'] }, text = true): tf.Tensor4D {
  return tf.tidy(() =>
    unet.apply(
      random('x', [2, 4, 4, 3]) as tf.Tensor4D,
      tf.tensor1d([3, 700]),
      text ? (random('text', [2, 5, 6]) as tf.Tensor3D) : undefined,
    ),
  );
}
async function values(unet: { apply: UNet2DConditionModel['apply'] }, text = true): Promise<Float32Array> {
  const tensor = output(unet, text);
  const data = (await tensor.data()) as Float32Array;
  tensor.dispose();
  return data;
}
const distance = (a: Float32Array, b: Float32Array) => a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

/** Gives both factors of all layers other values, so that the adapter changes what the network computes. */
function train(lora: Lora): void {
  for (const [name, variable] of lora.parameters)
    tf.tidy(() => variable.assign(random(`trained ${name}`, variable.shape).mul(0.3)));
}

let unet: UNet2DConditionModel;
beforeEach(() => {
  unet = network();
});
afterEach(() => unet.dispose());

describe('a new adapter', () => {
  it('changes nothing: A is normal with deviation 1 / rank, B is 0', async () => {
    const before = await values(unet);
    const lora = Lora.create(unet, { rank: 4 }, new Random(1));
    expect(await values(unet)).toEqual(before);
    // 4 transformers of 2 attentions of 4 projections, and 2 factors of each.
    expect(lora.parameters.size).toBe(64);
    const down: number[] = [];
    for (const [name, variable] of lora.parameters) {
      expect(name).toMatch(/\.(to_q|to_k|to_v|to_out\.0)\.lora\.(down|up)\.weight$/);
      if (name.endsWith('up.weight')) expect((await variable.data()).every((x) => x === 0)).toBe(true);
      else down.push(...(await variable.data()));
    }
    // ddpo-pytorch: nn.init.normal_(self.down.weight, std=1 / rank)
    const deviation = Math.sqrt(down.reduce((sum, x) => sum + x * x, 0) / down.length);
    expect(Math.abs(deviation / 0.25 - 1)).toBeLessThan(3 / Math.sqrt(2 * down.length));
    lora.dispose();
  });

  it('has 797,184 parameters of rank 4 on Stable Diffusion 1.5', () => {
    // A published number (ddpo-pytorch's adapter), of 16 transformers of the widths below, each with a self- and a
    // cross-attention of 4 projections. The sizes alone are needed, so weights are views of nothing.
    const layers: [string, number, number][] = [];
    for (const [width, count] of [
      [320, 5],
      [640, 5],
      [1280, 6],
    ] as const)
      for (let i = 0; i < count; i++)
        for (const [attention, context] of [
          ['attn1', width],
          ['attn2', 768],
        ] as const)
          for (const projection of ATTENTION_PROJECTIONS)
            layers.push([
              `blocks.${width}.${i}.${attention}.${projection}`,
              projection === 'to_k' || projection === 'to_v' ? context : width,
              width,
            ]);
    const parameters = new Map(
      layers.map(([name, inputs, outputs]) => [
        `${name}.weight`,
        { shape: [inputs, outputs] } as unknown as tf.Variable,
      ]),
    );
    const lora = Lora.create(
      { parameters, adaptations: new Map(layers.map(([name]) => [name, undefined])) },
      { rank: 4 },
      new Random(1),
    );
    expect([...lora.parameters.values()].reduce((sum, { size }) => sum + size, 0)).toBe(797_184);
    lora.dispose();
  });

  it('is put on the layers that are named, and a name of none is an error that says what there is', () => {
    const layersOf = (targets: string[]) => {
      const lora = Lora.create(unet, { targets, rank: 1 }, new Random(1));
      const layers = [...lora.parameters.keys()].filter((name) => name.endsWith('down.weight'));
      lora.dispose();
      return layers;
    };
    expect(layersOf(['mid_block.attentions.0.transformer_blocks.0.attn1.to_q'])).toHaveLength(1);
    expect(layersOf(['attn2.to_k'])).toHaveLength(4);
    expect(layersOf(['proj_in', 'net.0.proj', 'time_emb_proj', 'linear_1'])).toHaveLength(4 + 4 + 8 + 1);
    const make = (targets: string[]) => () => Lora.create(unet, { targets }, new Random(1));
    expect(make(['to_q', 'to_out'])).toThrow(
      /no linear layer is called to_out; the names end in linear_1, linear_2, .*to_q, to_k, to_v, to_out\.0/,
    );
    expect(make(['o_q'])).toThrow(/no linear layer is called o_q/);
    expect(make(['conv1'])).toThrow(/called conv1/);
    expect(make([])).toThrow(/there is no target/);
    expect(() => Lora.create(unet, { rank: 0 }, new Random(1))).toThrow(/rank must be a positive integer.*0/);
    expect(() => Lora.create(unet, { alpha: 0 }, new Random(1))).toThrow(/alpha must be a number above 0.*0/);
  });
});

describe('a trained adapter', () => {
  it('gives what the merged network gives: W + (alpha / rank) · B · A', async () => {
    const before = await values(unet);
    const targets = [...ATTENTION_PROJECTIONS, 'proj_in', 'net.2', 'linear_1'];
    const lora = Lora.create(unet, { rank: 2, alpha: 5, targets }, new Random(1));
    train(lora);
    const adapted = await values(unet);
    expect(distance(adapted, before)).toBeGreaterThan(0.05);
    const merged = new LoraUNet(unet, lora).clone();
    expect(distance(await values(merged), adapted)).toBeLessThan(1e-5);
    // One weight by hand, in PyTorch's sense: W[o][i] + 2.5 · sum over r of B[o][r] · A[r][i].
    const layer = 'mid_block.attentions.0.transformer_blocks.0.attn2.to_k';
    const at = async (name: string, from: ReadonlyMap<string, tf.Variable>) =>
      from.get(name)!.array() as Promise<number[][]>;
    const [w, w2, down, up] = await Promise.all([
      at(`${layer}.weight`, unet.parameters),
      at(`${layer}.weight`, merged.parameters),
      at(`${layer}.lora.down.weight`, lora.parameters),
      at(`${layer}.lora.up.weight`, lora.parameters),
    ]);
    const expected = w[3]![5]! + 2.5 * (down[3]![0]! * up[0]![5]! + down[3]![1]! * up[1]![5]!);
    expect(w2[3]![5]!).toBeCloseTo(expected, 6);
    merged.dispose();
    lora.dispose();
    expect(await values(unet)).toEqual(before);
  });

  it('has the gradients of finite differences, and the network has none', async () => {
    const lora = Lora.create(unet, { rank: 2, alpha: 3 }, new Random(1));
    train(lora);
    const weights = random('w', [2, 4, 4, 3]);
    const loss = () => tf.tidy(() => output(unet).mul(weights).sum<tf.Scalar>());
    const { grads, value } = tf.variableGrads(loss, [...lora.parameters.values()]);
    value.dispose();
    const number = async () => {
      const scalar = loss();
      const [x] = await scalar.data();
      scalar.dispose();
      return x!;
    };
    for (const name of ['attn1.to_q.lora.down.weight', 'attn2.to_v.lora.up.weight']) {
      const variable = lora.parameters.get(`mid_block.attentions.0.transformer_blocks.0.${name}`)!;
      const gradient = (await grads[variable.name]!.data()) as Float32Array;
      const direction = random(`direction ${name}`, variable.shape);
      const slope = gradient.reduce((sum, g, i) => sum + g * direction.dataSync()[i]!, 0);
      const start = variable.clone();
      const shifted = async (step: number) => {
        tf.tidy(() => variable.assign(start.add(direction.mul(step))));
        return number();
      };
      const step = 1e-2;
      const difference = ((await shifted(step)) - (await shifted(-step))) / (2 * step);
      variable.assign(start);
      tf.dispose([start, direction]);
      expect(Math.abs(difference / slope - 1), name).toBeLessThan(0.02);
    }
    tf.dispose(grads);
    weights.dispose();
    lora.dispose();
  });

  it('is off for the reference, on the same tape too', async () => {
    const before = await values(unet);
    const adapted = new LoraUNet(unet, Lora.create(unet, {}, new Random(1)));
    train(adapted.lora);
    const reference = adapted.reference();
    expect(await values(reference)).toEqual(before);
    expect(distance(await values(adapted), before)).toBeGreaterThan(0.02);
    const { value, grads } = tf.variableGrads(
      () => output(adapted).sub(output(reference)).square().sum<tf.Scalar>(),
      [...adapted.parameters.values()],
    );
    expect(Object.values(grads).every((g) => g.dataSync().every(Number.isFinite))).toBe(true);
    tf.dispose([value, grads]);
    adapted.lora.dispose();
  });

  it('leaves no tensors behind', async () => {
    const before = tf.memory().numTensors;
    const lora = Lora.create(unet, {}, new Random(1));
    const made = tf.memory().numTensors;
    await values(unet);
    await lora.save(join(temporary, 'memory.safetensors'));
    await lora.restore(join(temporary, 'memory.safetensors'));
    lora.mergeInto(unet);
    expect(tf.memory().numTensors).toBe(made);
    lora.dispose();
    (await Lora.load(unet, join(temporary, 'memory.safetensors'))).dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('works on an unconditional UNet, whose projections have a bias', async () => {
    const plain = UNet2DModel.create(
      {
        sample_size: 4,
        in_channels: 3,
        out_channels: 3,
        block_out_channels: [4, 8],
        layers_per_block: 1,
        down_block_types: ['DownBlock2D', 'AttnDownBlock2D'],
        up_block_types: ['AttnUpBlock2D', 'UpBlock2D'],
        norm_num_groups: 2,
      },
      new Random(1),
    );
    const adapted = new LoraUNet(plain, Lora.create(plain, { rank: 2 }, new Random(1)));
    const before = await values(plain, false);
    train(adapted.lora);
    const merged = adapted.clone();
    const after = await values(adapted, false);
    expect(distance(after, before)).toBeGreaterThan(0.02);
    expect(distance(await values(merged, false), after)).toBeLessThan(1e-5);
    merged.dispose();
    adapted.dispose();
  });
});

describe('its file', () => {
  const path = (name: string) => join(temporary, name);

  it('comes back to the bit, and is refused by another adapter', async () => {
    const lora = Lora.create(unet, { rank: 3, alpha: 2 }, new Random(1));
    train(lora);
    const trained = await values(unet);
    await lora.save(path('own.safetensors'));
    for (const variable of lora.parameters.values()) tf.tidy(() => variable.assign(tf.zerosLike(variable)));
    await lora.restore(path('own.safetensors'));
    expect(await values(unet)).toEqual(trained);
    lora.dispose();
    for (const options of [{ rank: 2 }, { rank: 3, alpha: 3 }, { rank: 3, alpha: 2, targets: ['to_q'] }]) {
      const other = Lora.create(unet, options, new Random(1));
      await expect(other.restore(path('own.safetensors'))).rejects.toThrow(/another LoRA than the one that is trained/);
      other.dispose();
    }
  });

  it("is that of diffusers' save_lora_weights", async () => {
    const lora = Lora.create(unet, { rank: 3, alpha: 6, targets: ['attn1.to_q'] }, new Random(1));
    train(lora);
    await lora.save(path('alpha.safetensors'));
    await lora.save(path('baked.safetensors'), { baked: true });
    const layer = 'unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q';
    const raw = await readSafetensors(path('alpha.safetensors'));
    expect(raw.get(`${layer}.lora.down.weight`)!.shape).toEqual([3, 8]);
    expect(raw.get(`${layer}.lora.up.weight`)!.shape).toEqual([8, 3]);
    const baked = await readSafetensors(path('baked.safetensors'));
    const up = (tensors: Map<string, NdArray>) => [...tensors.get(`${layer}.lora.up.weight`)!.data];
    expect(up(baked)).toEqual(up(raw).map((x) => 2 * x));
    for (const [name, alpha] of [
      ['alpha', 6],
      ['baked', 3],
    ] as const) {
      const { metadata } = await readSafetensorsHeader(path(`${name}.safetensors`));
      expect(metadata.format).toBe('pt');
      expect(JSON.parse(metadata.lora_adapter_metadata!)).toMatchObject({ 'unet.r': 3, 'unet.lora_alpha': alpha });
    }
    lora.dispose();
  });

  /** A file with these tensors, all of ones. */
  async function file(name: string, tensors: Record<string, number[]>, metadata?: Record<string, string>) {
    const ones = (shape: number[]): NdArray => ({
      data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1),
      shape,
    });
    await writeSafetensors(path(name), new Map(Object.entries(tensors).map(([key, s]) => [key, ones(s)])), metadata);
    return path(name);
  }
  const layer = 'mid_block.attentions.0.transformer_blocks.0.attn1.to_q';
  const factors = (prefix = '', suffixes = ['.lora_A.weight', '.lora_B.weight']) => ({
    [`${prefix}${layer}${suffixes[0]}`]: [2, 8],
    [`${prefix}${layer}${suffixes[1]}`]: [8, 2],
  });
  const scaleIn = async (name: string, tensors: Record<string, number[]>, config?: object) => {
    const metadata = config && { lora_adapter_metadata: JSON.stringify(config) };
    const read = await readLora(await file(name, tensors, metadata), [...unet.adaptations.keys()]);
    return read.get(layer)!.scale;
  };

  it('says its scale in as many ways as there are', async () => {
    expect(await scaleIn('none.safetensors', factors())).toBe(1);
    expect(await scaleIn('r.safetensors', factors(), { r: 2, lora_alpha: 6 })).toBe(3);
    expect(await scaleIn('u.safetensors', factors('unet.'), { 'unet.r': 2, 'unet.lora_alpha': 6 })).toBe(3);
    expect(
      await scaleIn('p.safetensors', factors(), { lora_alpha: 6, alpha_pattern: { 'attn1.to_q': 8, to_k: 1 } }),
    ).toBe(4);
    // peft's use_rslora: alpha / √r
    expect(await scaleIn('rs.safetensors', factors(), { lora_alpha: 6, use_rslora: true })).toBeCloseTo(6 / Math.SQRT2);
    expect(await scaleIn('alpha.safetensors', { ...factors('unet.'), [`unet.${layer}.alpha`]: [] })).toBe(0.5);
    // kohya's scripts store 1×1 kernels where a projection is a convolution.
    const flat = `lora_unet_${layer.replaceAll('.', '_')}`;
    expect(
      await scaleIn('kohya.safetensors', {
        [`${flat}.lora_down.weight`]: [2, 8, 1, 1],
        [`${flat}.lora_up.weight`]: [8, 2, 1, 1],
        [`${flat}.alpha`]: [],
      }),
    ).toBe(0.5);
  });

  it('keeps ranks and scales that differ from layer to layer', async () => {
    const other = layer.replace('to_q', 'to_v');
    const tensors = { ...factors(), [`${other}.lora_A.weight`]: [3, 8], [`${other}.lora_B.weight`]: [8, 3] };
    const config = { lora_adapter_metadata: JSON.stringify({ r: 2, lora_alpha: 4, alpha_pattern: { to_v: 9 } }) };
    const lora = await Lora.load(unet, await file('mixed.safetensors', tensors, config));
    expect(lora.ranks).toEqual([2, 3]);
    await lora.save(path('mixed-again.safetensors'));
    lora.dispose();
    const read = await readLora(path('mixed-again.safetensors'), [...unet.adaptations.keys()]);
    expect([read.get(layer)!.scale, read.get(other)!.scale]).toEqual([2, 3]);
  });

  it('that is wrong is named with what is wrong', async () => {
    const load = async (name: string, tensors: Record<string, number[]>, metadata?: Record<string, string>) =>
      Lora.load(unet, await file(`${name}.safetensors`, tensors, metadata));
    const tries: [() => Promise<Lora>, RegExp][] = [
      [() => Lora.load(unet, path('absent.safetensors')), /absent\.safetensors: there is no such file/],
      [
        () => load('a', { 'unet.down_blocks.9.to_q.lora.down.weight': [2, 8] }),
        /belongs to no linear layer of the network/,
      ],
      [() => load('b', { [`${layer}.lora_A.weight`]: [2, 8] }), /layer `mid_block.*` has no up factor/],
      [
        () => load('c', { ...factors(), [`${layer}.lora_magnitude_vector`]: [8] }),
        /lora_magnitude_vector.* is of no format/,
      ],
      [() => load('d', { 'text_encoder.layers.0.q.lora.down.weight': [2, 8] }), /adapts the text encoder/],
      [() => load('e', { 'lora_te_text_model_q.lora_down.weight': [2, 8] }), /adapts the text encoder/],
      [
        () => load('f', { [`${layer}.lora_A.weight`]: [2, 8], [`${layer}.lora_B.weight`]: [8, 3] }),
        /are not \[r, in\]/,
      ],
      [
        () => load('g', { [`${layer}.lora_A.weight`]: [2, 7], [`${layer}.lora_B.weight`]: [8, 2] }),
        /8 inputs and 8 outputs/,
      ],
      [() => load('h', {}), /it holds no tensors/],
      [
        () => load('l', { [`${layer}.lora_A.weight`]: [0, 8], [`${layer}.lora_B.weight`]: [8, 0] }),
        /are not \[r, in\]/,
      ],
      [() => load('m', { [`${layer}.lora_A.weight`]: [], [`${layer}.lora_B.weight`]: [8] }), /are not \[r, in\]/],
      [() => load('i', factors(), { lora_adapter_metadata: '{' }), /lora_adapter_metadata: it is no JSON/],
      [() => load('j', factors(), { lora_adapter_metadata: '{"use_dora": true}' }), /it is a DoRA/],
      [() => load('k', factors(), { lora_adapter_metadata: '{"lora_alpha": 0}' }), /the alpha of .* is 0/],
    ];
    await writeFile(path('pickle.bin'), '');
    tries.push([() => Lora.load(unet, path('pickle.bin')), /only safetensors files are read/]);
    await mkdir(path('empty'));
    tries.push([
      () => Lora.load(unet, path('empty')),
      /holds neither adapter_model\.safetensors nor pytorch_lora_weights/,
    ]);
    await mkdir(path('no-config'));
    await cp(await file('peft.safetensors', factors('base_model.model.')), path('no-config/adapter_model.safetensors'));
    tries.push([() => Lora.load(unet, path('no-config')), /adapter_config\.json/]);
    const before = tf.memory().numTensors;
    for (const [attempt, message] of tries) await expect(attempt()).rejects.toThrow(message);
    expect(tf.memory().numTensors).toBe(before);
  });
});
