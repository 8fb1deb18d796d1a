import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadDomain } from '../../../envs/data/domains.js';
import { drawDigits, drawnDomains } from '../../../envs/data/drawn-digits.js';
import { readIdx, readIdxFolder } from '../../../envs/data/idx.js';
import {
  checkEveryClass,
  checkLabelledImages,
  digits,
  type LabelledImages,
} from '../../../envs/data/labelled-images.js';
import { asDigits } from '../../../envs/data/pixels.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'data-'));
  process.env.DENOISE_GYM_CACHE = join(folder, 'cache');
});
afterAll(async () => {
  delete process.env.DENOISE_GYM_CACHE;
  await rm(folder, { recursive: true });
});

const image = ({ images }: LabelledImages, i: number) => images.data.subarray(i * 28 * 28 * 3, (i + 1) * 28 * 28 * 3);
const mean = (data: Uint8Array) => data.reduce((a, b) => a + b, 0) / data.length;

describe('drawn digits', () => {
  it.each(
    drawnDomains,
  )('%s: as many of each class, the same for the same seed, and fewer are the first of more', (domain) => {
    const ten = drawDigits(domain, 'train', 10, 5);
    expect([...ten.labels]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(ten.images.shape).toEqual([10, 28, 28, 3]);
    const four = drawDigits(domain, 'train', 4, 5);
    expect(four.images.data).toEqual(ten.images.data.subarray(0, four.images.data.length));
    expect(drawDigits(domain, 'train', 4, 6).images.data).not.toEqual(four.images.data);
  });

  it.each(drawnDomains)('%s: no test picture is a training picture', (domain) => {
    const train = drawDigits(domain, 'train', 60, 1);
    const test = drawDigits(domain, 'test', 60, 1);
    const seen = new Set(Array.from({ length: 60 }, (_, i) => image(train, i).join()));
    expect(Array.from({ length: 60 }, (_, i) => seen.has(image(test, i).join()))).not.toContain(true);
    expect(seen.size).toBe(60);
  });

  it('is white on black, black on white, or in colour, as the domain says', () => {
    const grey = (data: LabelledImages) => image(data, 3).every((v, i, all) => v === all[i - (i % 3)]);
    const [clean, lowres, invert, texture] = (['clean', 'lowres', 'invert', 'texture'] as const).map((domain) =>
      drawDigits(domain, 'train', 10, 1),
    );
    expect([clean!, lowres!, invert!, texture!].map(grey)).toEqual([true, true, true, false]);
    // A digit covers a fifth of its picture or so.
    expect(mean(clean!.images.data)).toBeGreaterThan(20);
    expect(mean(clean!.images.data)).toBeLessThan(80);
    expect(mean(invert!.images.data)).toBeGreaterThan(190);
    expect(Math.max(...image(clean!, 1))).toBe(255);
    // Few pixels, enlarged: neighbours are alike.
    const steps = (data: LabelledImages) =>
      Math.max(...Array.from(image(data, 1)).map((v, i, all) => (i >= 3 ? Math.abs(v - all[i - 3]!) : 0)));
    expect(steps(lowres!)).toBeLessThan(steps(clean!));
  });

  it('lies in the cache once it was drawn, and comes from there', async () => {
    const options = { split: 'train', count: 12, seed: 3 } as const;
    const first = await loadDomain('texture', options);
    const files = await readdir(join(folder, 'cache', 'images'));
    expect(files).toHaveLength(1);
    expect(await loadDomain('texture', options)).toEqual(first);
    expect(first.images.data).toEqual(drawDigits('texture', 'train', 12, 3).images.data);
    // What is damaged is drawn again.
    await writeFile(join(folder, 'cache', 'images', files[0]!), 'no safetensors');
    expect(await loadDomain('texture', options)).toEqual(first);
  });
});

function idx(shape: readonly number[], data: readonly number[]): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header[2] = 8;
  header[3] = shape.length;
  for (const [i, size] of shape.entries()) header.writeUInt32BE(size, 4 + 4 * i);
  return Buffer.concat([header, Buffer.from(data)]);
}

