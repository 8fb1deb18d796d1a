import { describe, expect, it } from 'vitest';
import type { NdArray } from '../../../core/ndarray.js';
import { Random } from '../../../core/random.js';
import { isBlank, meanDistance, measurePictures, pictureDistance } from '../../../training/watch/index.js';

const size = 8;
const picture = (pixel: (x: number, y: number) => readonly [number, number, number]): NdArray => ({
  data: Uint8Array.from({ length: size * size }, (_, i) => i).reduce(
    (data, i) => {
      data.set(pixel(i % size, Math.floor(i / size)), 3 * i);
      return data;
    },
    new Uint8Array(size * size * 3),
  ),
  shape: [size, size, 3],
});
const plain = (r: number, g: number, b: number) => picture(() => [r, g, b]);
const checks = picture((x, y) => ((x + y) % 2 === 0 ? [255, 255, 255] : [0, 0, 0]));

describe('measures of pictures', () => {
  it('brightness is mean luma, as Pillow has it', () => {
    // Image.new('RGB', (8, 8), (200, 100, 50)).convert('L').getpixel((0, 0)) is 124 = round(.299·200 + .587·100 + .114·50)
    expect(measurePictures([plain(200, 100, 50)], ['a']).brightness).toBeCloseTo(124.2 / 255, 9);
    expect(measurePictures([plain(255, 255, 255), plain(0, 0, 0)], ['a', 'b']).brightness).toBeCloseTo(0.5, 9);
  });

  it('saturation is that of HSV', () => {
    // colorsys.rgb_to_hsv(200/255, 100/255, 50/255)[1] is 0.75
    expect(measurePictures([plain(200, 100, 50)], ['a']).saturation).toBeCloseTo(0.75, 9);
    expect(measurePictures([plain(0, 0, 0), plain(90, 90, 90)], ['a', 'b']).saturation).toBe(0);
    // A bright pixel of saturation .5 beside a nearly black one of 1, which hardly counts: (100 + 2) / (200 + 2).
    const two = { data: Uint8Array.of(200, 150, 100, 0, 2, 0), shape: [1, 2, 3] };
    expect(measurePictures([two], ['a']).saturation).toBeCloseTo(102 / 202, 9);
  });

  it('high frequencies: none in one colour, all in a chessboard', () => {
    expect(measurePictures([plain(9, 200, 40)], ['a']).highFrequency).toBeCloseTo(0, 12);
    // |4·1 − 0| of a white pixel among black ones, |0 − 4| of a black one
    expect(measurePictures([checks], ['a']).highFrequency).toBeCloseTo(4, 9);
  });

  it('diversity is the distance of pictures of one prompt, whatever the others are', () => {
    expect(pictureDistance(plain(0, 0, 0), plain(255, 255, 255))).toBe(1);
    expect(pictureDistance(plain(0, 0, 0), checks)).toBeCloseTo(Math.SQRT1_2, 9);
    const images = [plain(0, 0, 0), plain(51, 51, 51), plain(255, 255, 255), plain(255, 255, 255)];
    expect(measurePictures(images, ['a', 'a', 'b', 'b']).diversity).toBeCloseTo((0.2 + 0) / 2, 9);
    expect(measurePictures(images, ['a', 'b', 'c', 'd']).diversity).toBeNaN();
    // Pairs of 0, .2, 1, 1: .2, 1, 1, .8, .8, 0.
    expect(meanDistance(images)).toBeCloseTo(3.8 / 6, 9);
  });

  it('a picture with a little noise is blank, one with a small object is not', () => {
    const random = new Random(0);
    expect(isBlank(picture(() => [200 + 3 * random.normal(), 200, 10 + 3 * random.normal()]))).toBe(true);
    expect(isBlank(picture((x, y) => (x < 2 && y < 2 ? [255, 0, 0] : [255, 255, 255])))).toBe(false);
    expect(measurePictures([plain(1, 2, 3), checks], ['a', 'b']).blank).toBe(0.5);
  });

  it('pictures of several sizes, of no number and without prompts are refused', () => {
    expect(() => measurePictures([], [])).toThrow(/at least one picture/);
    expect(() => measurePictures([checks], [])).toThrow(/1 pictures and 0 prompts/);
    const other = { data: new Uint8Array(12), shape: [2, 2, 3] };
    expect(() => measurePictures([checks, other], ['a', 'b'])).toThrow(/of one size, actual \[8,8,3\] and \[2,2,3\]/);
  });
});
