import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync, gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readLibsvm, svhnDigits, uspsDigits } from '../../../envs/data/digit-files.js';
import { loadDomain } from '../../../envs/data/domains.js';
import { readMat } from '../../../envs/data/mat.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'files-'));
  process.env.DENOISE_GYM_CACHE = join(folder, 'cache');
});
afterAll(async () => {
  delete process.env.DENOISE_GYM_CACHE;
  await rm(folder, { recursive: true });
});

/** An element of a MAT file: its tag, its data, and zeros up to a multiple of 8 bytes. */
function element(type: number, data: Buffer): Buffer {
  const tag = Buffer.alloc(8);
  tag.writeUInt32LE(type, 0);
  tag.writeUInt32LE(data.length, 4);
  return Buffer.concat([tag, data, Buffer.alloc((8 - (data.length % 8)) % 8)]);
}

/** An array of uint8 as MATLAB writes it (MAT-File Format, chapter 1). */
function matrix(name: string, shape: readonly number[], data: readonly number[]): Buffer {
  const flags = Buffer.alloc(8);
  flags[0] = 9; // mxUINT8_CLASS
  const dimensions = Buffer.alloc(4 * shape.length);
  for (const [i, size] of shape.entries()) dimensions.writeInt32LE(size, 4 * i);
  const parts = [
    element(6, flags),
    element(5, dimensions),
    element(1, Buffer.from(name)),
    element(2, Buffer.from(data)),
  ];
  return element(14, Buffer.concat(parts));
}

function mat(compressed: boolean, ...matrices: Buffer[]): Buffer {
  const header = Buffer.alloc(128, ' ');
  header.writeUInt16LE(0x0100, 124);
  header.write('IM', 126);
  const packed = matrices.map((one) => {
    if (!compressed) return one;
    const data = deflateSync(one);
    const tag = Buffer.alloc(8);
    tag.writeUInt32LE(15, 0);
    tag.writeUInt32LE(data.length, 4);
    return Buffer.concat([tag, data]);
  });
  return Buffer.concat([header, ...packed]);
}

describe('SVHN and MAT files', () => {
  // Two pictures of 2 rows and 3 columns: the value says row, column, channel and picture.
  const [height, width, count] = [2, 3, 2];
  const value = (row: number, column: number, channel: number, n: number) => 100 * n + 30 * row + 10 * column + channel;
  const columnMajor: number[] = [];
  for (let n = 0; n < count; n++)
    for (let c = 0; c < 3; c++)
      for (let column = 0; column < width; column++)
        for (let row = 0; row < height; row++) columnMajor.push(value(row, column, c, n));

  it.each([false, true])('reads X and y, axes in their order, 10 as 0 (compressed: %s)', async (compressed) => {
    const bytes = mat(
      compressed,
      matrix('X', [height, width, 3, count], columnMajor),
      matrix('y', [count, 1], [10, 7]),
    );
    await writeFile(join(folder, 'train_32x32.mat'), bytes);
    const { images, labels } = await svhnDigits(folder, 'train');
    expect(images.shape).toEqual([count, height, width, 3]);
    const at = (n: number, row: number, column: number, c: number) =>
      images.data[((n * height + row) * width + column) * 3 + c];
    expect([at(0, 0, 1, 2), at(1, 1, 2, 0), at(0, 1, 0, 1)]).toEqual([
      value(0, 1, 2, 0),
      value(1, 2, 0, 1),
      value(1, 0, 1, 0),
    ]);
    expect([...labels]).toEqual([0, 7]);
    await writeFile(join(folder, 'cut.mat'), bytes.subarray(0, bytes.length - 9));
    await expect(readMat(join(folder, 'cut.mat'))).rejects.toThrow(/truncated/);
  });

  it('says what is wrong', async () => {
    await writeFile(join(folder, 'test_32x32.mat'), mat(false, matrix('Z', [1, 2], [1, 2])));
    await expect(svhnDigits(folder, 'test')).rejects.toThrow(/must hold X.*it has Z \[1, 2\]/);
    await writeFile(join(folder, 'no.mat'), 'HDF');
    await expect(readMat(join(folder, 'no.mat'))).rejects.toThrow(/no little-endian MAT file/);
    await expect(svhnDigits(join(folder, 'nowhere'), 'test')).rejects.toThrow(/cannot read/);
  });
});

