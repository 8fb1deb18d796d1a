import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useBackend } from '../../backend/index.js';
import { Captioner } from '../../benchmarks/captioner/captioner.js';
import { serveCaptioner } from '../../benchmarks/captioner/server.js';
import { sameSaid, says, styles, textOf, words } from '../../benchmarks/captioner/texts.js';
import { trainCaptioner } from '../../benchmarks/captioner/train.js';
import { drawnFor, prompts, randomPair, ranked } from '../../benchmarks/learned-reward/pictures.js';
import { trainRewardModel } from '../../benchmarks/learned-reward/train.js';
import { areaUnderCurve, foolingPictures, isExact, measureExact, picturesSvg } from '../../benchmarks/paper/judged.js';
import { type NdArray, stack } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import { makeDefined, rewardDefinition } from '../../rewards/definitions.js';
import { scoreImages } from '../../rewards/index.js';
import { drawScene, kinds, randomScene, sceneOf, shapesPrompts } from '../../rewards/shapes/world.js';
import { probeVlm } from '../../rewards/vlm/probe.js';
import { assertReward } from '../../testing/index.js';

let folder: string;
beforeAll(async () => {
  await useBackend('wasm');
  folder = await mkdtemp(join(tmpdir(), 'judges-'));
});
afterAll(() => rm(folder, { recursive: true }));

const pictureOf = (prompt: string, random = new Random(prompt)) => drawScene(sceneOf(prompt, random));

describe('what is said of pictures', () => {
  it('is, in the style of its kind, the caption that a scene was drawn for', () => {
    const random = new Random(3);
    for (const kind of kinds)
      for (let i = 0; i < 40; i++) {
        const scene = randomScene(kind, random);
        const image = drawScene(scene);
        const said = textOf(scene, image, kind, random);
        // The exact scorers are the independent judge; they find a scene's caption right.
        expect(isExact(image, said), said).toBe(true);
        const everything = textOf(scene, image, 'everything', random);
        expect(says(everything, said), `${everything} / ${said}`).toBe(true);
        expect(everything.split(' ').every((word) => words.includes(word))).toBe(true);
      }
  });

  it.each([
    ['a red circle on the left', 'a red circle', true],
    ['a red circle on the left', 'a blue circle', false],
    ['a red circle in the middle', 'one circle', true],
    ['three red stars', 'three stars', true],
    ['three red stars', 'two stars', false],
    ['a red circle and a blue circle', 'two circles', true],
    ['a red circle and a blue star', 'two circles', false],
    ['a blue star and a red circle', 'a red circle and a blue star', true],
    ['a blue star and a red circle', 'a red star and a blue circle', false],
    ['a red circle on the left', 'a circle on the left', true],
    ['a red circle on the left', 'a circle on the top', false],
    ['something else', 'a red circle', false],
  ])('%s: says %s? %s', (description, prompt, expected) => {
    expect(says(description, prompt)).toBe(expected);
  });

  it('is the same of a composition in both orders', () => {
    expect(sameSaid('a red circle and a blue star')).toEqual([
      'a red circle and a blue star',
      'a blue star and a red circle',
    ]);
    expect(sameSaid('two stars')).toEqual(['two stars']);
  });
});

describe('a captioner', () => {
  it('learns, gives probabilities, and is the same after it was written; behind HTTP too', async () => {
    const tensors = tf.memory().numTensors;
    const losses: number[] = [];
    const trained = await trainCaptioner({ steps: 60, batch: 8, onStep: (_, __, loss) => losses.push(loss) });
    expect(losses).toHaveLength(60);
    const average = (some: number[]) => some.reduce((a, b) => a + b, 0) / some.length;
    expect(average(losses.slice(-5))).toBeLessThan(0.8 * average(losses.slice(0, 5)));
    const again = await trainCaptioner({ steps: 1, batch: 8 });
    // Same seed, same bits.
    const twice = await trainCaptioner({ steps: 1, batch: 8 });
    for (const [name, variable] of again.parameters)
      expect(await variable.data()).toEqual(await twice.parameters.get(name)!.data());
    again.dispose();
    twice.dispose();

    const path = join(folder, 'captioner.safetensors');
    await trained.save(path);
    const captioner = await Captioner.loadOr(path, () => Promise.reject(new Error('not trained again')));
    const asked = ['two stars', 'a red circle and a blue star', 'a red star', 'a star on the top'];
    const images = stack(asked.map((prompt) => pictureOf(prompt))) as NdArray<Uint8Array>;
    const chances = await captioner.chances(images, asked);
    expect(chances).toEqual(await trained.chances(images, asked));
    // Of all texts of a count, and that it is something else, the probabilities cannot have a sum above 1.
    const counts = shapesPrompts('count');
    const of = stack(counts.map(() => pictureOf('two stars'))) as NdArray<Uint8Array>;
    const sum = (await captioner.chances(of, counts)).reduce((a, b) => a + b, 0);
    expect(sum).toBeGreaterThan(0);
    expect(sum).toBeLessThanOrEqual(1 + 1e-5);
    await expect(
      captioner.chances(
        of,
        counts.map(() => 'a dog'),
      ),
    ).rejects.toThrow(/"a dog" is no prompt/);
    for (const style of styles) {
      const [said] = await captioner.describe(images, style);
      expect(said!.split(' ').every((word) => words.includes(word))).toBe(true);
    }

    const server = await serveCaptioner(captioner);
    expect(server.model).toMatch(/^shapes-captioner-[0-9a-f]{8}$/);
    const judge = await makeDefined(
      'judge',
      rewardDefinition.parse({ kind: 'vlm', url: server.url, model: server.model, cache: false }),
    );
    const { scores, notes } = await scoreImages(judge, { images, prompts: asked });
    scores.forEach((score, i) => {
      expect(score).toBeCloseTo(chances[i]!, 5);
    });
    expect(notes!.answer).toEqual(chances.map((chance) => (chance > 0.5 ? 'Yes' : 'No')));
    const describer = await makeDefined(
      'describer',
      rewardDefinition.parse({
        ...{ kind: 'vlm', url: server.url, model: server.model, cache: false, task: 'caption' },
        encoder: 'test/fixtures/rewards/bert',
        layer: 1,
      }),
    );
    const described = await scoreImages(describer, { images, prompts: asked });
    expect(described.notes!.answer).toEqual(await captioner.describe(images));
    await describer.dispose?.();
    const failure = (question: string) => scoreImages(judge, { images, prompts: asked.map(() => question) });
    await expect(failure('a dog')).rejects.toThrow(/nothing of the world of shapes/);
    const [found] = await probeVlm(server.url);
    expect(found).toMatchObject({ name: 'server', ok: true });
    await expect(serveCaptioner(captioner, server.port)).rejects.toThrow(/cannot listen on port/);
    await server.close();
    trained.dispose();
    captioner.dispose();
    expect(tf.memory().numTensors).toBe(tensors);
  });
});

