import sharp from 'sharp';
import { expect, it } from 'vitest';
import type { NdArray } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import { animationWebp, cutGrid, gridLayout, gridPng } from '../../training/images.js';

function noise(seed: number, height: number, width: number): NdArray {
  const random = new Random(seed);
  return {
    data: Uint8Array.from({ length: height * width * 3 }, () => random.integer(256)),
    shape: [height, width, 3],
  };
}

it('lays pictures out in a grid, enlarged by whole pixels, and cuts it into the same pictures', async () => {
  const images = Array.from({ length: 5 }, (_, i) => noise(i, 8, 16));
  const { png, layout } = await gridPng(images, { columns: 3 });
  expect(layout).toEqual({ count: 5, columns: 3, width: 16, height: 8, scale: 4, gap: 4 });
  const { width, height } = await sharp(png).metadata();
  expect([width, height]).toEqual([3 * 68 + 4, 2 * 36 + 4]);
  const tiles = await cutGrid(png, layout);
  expect(tiles).toHaveLength(5);
  for (const [i, tile] of tiles.entries())
    expect([...(await sharp(tile).raw().toBuffer())]).toEqual([...images[i]!.data]);
});

it('does not enlarge large pictures', () => {
  expect(gridLayout(1, [512, 512, 3]).scale).toBe(1);
  expect(gridLayout(9, [16, 16, 3]).columns).toBe(3);
});

it('animates frame by frame, without loss for small pictures, and holds the last one', async () => {
  const frames = Array.from({ length: 3 }, (_, t) => [noise(t, 4, 4), noise(10 + t, 4, 4)]);
  const webp = await animationWebp(frames, { columns: 2, scale: 1, delay: 50, hold: 900 });
  const { pages, delay, pageHeight, width } = await sharp(webp, { animated: true }).metadata();
  expect({ pages, delay, pageHeight, width }).toEqual({ pages: 3, delay: [50, 50, 900], pageHeight: 12, width: 20 });
});

it('refuses pictures of other sizes and none at all', async () => {
  await expect(gridPng([noise(0, 4, 4), noise(1, 4, 5)])).rejects.toThrow('picture 1 has shape [4, 5, 3]');
  await expect(gridPng([])).rejects.toThrow('at least one picture');
  await expect(animationWebp([])).rejects.toThrow('at least one frame');
});
