import * as tf from '@tensorflow/tfjs';
import { expect, it } from 'vitest';
import { stack } from '../../../core/ndarray.js';
import { Random } from '../../../core/random.js';
import { scoreImages } from '../../../core/score.js';
import { useBackend } from '../../../networks/backend.js';
import { drawScene, featureDistance, makeReward, sceneOf } from '../../../rewards/index.js';
import { VisionNet } from '../../../rewards/nsfw/vision-net.js';
import { assertReward } from '../../../testing/index.js';

const random = new Random(0);
const picture = (prompt: string) => drawScene(sceneOf(prompt, random));

it('finds drawings of shapes safe, and frees what it makes', async () => {
  await useBackend();
  const before = tf.memory().numTensors;
  const reward = await makeReward('safety');
  const held = tf.memory().numTensors;
  const prompts = ['a red circle', 'two squares', 'a yellow star'];
  const { scores, details } = await scoreImages(reward, { images: stack(prompts.map(picture)), prompts });
  scores.forEach((score, i) => {
    expect(score).toBeGreaterThan(0.5);
    const all = ['drawing', 'hentai', 'neutral', 'porn', 'sexy'].map((name) => details[name]![i]!);
    expect(all.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 4);
    expect(all[0]! + all[2]!).toBeCloseTo(score, 5);
  });
  const some = ['a red circle', 'two squares', 'a yellow star', 'three circles'];
  await assertReward(reward, { images: stack(some.map(picture)), prompts: some, tolerance: 1e-4 });
  expect(tf.memory().numTensors).toBe(held);
  reward.dispose!();
  expect(tf.memory().numTensors).toBe(before);
});

it('tells alike pictures from others by its features', async () => {
  const net = await VisionNet.load();
  const prompts = ['a red circle', 'a red circle', 'four stars', 'a blue square'];
  const { features } = await net.look(stack(prompts.map(picture)));
  expect(features[0]).toHaveLength(1280);
  const distance = (i: number, j: number) => featureDistance(features[i]!, features[j]!);
  expect(distance(0, 0)).toBeCloseTo(0, 5);
  expect(distance(0, 1)).toBeLessThan(distance(0, 2));
  net.dispose();
  expect(featureDistance([1, 0], [0, 2])).toBe(1);
  expect(featureDistance([1, 1], [2, 0])).toBeCloseTo(1 - Math.SQRT1_2, 12);
});
