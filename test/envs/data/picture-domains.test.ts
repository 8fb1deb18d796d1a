import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadDomain } from '../../../envs/data/index.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'domains-'));
  process.env.DENOISE_GYM_CACHE = join(folder, 'cache');
});
afterAll(async () => {
  delete process.env.DENOISE_GYM_CACHE;
  await rm(folder, { recursive: true });
});

/** A plain picture whose red says its number. */
async function write(place: string, name: string, red: number) {
  await mkdir(place, { recursive: true });
  const create = { width: 4, height: 4, channels: 3 as const, background: { r: red, g: 0, b: 0 } };
  await sharp({ create }).png().toFile(join(place, name));
}
const reds = ({ images }: { images: { data: Uint8Array; shape: readonly number[] } }) => {
  const size = images.shape.slice(1).reduce((a, b) => a * b, 1);
  return Array.from({ length: images.shape[0]! }, (_, i) => images.data[i * size]!).sort((a, b) => a - b);
};

describe('Office-Caltech', () => {
  it('is split by the place of each picture, eight in ten for training, over all classes', async () => {
    // Twelve of one class and ten of the other: of the pictures 0 to 21, those with a last digit of 8 or 9 are for testing.
    const office = join(folder, 'Office_Caltech_10');
    for (let i = 0; i < 22; i++)
      await write(
        join(office, 'dslr', i < 12 ? 'back_pack' : 'bike'),
        `frame_${String(i).padStart(4, '0')}.png`,
        10 * i,
      );
    const options = { seed: 0, folder: office, size: 6 };
    const test = await loadDomain('dslr', { ...options, split: 'test' });
    expect(reds(test)).toEqual([80, 90, 180, 190]);
    expect(test.images.shape).toEqual([4, 6, 6, 3]);
    expect(test.classes).toEqual(['back_pack', 'bike']);
    const train = await loadDomain('dslr', { ...options, split: 'train' });
    expect(train.labels.length).toBe(18);
    // The domain's own folder is as good.
    expect(reds(await loadDomain('dslr', { ...options, folder: join(office, 'dslr'), split: 'test' }))).toEqual(
      reds(test),
    );
  });

  it('says what is missing', async () => {
    await expect(loadDomain('webcam', { split: 'train', seed: 0 })).rejects.toThrow(
      /data webcam: its folder is not known/,
    );
  });
});

describe('SYN', () => {
  it('is read from folders of classes below train and val', async () => {
    for (const [split, red] of [
      ['train', 50],
      ['val', 200],
    ] as const)
      for (const digit of ['0', '1']) await write(join(folder, 'syn', split, digit), 'a.png', red);
    const options = { seed: 0, folder: join(folder, 'syn') };
    expect(reds(await loadDomain('syn', { ...options, split: 'train' }))).toEqual([50, 50]);
    expect(reds(await loadDomain('syn', { ...options, split: 'test' }))).toEqual([200, 200]);
  });
});