describe('IDX', () => {
  it('reads raw and gzip files, in the order of rows', async () => {
    const bytes = idx([2, 2, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    await writeFile(join(folder, 'train-images-idx3-ubyte'), bytes);
    await writeFile(join(folder, 'train-labels.idx1-ubyte.gz'), gzipSync(idx([2], [7, 3])));
    const { images, labels } = await readIdxFolder(folder, 'train');
    expect(images).toEqual({ data: Uint8Array.from({ length: 12 }, (_, i) => i + 1), shape: [2, 2, 3] });
    expect([...labels]).toEqual([7, 3]);
  });

  it('says what is wrong with a file', async () => {
    const path = join(folder, 'broken');
    await writeFile(path, idx([2, 2], [1, 2, 3]));
    await expect(readIdx(path)).rejects.toThrow(/has 3 bytes of data, but its header says \[2, 2\]/);
    await writeFile(path, 'label 1:0.5');
    await expect(readIdx(path)).rejects.toThrow(/no IDX file of bytes.*first bytes 6c616265/);
    await writeFile(path, gzipSync('abc').subarray(0, 15));
    await expect(readIdx(path)).rejects.toThrow(/damaged gzip/);
    await expect(readIdxFolder(folder, 'test')).rejects.toThrow(/has no t10k-images-idx3-ubyte/);
    await expect(readIdxFolder(join(folder, 'nowhere'), 'test')).rejects.toThrow(/does not exist/);
    await writeFile(join(folder, 't10k-images-idx3-ubyte'), idx([2, 1, 1], [1, 2]));
    await writeFile(join(folder, 't10k-labels-idx1-ubyte'), idx([3], [1, 2, 3]));
    await expect(readIdxFolder(folder, 'test')).rejects.toThrow(/holds \[2, 1, 1\], and .* \[3\]/);
  });
});

describe('loadDomain', () => {
  it('reads MNIST out of the package, another part for each split', async () => {
    const train = await loadDomain('mnist', { split: 'train', count: 300, seed: 1 });
    const test = await loadDomain('mnist', { split: 'test', count: 300, seed: 1 });
    expect(train.images.shape).toEqual([300, 28, 28, 3]);
    checkEveryClass(train);
    const seen = new Set(Array.from({ length: 300 }, (_, i) => image(train, i).join()));
    expect(Array.from({ length: 300 }, (_, i) => seen.has(image(test, i).join()))).not.toContain(true);
    const other = await loadDomain('mnist', { split: 'train', count: 300, seed: 2 });
    expect(other.labels).not.toEqual(train.labels);
    const whole = await loadDomain('mnist', { split: 'test', seed: 1 });
    expect(whole.labels).toHaveLength(10_000);
    expect(whole.labels.slice(0, 300)).toEqual(test.labels);
    // The numbers of each digit in t10k-labels, as the data set's page has them: 980 zeros, 1135 ones.
    expect([0, 1].map((digit) => whole.labels.filter((label) => label === digit).length)).toEqual([980, 1135]);
  });

  it('names what it does not know or cannot find', async () => {
    await expect(loadDomain('textur', { split: 'train', seed: 1 })).rejects.toThrow(/Did you mean `texture`/);
    await expect(loadDomain('usps', { split: 'train', seed: 1 })).rejects.toThrow(/its folder is not known/);
    await expect(loadDomain('usps', { split: 'train', seed: 1, folder: '/nowhere' })).rejects.toThrow(
      /no folder \/nowhere/,
    );
    await expect(loadDomain('clean', { split: 'train', seed: 1, count: 0 })).rejects.toThrow(
      /count must be an integer/,
    );
  });
});

describe('pixels and labels', () => {
  it('enlarges small pictures to 20 pixels in the middle of 28, and repeats grey', () => {
    const flat = asDigits({ data: new Uint8Array(64).fill(200), shape: [1, 8, 8] });
    const at = (y: number, x: number) => [...flat.data.subarray((y * 28 + x) * 3, (y * 28 + x) * 3 + 3)];
    expect([at(3, 10), at(4, 4), at(23, 23), at(24, 10)]).toEqual([
      [0, 0, 0],
      [200, 200, 200],
      [200, 200, 200],
      [0, 0, 0],
    ]);
    // Halfway between the centres of two pixels lies their mean: 40 pixels of 2 each, by hand.
    const ramp = asDigits({ data: Uint8Array.of(0, 100), shape: [1, 1, 2] });
    const row = Array.from({ length: 20 }, (_, x) => ramp.data[(4 * 28 + 4 + x) * 3]!);
    expect(row.slice(4, 8)).toEqual([0, 5, 15, 25]);
    expect(row.slice(9, 11)).toEqual([45, 55]);
  });

  it('keeps the colours of larger ones', () => {
    const data = Uint8Array.from({ length: 32 * 32 * 3 }, (_, i) => [10, 20, 30][i % 3]!);
    const resized = asDigits({ data, shape: [1, 32, 32, 3] });
    expect([...resized.data.subarray(300, 303)]).toEqual([10, 20, 30]);
    expect(resized.data).toHaveLength(28 * 28 * 3);
  });

  it('refuses labels out of range, other shapes, and a class without a picture', () => {
    const data = drawDigits('clean', 'train', 10, 1);
    const labels = Int32Array.from(data.labels);
    expect(() => checkLabelledImages({ ...data, labels: labels.subarray(1) })).toThrow(/10 images and 9 labels/);
    labels[2] = 10;
    expect(() => checkLabelledImages({ ...data, labels })).toThrow(/label 2 is 10; the 10 classes/);
    labels[2] = 3;
    expect(() => checkEveryClass({ ...data, labels })).toThrow(/no image of class 2 among 10/);
    expect(() => checkLabelledImages({ ...data, images: { data: data.images.data, shape: [10, 28, 84] } })).toThrow(
      /must be uint8 \[N, height, width, 3\]/,
    );
    expect(digits).toHaveLength(10);
  });
});
