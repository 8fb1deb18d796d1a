import { describe, expect, it } from 'vitest';
import { scoreImages } from '../../core/score.js';
import { jpegBytes, jpegCompressibility } from '../../rewards/jpeg.js';

describe('jpegBytes', () => {
  // Pillow 13: b = io.BytesIO(); Image.frombytes(mode, (w, h), bytes(f(i) for i in range(w * h * c))).save(b, 'JPEG', quality=95); len(b.getvalue())
  it.each([
    [16, 16, 1, () => 9, 335],
    [16, 16, 3, () => 9, 631],
    [16, 16, 1, (i: number) => (i * 37) % 256, 573],
    [16, 16, 3, (i: number) => (i * 37) % 256, 890],
    [33, 21, 1, (i: number) => (i * i * 7) % 251, 1147],
    [33, 21, 3, (i: number) => (i * i * 7) % 251, 1698],
  ])('is what Pillow writes: %d×%d×%d', async (width, height, channels, f, bytes) => {
    const data = Uint8Array.from({ length: width * height * channels }, (_, i) => f(i));
    expect(await jpegBytes(data, [height, width, channels])).toBe(bytes);
  });

  it('refuses images of two or four channels', async () => {
    await expect(jpegBytes(new Uint8Array(16 * 16 * 4), [16, 16, 4])).rejects.toThrow(/actual \[16, 16, 4\]/);
    const images = { data: new Uint8Array(512), shape: [1, 16, 16, 2] };
    await expect(scoreImages(jpegCompressibility, { images, prompts: [''] })).rejects.toThrow(/actual \[16, 16, 2\]/);
  });
});
