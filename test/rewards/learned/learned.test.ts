import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readJson } from '../../../core/files.js';
import type { NdArray } from '../../../core/ndarray.js';
import type { Reward } from '../../../core/reward.js';
import { readSafetensors, writeSafetensors } from '../../../core/safetensors.js';
import { scoreImages } from '../../../core/score.js';
import { useBackend } from '../../../networks/backend.js';
import { CLIPModel } from '../../../networks/clip-model.js';
import { CLIPTokenizer } from '../../../networks/clip-tokenizer.js';
import { makeDefined, type RewardDefinition, rewardDefinition } from '../../../rewards/definitions.js';
import { ImageRewardModel } from '../../../rewards/learned/image-reward-model.js';
import { headValue, linearHead } from '../../../rewards/learned/linear-head.js';
import { assertReward } from '../../../testing/index.js';

const fixtures = 'test/fixtures/rewards';
let folder = '';
/** A small CLIP with its tokenizer, and a small ImageReward with its own. */
let [clip, blip] = ['', ''];
beforeAll(async () => {
  await useBackend();
  folder = await mkdtemp(join(tmpdir(), 'learned-'));
  [clip, blip] = [join(folder, 'clip'), join(folder, 'blip')];
  await cp(`${fixtures}/clip`, clip, { recursive: true });
  await CLIPTokenizer.fromWords(['a', 'red', 'two', 'on', 'the'], 8).save(clip);
  await cp(`${fixtures}/image_reward`, blip, { recursive: true });
  for (const file of ['tokenizer.json', 'tokenizer_config.json'])
    await cp(`${fixtures}/bert/${file}`, join(blip, file));
});
afterAll(() => rm(folder, { recursive: true }));

const prompts = ['a red circle', 'two', 'a red circle', 'on the left, a red one'];
const images: NdArray = {
  data: Uint8Array.from({ length: 4 * 20 * 12 * 3 }, (_, i) => (i * i * 7 + i) % 256),
  shape: [4, 20, 12, 3],
};

const made = async (given: Record<string, unknown>): Promise<Reward> =>
  await makeDefined('learned', rewardDefinition.parse(given) as RewardDefinition);

describe.each([
  ['clip-score', () => ({ kind: 'clip-score', model: clip })],
  ['pick-score', () => ({ kind: 'pick-score', model: clip, divisor: 26 })],
  ['hps', () => ({ kind: 'hps', model: clip })],
  ['aesthetic', () => ({ kind: 'aesthetic', model: clip, head: `${fixtures}/clip/aesthetic_head.safetensors` })],
  ['image-reward', () => ({ kind: 'image-reward', model: blip })],
])('%s', (_, options) => {
  it('passes the checks of a reward, whatever the size of its batches, and frees what it makes', async () => {
    const before = tf.memory().numTensors;
    const reward = await made({ ...options(), batchSize: 3 });
    const held = tf.memory().numTensors;
    await assertReward(reward);
    const [{ scores }, one] = [
      await scoreImages(reward, { images, prompts }),
      await made({ ...options(), batchSize: 1 }),
    ];
    (await scoreImages(one, { images, prompts })).scores.forEach((x, i) => {
      expect(x).toBeCloseTo(scores[i]!, 4);
    });
    one.dispose!();
    expect(tf.memory().numTensors).toBe(held);
    reward.dispose!();
    expect(tf.memory().numTensors).toBe(before);
  });
});

it('the forms of CLIPScore and PickScore follow from the cosine', async () => {
  const score = async (more: Record<string, unknown>) => {
    const reward = await made({ model: clip, ...more });
    const { scores } = await scoreImages(reward, { images, prompts });
    reward.dispose!();
    return [...scores];
  };
  const cosines = await score({ kind: 'clip-score' });
  const scale = Math.exp(
    (await readSafetensors(join(clip, 'model.safetensors'))).get('logit_scale')!.data[0] as number,
  );
  const near = (actual: number[], of: (cosine: number) => number) =>
    actual.forEach((x, i) => {
      expect(x).toBeCloseTo(of(cosines[i]!), 4);
    });
  near(await score({ kind: 'clip-score', form: 'percent' }), (c) => 100 * Math.max(0, c));
  near(await score({ kind: 'clip-score', form: 'paper' }), (c) => 2.5 * Math.max(0, c));
  near(await score({ kind: 'pick-score' }), (c) => scale * c);
  near(await score({ kind: 'pick-score', divisor: 26 }), (c) => (scale * c) / 26);
});

// open_clip 3.3: CLIP(embed_dim=6, CLIPVisionCfg(...), CLIPTextCfg(...)), encode_image and encode_text with normalize=True
it("reads weights by open_clip's names", async () => {
  const folder = 'test/fixtures/open_clip';
  const cases = (await readJson(`${folder}/cases.json`)) as Record<'pixels' | 'image' | 'text', number[]> & {
    ids: number[][];
  };
  const model = await CLIPModel.load(folder);
  const unit = (rows: tf.Tensor2D) => rows.div(tf.norm(rows, 2, 1, true));
  const image = tf.tidy(() =>
    unit(model.imageFeatures(tf.tensor4d(cases.pixels, [2, 3, 16, 16]).transpose([0, 2, 3, 1]))),
  );
  const text = tf.tidy(() => unit(model.textFeatures(tf.tensor2d(cases.ids, undefined, 'int32'))));
  const [seen, read] = [await image.data(), await text.data()];
  cases.image.forEach((x, i) => {
    expect(seen[i]).toBeCloseTo(x, 4);
  });
  cases.text.forEach((x, i) => {
    expect(read[i]).toBeCloseTo(x, 4);
  });
  tf.dispose([image, text]);
  model.dispose();
});

