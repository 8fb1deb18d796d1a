import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readJson } from '../../core/files.js';
import { useBackend } from '../../networks/backend.js';
import {
  clipMean,
  clipStd,
  processImages,
  readImageProcessing,
  resizeBicubic,
} from '../../networks/image-processor.js';

let folder = '';
beforeAll(async () => {
  await useBackend();
  folder = await mkdtemp(join(tmpdir(), 'processor-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** The bytes from which Pillow's pictures were made: a linear congruential generator. */
function bytes(count: number, seed: number): Uint8Array {
  let x = BigInt(seed);
  return Uint8Array.from({ length: count }, () => {
    x = (x * 1103515245n + 12345n) % 2n ** 31n;
    return Number((x >> 16n) % 256n);
  });
}

// Pillow 13: Image.frombytes('RGB', (w, h), lcg(w * h * 3, 100 * w + h)).resize((W, H), Image.BICUBIC)
it("resizes as Pillow's bicubic filter does, to the bit, larger and smaller", async () => {
  const cases = (await readJson('test/fixtures/pillow_bicubic.json')) as {
    from: [number, number];
    to: [number, number];
    pixels: number[];
  }[];
  for (const { from, to, pixels } of cases) {
    const [height, width] = from;
    const data = bytes(height * width * 3, 100 * width + height);
    expect([...resizeBicubic({ data, height, width, channels: 3 }, ...to).data]).toEqual(pixels);
  }
});

it.each([
  // The shorter side becomes 4, the longer 8, of which the middle is left: white, as the ends are black.
  ['crop', [1, 1, 1, 1]],
  // The longer side becomes 4, the shorter 2; there is black above and below.
  ['pad', [0, 1, 1, 0]],
] as const)('makes a square of what is none: %s', async (fit, expected) => {
  // Four rows of eight: white.
  const images = { data: new Uint8Array(4 * 8 * 3).fill(255), shape: [1, 4, 8, 3] };
  const made = processImages(images, { size: 4, fit, mean: [0, 0, 0], std: [1, 1, 1] });
  expect(made.shape).toEqual([1, 4, 4, 3]);
  const data = await made.data();
  made.dispose();
  expect(expected.map((_, y) => data[(y * 4 + 1) * 3])).toEqual(expected);
});

it('takes grey for three equal channels', async () => {
  const processing = { size: 2, fit: 'crop', mean: clipMean, std: clipStd } as const;
  const made = processImages({ data: Uint8Array.of(255, 255, 255, 255), shape: [1, 2, 2, 1] }, processing);
  const data = await made.data();
  made.dispose();
  clipMean.forEach((mean, c) => {
    expect(data[c]).toBeCloseTo((1 - mean) / clipStd[c]!, 5);
  });
});

it('reads old files too, and says what it does not support', async () => {
  const read = async (more: object) => {
    const config = { size: 224, crop_size: 224, resample: 3, image_mean: clipMean, ...more };
    await writeFile(join(folder, 'preprocessor_config.json'), JSON.stringify(config));
    return await readImageProcessing(folder);
  };
  expect(await read({})).toEqual({ size: 224, fit: 'crop', mean: clipMean, std: clipStd });
  await expect(read({ resample: 2 })).rejects.toThrow(/resample must be 3, bicubic, actual value 2/);
  await expect(read({ size: { shortest_edge: 256 } })).rejects.toThrow(/size and crop_size must be one square/);
  await expect(read({ crop_size: 'big' })).rejects.toThrow(/crop_size must be a whole number/);
  await expect(read({ do_normalize: false })).rejects.toThrow(/do_normalize must be true/);
  await expect(read({ image_std: [1] })).rejects.toThrow(/image_std must be three numbers/);
  await expect(read({ rescale_factor: 1 })).rejects.toThrow(/rescale_factor must be 1\/255/);
});

it('reads it from the file of the whole processor, as transformers 5 writes it', async () => {
  const own = await mkdtemp(join(folder, 'whole-'));
  const write = (config: unknown) => writeFile(join(own, 'processor_config.json'), JSON.stringify(config));
  const size = { size: { shortest_edge: 32 }, crop_size: { height: 32, width: 32 }, resample: 3 };
  await write({
    image_processor: { image_processor_type: 'CLIPImageProcessor', ...size },
    processor_class: 'CLIPProcessor',
  });
  expect(await readImageProcessing(own)).toEqual({ size: 32, fit: 'crop', mean: clipMean, std: clipStd });
  await write({ processor_class: 'CLIPProcessor' });
  await expect(readImageProcessing(own)).rejects.toThrow(/processor_config\.json: image_processor must be an object/);
});
