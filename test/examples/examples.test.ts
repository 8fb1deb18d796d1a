import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { ndarray, stack } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import {
  caption,
  drawScene,
  jpegIncompressibility,
  kinds,
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

  it('quickstart: a picture that shows what its prompt says is worth its JPEG file, every other one .4', async () => {
    const config = await loadConfig('examples/quickstart.yaml');
    const reward = await makeReward(config.reward as string);
    const scenes = Array.from({ length: 80 }, (_, i) => randomScene(kinds[i % kinds.length]!, random));
    const prompts = scenes.map(caption);
    const images = stack(scenes.map((scene) => drawScene(scene)));
    const { scores, details } = await scoreImages(reward, { images, prompts });
    const { scores: sizes } = await scoreImages(jpegIncompressibility, { images, prompts });
    // The scorers call 97 of 100 drawn pictures right (test/rewards/shapes/scorers.test.ts).
    const paid = scores.filter((score, i) => score === sizes[i]).length;
    expect(paid).toBeGreaterThan(0.9 * scenes.length);
    // What was right before and after is read from the terms.
    expect(Object.keys(details)).toEqual(expect.arrayContaining(['jpeg-incompressibility', 'shapes', 'shapes-shape']));
    // Noise makes the largest files, and is worth as little as an empty picture.
    const noise = ndarray(
      Uint8Array.from({ length: images.data.length }, () => random.integer(256)),
      images.shape,
    );
    const empty = ndarray(new Uint8Array(images.data.length), images.shape);
    for (const wrong of [noise, empty]) {
      const { scores } = await scoreImages(reward, { images: wrong, prompts });
      expect(new Set(scores)).toEqual(new Set([0.4]));
    }
  });
});