/** The keys of ImageReward.pt for those of transformers. */
const released: readonly (readonly [RegExp, string])[] = [
  [/^embeddings\.class_embedding$/, 'cls_token'],
  [/^embeddings\.position_embedding$/, 'pos_embed'],
  [/^embeddings\.patch_embedding\./, 'patch_embed.proj.'],
  [/^encoder\.layers\.(\d+)\.layer_norm/, 'blocks.$1.norm'],
  [/^encoder\.layers\.(\d+)\.self_attn\.projection\./, 'blocks.$1.attn.proj.'],
  [/^encoder\.layers\.(\d+)\.self_attn\./, 'blocks.$1.attn.'],
  [/^encoder\.layers\.(\d+)\.mlp\./, 'blocks.$1.mlp.'],
  [/^post_layernorm\./, 'norm.'],
];

it("reads ImageReward's released file by its own names", async () => {
  const state = new Map<string, NdArray>();
  const [vision, text, mlp] = await Promise.all(
    ['vision/model', 'text/model', 'mlp'].map((name) =>
      readSafetensors(`${fixtures}/image_reward/${name}.safetensors`),
    ),
  );
  for (const [key, value] of vision!)
    state.set(`blip.visual_encoder.${released.reduce((at, [from, to]) => at.replace(from, to), key)}`, value);
  for (const [key, value] of text!) state.set(`blip.text_encoder.${key}`, value);
  for (const [key, value] of mlp!) state.set(`mlp.${key}`, value);
  // What the file has besides: heads of BLIP's training, and a buffer.
  state.set('blip.vision_proj.weight', { data: new Float32Array(4), shape: [2, 2] });
  state.set('blip.text_encoder.embeddings.position_ids', { data: Int32Array.of(0, 1), shape: [1, 2] });
  const other = join(folder, 'released');
  await mkdir(other);
  await writeSafetensors(join(other, 'ImageReward.safetensors'), state);
  const { encoder_hidden_size: encoder_width, ...config } = (await readJson(
    `${fixtures}/image_reward/text/config.json`,
  )) as Record<string, unknown>;
  await writeFile(join(other, 'med_config.json'), JSON.stringify({ ...config, encoder_width }));

  const model = await ImageRewardModel.load(other);
  // 4 heads of 4 there, but the released file's heads are 64 wide: one here.
  expect(model.blip.vision).toMatchObject({
    hidden_size: 16,
    intermediate_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 1,
    image_size: 32,
    patch_size: 8,
    layer_norm_eps: 1e-6,
  });
  const images = tf.zeros<tf.Rank.R4>([2, 32, 32, 3]);
  const rewards = await model.rewards(images, [
    [2, 5, 3],
    [2, 5, 8, 14, 3],
  ]);
  expect(rewards.every(Number.isFinite)).toBe(true);
  images.dispose();
  model.dispose();
});

describe('linear layers that follow each other', () => {
  const layer = (weight: number[][], bias: number[]): [NdArray, NdArray] => [
    { data: Float32Array.from(weight.flat()), shape: [weight.length, weight[0]!.length] },
    { data: Float32Array.from(bias), shape: [bias.length] },
  ];
  const head = (layers: [NdArray, NdArray][]) =>
    new Map(
      layers.flatMap(([w, b], i) => [[`layers.${12 * i}.weight`, w] as const, [`layers.${12 * i}.bias`, b] as const]),
    );

  it('are one', () => {
    // 3·(x + 2y + 1) − (4x − y) + 5 = −x + 7y + 8
    const two = head([
      layer(
        [
          [1, 2],
          [4, -1],
        ],
        [1, 0],
      ),
      layer([[3, -1]], [5]),
    ]);
    const collapsed = linearHead('head', two, 2);
    expect([...collapsed.weights]).toEqual([-1, 7]);
    expect(collapsed.bias).toBe(8);
    expect(headValue(collapsed, [2, 1])).toBe(13);
  });

  it('must fit each other and the network', () => {
    expect(() => linearHead('head', head([layer([[1, 2]], [0])]), 3)).toThrow(
      /takes 2 features, but the network gives 3/,
    );
    expect(() => linearHead('head', head([layer([[1, 2]], [0]), layer([[1, 2]], [0])]), 2)).toThrow(
      /what follows takes 2/,
    );
    expect(() => linearHead('head', new Map(), 2)).toThrow(/it has no weights/);
  });
});

it.each([
  [{ kind: 'clip-score', model: '/nowhere' }, /preprocessor_config.json/],
  [{ kind: 'image-reward', model: '/nowhere' }, /has neither tokenizer.json nor vocab.txt/],
])('what is missing is named: %j', async (options, message) => {
  const tensors = tf.memory().numTensors;
  await expect(made(options)).rejects.toThrow(message);
  expect(tf.memory().numTensors).toBe(tensors);
});

it('an ImageReward without weights, or with half of them, says so and holds nothing', async () => {
  const own = join(folder, 'broken');
  await cp(blip, own, { recursive: true });
  const tensors = tf.memory().numTensors;
  await rm(join(own, 'text', 'model.safetensors'));
  await expect(made({ kind: 'image-reward', model: own })).rejects.toThrow(/cannot read .*text\/model\.safetensors/);
  await rm(join(own, 'vision'), { recursive: true });
  await expect(made({ kind: 'image-reward', model: own })).rejects.toThrow(/has neither ImageReward\.safetensors/);
  expect(tf.memory().numTensors).toBe(tensors);
});
