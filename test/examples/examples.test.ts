import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { ndarray, stack } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import { meanAndStd } from '../../core/statistics.js';
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

  it('quickstart: among four pictures of a prompt one that no longer shows it is worth least, however large its JPEG file', async () => {
    const config = await loadConfig('examples/quickstart.yaml');
    expect(config.agent).toMatchObject({ name: 'grpo', groupSize: 4, rewardAggregation: 'per-term' });
    const reward = await makeReward(config.reward as string);
    const scenes = Array.from({ length: 80 }, (_, i) => randomScene(kinds[i % kinds.length]!, random));
    const prompts = scenes.map(caption);
    const images = stack(scenes.map((scene) => drawScene(scene)));
    const { scores, details } = await scoreImages(reward, { images, prompts });
    const { scores: sizes } = await scoreImages(jpegIncompressibility, { images, prompts });
    // The scorers call 97 of 100 drawn pictures right (test/rewards/shapes/scorers.test.ts).
    const right = [...scores].flatMap((score, i) => (Math.abs(score - sizes[i]! - 2) < 1e-9 ? [i] : []));
    expect(right.length).toBeGreaterThan(0.9 * scenes.length);
    // What was right before and after is read from the terms.
    const terms = ['jpeg-incompressibility', 'shapes', 'shapes-shape'] as const;
    expect(Object.keys(details)).toEqual(expect.arrayContaining([...terms]));
    // Noise makes the largest files, and an empty picture the smallest.
    const noise = ndarray(
      Uint8Array.from({ length: images.data.length }, () => random.integer(256)),
      images.shape,
    );
    const empty = ndarray(new Uint8Array(images.data.length), images.shape);
    for (const wrong of [noise, empty]) {
      const { details: others } = await scoreImages(reward, { images: wrong, prompts });
      for (const i of right.slice(0, -3)) {
        const group = (name: (typeof terms)[number]) => [
          ...right.slice(right.indexOf(i), right.indexOf(i) + 3).map((j) => Number(details[name]![j])),
          Number(others[name]![i]),
        ];
        const normalized = terms.map((name) => {
          const { mean, std } = meanAndStd(group(name));
          return group(name).map((value) => (value - mean) / Math.max(std, 1e-6));
        });
        const sums = [0, 1, 2, 3].map((j) => normalized.reduce((sum, values) => sum + values[j]!, 0));
        expect(sums.indexOf(Math.min(...sums))).toBe(3);
      }
    }
  });
});
