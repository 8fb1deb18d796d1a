import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import type { NdArray } from '../../../core/ndarray.js';
import { stack } from '../../../core/ndarray.js';
import { scoreImages } from '../../../core/score.js';
import { makeReward } from '../../../rewards/index.js';
import { findLines } from '../../../rewards/ocr/lines.js';
import { ocrReward, readScore, wantedText } from '../../../rewards/ocr/ocr.js';
import { assertReward } from '../../../testing/index.js';

/** A picture with words in it, each at a place of its own, on what is not white. */
async function written(
  words: readonly (readonly [text: string, x: number, y: number, size?: number])[],
): Promise<NdArray> {
  const texts = words.map(
    ([text, x, y, size = 28]) =>
      `<text x="${x}" y="${y}" font-family="sans-serif" font-size="${size}" fill="#203060">${text}</text>`,
  );
  const svg = `<svg width="256" height="160"><rect width="256" height="160" fill="#e8e0c0"/>${texts.join('')}</svg>`;
  const { data } = await sharp(Buffer.from(svg)).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return { data: new Uint8Array(data), shape: [160, 256, 3] };
}

describe('the score of what is read', () => {
  it.each([
    ['HELLO world', 'Hello World', 1],
    ['say HELLO', 'hello', 1],
    // flow_grpo: 1 − min(Levenshtein.distance(read, wanted), len(wanted)) / len(wanted)
    ['helo', 'hello', 0.8],
    ['', 'hello', 0],
    ['something else entirely', 'hello', 0],
    ['kitten', 'sitting', 1 - 3 / 7],
  ])('of %j for %j', (read, wanted, score) => {
    expect(readScore(read, wanted)).toBeCloseTo(score, 12);
  });

  it('is about what stands in quotes', () => {
    expect(wantedText('a sign that says "Open 24h" and "more"')).toBe('Open 24h');
    expect(wantedText('a cake with “Happy” on it')).toBe('Happy');
    expect(wantedText('a sign')).toBeUndefined();
  });
});

it('finds the lines of a map, in reading order', () => {
  const [height, width] = [20, 40];
  const map = new Float32Array(height * width);
  const fill = (left: number, top: number, right: number, bottom: number, p: number) => {
    for (let y = top; y < bottom; y++) map.fill(p, y * width + left, y * width + right);
  };
  fill(25, 3, 35, 7, 0.9);
  fill(4, 4, 14, 8, 0.9);
  fill(4, 14, 20, 17, 0.8);
  fill(30, 14, 36, 18, 0.4); // above the threshold, but not likely enough
  fill(22, 18, 23, 19, 0.9); // too small
  const offset = (10 * 4 * 1.5) / (2 * (10 + 4));
  expect(findLines(map, height, width)).toEqual([
    { left: 4 - offset, top: 4 - offset, right: 14 + offset, bottom: 8 + offset },
    { left: 25 - offset, top: 3 - offset, right: 35 + offset, bottom: 7 + offset },
    expect.objectContaining({ left: 4 - (16 * 3 * 1.5) / 38 }),
  ]);
});

describe('reading pictures', () => {
  it('scores words that were drawn, and shows what it read', async () => {
    const images = stack([
      await written([['HELLO', 60, 90]]),
      await written([
        ['Denoise', 20, 50],
        ['Gym 42', 120, 130],
      ]),
      await written([]),
      await written([['HELLO', 60, 90]]),
    ]);
    const prompts = ['a sign "hello"', 'a page with "Denoise Gym 42"', 'a wall with "HELLO"', 'a sign "WORLD"'];
    const reward = await makeReward('ocr');
    const { scores, notes } = await scoreImages(reward, { images, prompts });
    expect([...scores.slice(0, 3)]).toEqual([1, 1, 0]);
    expect(scores[3]).toBeLessThan(0.5);
    expect(notes.read!.slice(0, 3)).toEqual(['HELLO', 'Denoise Gym 42', '']);
    reward.dispose!();
  });

  it('reads a part of a picture as one line', async () => {
    const images = stack([
      await written([
        ['HELLO', 8, 40, 40],
        ['noise noise', 60, 140],
      ]),
    ]);
    const reward = await ocrReward('sign', { detect: false, crop: [0, 0, 0.8, 0.35] });
    const { notes } = await scoreImages(reward, { images, prompts: ['"hello"'] });
    expect(notes.read).toEqual(['HELLO']);
    const some = stack(await Promise.all(['one', 'two', 'three', 'four'].map((word) => written([[word, 8, 40, 40]]))));
    await assertReward(reward, { images: some, prompts: ['"one"', '"two"', '"tree"', '"five"'] });
    await expect(scoreImages(reward, { images, prompts: ['a sign'] })).rejects.toThrow(/does not say in double quotes/);
    reward.dispose!();
  });
});