describe('a learned reward', () => {
  it('learns from pairs that the exact scorers rank, and is read as image-reward', async () => {
    const tensors = tf.memory().numTensors;
    const losses: number[] = [];
    const model = join(folder, 'model');
    const random = new Random(0);
    const ofModel = [ranked(pictureOf(prompts[7]!), prompts[7]!), ranked(pictureOf(prompts[0]!), prompts[7]!)];
    expect(ofModel.map(({ rank }) => rank)).toEqual([2, 0]);
    await trainRewardModel(model, { ofModel, steps: 3, batch: 4, onStep: (_, __, loss) => losses.push(loss) });
    // Before training both are as good: −log σ(0) = ln 2 = .693.
    expect(losses[0]).toBeCloseTo(Math.LN2, 1);
    const reward = await makeDefined('learned', rewardDefinition.parse({ kind: 'image-reward', model }));
    await assertReward(reward, { prompts: prompts.slice(0, 4) });
    await reward.dispose?.();
    for (let i = 0; i < 50; i++) {
      const { better, worse } = randomPair(random, ofModel);
      expect(better.prompt).toBe(worse.prompt);
      expect(better.rank).toBeGreaterThan(worse.rank);
      expect(better.rank).toBe(ranked(better.image, better.prompt).rank);
    }
    expect(tf.memory().numTensors).toBe(tensors);
  });

  it('is shown pictures of all ranks', () => {
    const random = new Random(1);
    const ranks = Array.from({ length: 200 }, () => drawnFor(random.choice(prompts), random).rank);
    for (const rank of [0, 1, 2]) expect(ranks.filter((one) => one === rank).length).toBeGreaterThan(10);
  });
});

describe('judged pictures', () => {
  it('have an area under the ROC curve as scikit-learn says', () => {
    // sklearn.metrics.roc_auc_score([1, 0, 1, 0, 1], [.9, .8, .4, .4, .1]) = 0.41666...: of 6 pairs 1 + 1 + 0 + .5 + 0 + 0
    const judged = [0.9, 0.8, 0.4, 0.4, 0.1].map((reward, i) => ({ reward, right: i % 2 === 0 }));
    expect(areaUnderCurve(judged)).toBeCloseTo(2.5 / 6, 12);
    expect(areaUnderCurve([{ reward: 1, right: true }])).toBeNaN();
  });

  it('fool a model where they are wrong and it likes them better than half of the right ones before', () => {
    const image = pictureOf('two stars');
    const of = (reward: number, right: boolean) => ({ image, prompt: 'two stars', sample: { reward }, reward, right });
    const before = [of(0.2, true), of(0.5, true), of(0.9, true), of(1, false)];
    const after = [of(0.6, false), of(0.5, false), of(0.8, false), of(1, true)];
    expect(foolingPictures({ before, after }).map(({ reward }) => reward)).toEqual([0.8, 0.6]);
    expect(foolingPictures({ before: before.slice(3), after })).toEqual([]);
    const measures = measureExact({ before, after });
    expect(measures).toMatchObject({
      exactBefore: 0.75,
      exact: 0.25,
      areaBefore: 0,
      area: 1,
      foolingBefore: 0.25,
      fooling: 0.5,
    });
  });

  it('are drawn with their texts', async () => {
    const svg = await picturesSvg([{ image: pictureOf('two stars'), lines: ['two stars', '"a < b"'] }]);
    expect(svg).toMatch(/^<svg .*data:image\/png;base64,.*a &#60; b/s);
  });
});
