import { describe, expect, it } from 'vitest';
import { ndarray } from '../../core/ndarray.js';
import { scoreImages } from '../../core/score.js';
import { jpegBytes, jpegCompressibility, jpegIncompressibility } from '../../rewards/jpeg.js';
import { readFixture, startBackend } from './fixtures.js';

interface JpegSizes {
  cases: { width: number; height: number; rgb: number[]; bytes: number }[];
}

// Image.fromarray(rgb).save(file, 'JPEG', quality=95)
describe("the JPEG rewards and Pillow's file sizes", async () => {
  await startBackend();
  const { cases } = await readFixture<JpegSizes>('jpeg_sizes.json');

  it('has cases', () => expect(cases.length).toBeGreaterThan(0));

  it.each(cases.map((c, i) => ({ ...c, i })))('case $i, $width×$height: $bytes bytes', async (c) => {
    expect(await jpegBytes(Uint8Array.from(c.rgb), [c.height, c.width, 3])).toBe(c.bytes);
    const images = ndarray(Uint8Array.from([...c.rgb, ...c.rgb]), [2, c.height, c.width, 3]);
    const batch = { images, prompts: ['', ''] };
    const kB = c.bytes / 1000;
    expect((await scoreImages(jpegIncompressibility, batch)).scores).toEqual(Float64Array.of(kB, kB));
    expect((await scoreImages(jpegCompressibility, batch)).scores).toEqual(Float64Array.of(-kB, -kB));
  });
});
