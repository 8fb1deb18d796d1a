import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { ndarray, stack } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import {
  caption,
  drawScene,
  jpegIncompressibility,
  makeReward,
  randomScene,
  scoreImages,
} from '../../rewards/index.js';
import { loadConfig } from '../../training/index.js';

const random = new Random('examples');

describe('the examples', () => {
  const files = async () => (await readdir('examples')).filter((name) => name.endsWith('.yaml'));

  it('are configurations, named after their files', async () => {
    for (const name of await files()) expect(`${(await loadConfig(`examples/${name}`)).name}.yaml`, name).toBe(name);
    expect(await files()).toEqual(expect.arrayContaining(['quickstart.yaml', 'composition.yaml']));
  });

  it('quickstart: a picture that shows what its prompt says is worth .2 more, which JPEG files can hardly make up for', async () => {
    const config = await loadConfig('examples/quickstart.yaml');
    const reward = await makeReward(config.reward as string);
    const scenes = Array.from({ length: 80 }, () => randomScene('location', random));
    const prompts = scenes.map(caption);
    const images = stack(scenes.map((scene) => drawScene(scene)));
    const { scores, details } = await scoreImages(reward, { images, prompts });
    const { scores: sizes } = await scoreImages(jpegIncompressibility, { images, prompts });
    // The scorers call 97 of 100 drawn pictures right (test/rewards/shapes/scorers.test.ts).
    const right = [...scores].flatMap((score, i) => (Math.abs(score - sizes[i]! - 0.2) < 1e-9 ? [i] : []));
    expect(right.length).toBeGreaterThan(0.9 * scenes.length);
    // What was right before and after is read from the terms.
    expect(Object.keys(details)).toEqual(expect.arrayContaining(['jpeg-incompressibility', 'shapes', 'shapes-shape']));
    // What training wins is less than the guards are worth: files of right pictures differ by less.
    const ofRight = right.map((i) => sizes[i]!);
    expect(Math.max(...ofRight) - Math.min(...ofRight)).toBeLessThan(0.2);
    // An empty picture has lost both.
    const { scores: empty } = await scoreImages(reward, {
      images: ndarray(new Uint8Array(images.data.length), images.shape),
      prompts,
    });
    expect(Math.max(...empty)).toBeLessThan(Math.min(...right.map((i) => scores[i]!)) - 0.1);
  });
});