describe('USPS', () => {
  it('reads libsvm text, raw and gzip, labels from 1, values truncated as torchvision does', async () => {
    const text = '6 1:-1 2:1 3:0\r\n\n10 256:0.5';
    await writeFile(join(folder, 'usps'), text);
    await writeFile(join(folder, 'usps.t.gz'), gzipSync(text));
    for (const split of ['train', 'test'] as const) {
      const { images, labels } = await uspsDigits(folder, split);
      expect(images.shape).toEqual([2, 16, 16]);
      expect([...labels]).toEqual([5, 9]);
      // (0 + 1) / 2 · 255 = 127.5 and (.5 + 1) / 2 · 255 = 191.25, cut.
      expect([...images.data.subarray(0, 3), images.data[511]]).toEqual([0, 255, 127, 191]);
    }
    await writeFile(join(folder, 'bad'), '3 1:0\n3 300:0');
    await expect(readLibsvm(join(folder, 'bad'))).rejects.toThrow(
      /bad, line 2: `300:0` must be an index from 1 to 256/,
    );
    await writeFile(join(folder, 'bad'), '11 1:0');
    await expect(readLibsvm(join(folder, 'bad'))).rejects.toThrow(/line 1: the label must be .* actual value 11/);
  });

  it('reads HDF5', async () => {
    const place = join(folder, 'h5');
    await mkdir(place);
    interface Group {
      create_group(name: string): Group;
      create_dataset(options: object): unknown;
    }
    const h5 = (await import('h5wasm/node')) as unknown as {
      ready: Promise<unknown>;
      File: new (path: string, mode: string) => Group & { close(): unknown };
    };
    await h5.ready;
    const file = new h5.File(join(place, 'usps.h5'), 'w');
    for (const split of ['train', 'test']) {
      const group = file.create_group(split);
      const data = new Float32Array(512).fill(split === 'train' ? 1 : 0.5);
      group.create_dataset({ name: 'data', data, shape: [2, 256] });
      group.create_dataset({ name: 'target', data: Int32Array.of(3, 8), shape: [2] });
    }
    file.close();
    const { images, labels } = await uspsDigits(place, 'test');
    expect([images.shape, images.data[511], [...labels]]).toEqual([[2, 16, 16], 128, [3, 8]]);
  });

  it('says what to do where there is none', async () => {
    const place = join(folder, 'empty');
    await mkdir(place);
    await expect(uspsDigits(place, 'train')).rejects.toThrow(/has no USPS: neither IDX files/);
    await writeFile(join(place, 'usps.bz2'), 'BZh');
    await expect(uspsDigits(place, 'train')).rejects.toThrow(/run `bunzip2` on it/);
  });
});

describe('pictures of a user', () => {
  const png = (value: number) =>
    sharp({ create: { width: 4, height: 3, channels: 3, background: { r: value, g: 0, b: 0 } } })
      .png()
      .toBuffer();

  it('a folder for each class: sorted by bytes, split the same for every seed', async () => {
    const place = join(folder, 'pictures');
    for (const [c, name] of ['B', 'a'].entries()) {
      await mkdir(join(place, name), { recursive: true });
      for (let i = 0; i < 10; i++) await writeFile(join(place, name, `${i}.png`), await png(100 * c + i));
    }
    const load = (split: 'train' | 'test', seed: number) => loadDomain(place, { split, seed, size: 8 });
    const [train, test] = [await load('train', 1), await load('test', 1)];
    expect(train.classes).toEqual(['B', 'a']);
    expect([train.images.shape, test.images.shape]).toEqual([
      [16, 8, 8, 3],
      [4, 8, 8, 3],
    ]);
    const values = ({ images }: typeof train) => images.data.filter((_, i) => i % 192 === 0);
    expect(new Set([...values(train), ...values(test)]).size).toBe(20);
    expect([...values(await load('test', 2))].sort()).toEqual([...values(test)].sort());
    test.labels.forEach((label, i) => {
      expect(values(test)[i]! >= 100).toBe(label === 1);
    });
    // The second time they come from the cache, and a file that is no picture is not met.
    expect(await load('train', 1)).toEqual(train);
    await writeFile(join(place, 'a', '0.png'), 'no picture');
    await expect(Promise.all([load('train', 3), load('test', 3)])).rejects.toThrow(/cannot read the picture .*0\.png/);
  });

  it('folders of splits are taken as they are', async () => {
    const place = join(folder, 'split');
    for (const [split, n] of [
      ['train', 3],
      ['val', 2],
    ] as const)
      for (const name of ['x', 'y']) {
        await mkdir(join(place, split, name), { recursive: true });
        for (let i = 0; i < n; i++) await writeFile(join(place, split, name, `${i}.png`), await png(i));
      }
    expect((await loadDomain(place, { split: 'train', seed: 1 })).labels).toHaveLength(6);
    expect((await loadDomain(place, { split: 'test', seed: 1 })).images.shape).toEqual([4, 28, 28, 3]);
  });

  it.each([0, 1])('a list, whose labels count from %i', async (base) => {
    const place = join(folder, `list${base}`);
    await mkdir(join(place, 'dog'), { recursive: true });
    await mkdir(join(place, 'my cat'), { recursive: true });
    const lines: string[] = [];
    for (let i = 0; i < 5; i++)
      for (const [c, name] of ['dog', 'my cat'].entries()) {
        await writeFile(join(place, name, `${i}.png`), await png(100 * c + i));
        lines.push(`${name}/${i}.png ${c + base}`);
      }
    // Carriage returns, blank lines, and no end of the last line.
    await writeFile(join(place, 'image_list.txt'), `${lines.join('\r\n\r\n')}`);
    const data = await loadDomain(join(place, 'image_list.txt'), { split: 'train', seed: 1, size: 8 });
    expect([data.classes, data.labels.length]).toEqual([['dog', 'my cat'], 8]);
    data.labels.forEach((label, i) => {
      expect(data.images.data[i * 192]! >= 100).toBe(label === 1);
    });
    await writeFile(join(place, 'broken.txt'), 'dog/0.png 0\ndog/9.png 1\n');
    await expect(
      Promise.all(
        (['train', 'test'] as const).map((split) => loadDomain(join(place, 'broken.txt'), { split, seed: 1 })),
      ),
    ).rejects.toThrow(/broken\.txt, line 2: cannot read/);
    await writeFile(join(place, 'broken.txt'), 'dog/0.png 0\nnothing\n');
    await expect(loadDomain(join(place, 'broken.txt'), { split: 'train', seed: 1 })).rejects.toThrow(
      /line 2: must be a path and a label, actual value "nothing"/,
    );
  });
});
