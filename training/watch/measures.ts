import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import { mean } from '../../core/statistics.js';

/** What is seen of pictures without knowing what they should show. Over-optimised ones are known by how these change. */
export interface PictureMeasures {
  /** Mean luma, 0 (black) to 1 (white). */
  readonly brightness: number;
  /**
   * Saturation of HSV, (max − min) / max over the channels of a pixel, 0 (grey) to 1: a mean over pixels by their value, max,
   * since the noise of a black background has every colour and shows none.
   */
  readonly saturation: number;
  /** Mean of |4·luma − its four neighbours| over the inner pixels, in units of white: noise and texture have much of it, blur little. */
  readonly highFrequency: number;
  /**
   * How far two pictures of one prompt are apart: the root mean square difference of their channels, 0 to 1, as a mean over
   * all pairs. NaN where no prompt has two pictures.
   */
  readonly diversity: number;
  /** The share of pictures that show nothing: see {@link isBlank}. */
  readonly blank: number;
}

/** In HSV's and luma's units of 0..255: what is closer to one colour than this looks empty. */
const blankDeviation = 6;

/** ITU-R BT.601, as JPEG and Pillow's mode L have it. */
function lumaOf({ data, shape }: NdArray): Float64Array {
  const channels = shape[2]!;
  const luma = new Float64Array(shape[0]! * shape[1]!);
  for (let i = 0, j = 0; i < luma.length; i++, j += channels)
    luma[i] = channels < 3 ? data[j]! : 0.299 * data[j]! + 0.587 * data[j + 1]! + 0.114 * data[j + 2]!;
  return luma;
}

/** Whether a picture (uint8 [h, w, c]) is all of about one colour: every channel's standard deviation is below 6 of 255. */
export function isBlank({ data, shape }: NdArray): boolean {
  const channels = shape[2]!;
  const pixels = shape[0]! * shape[1]!;
  for (let c = 0; c < channels; c++) {
    let [sum, squares] = [0, 0];
    for (let j = c; j < data.length; j += channels) {
      sum += data[j]!;
      squares += data[j]! ** 2;
    }
    if (squares / pixels - (sum / pixels) ** 2 > blankDeviation ** 2) return false;
  }
  return true;
}

function saturationOf({ data, shape }: NdArray): number {
  const channels = shape[2]!;
  if (channels < 3) return 0;
  let [ranges, values] = [0, 0];
  for (let j = 0; j < data.length; j += channels) {
    const [r, g, b] = [data[j]!, data[j + 1]!, data[j + 2]!];
    const value = Math.max(r, g, b);
    ranges += value - Math.min(r, g, b);
    values += value;
  }
  return values === 0 ? 0 : ranges / values;
}

function highFrequencyOf(image: NdArray): number {
  const [height, width] = image.shape as [number, number];
  if (height < 3 || width < 3) return 0;
  const luma = lumaOf(image);
  let sum = 0;
  for (let y = 1; y < height - 1; y++)
    for (let x = 1; x < width - 1; x++) {
      const i = y * width + x;
      sum += Math.abs(4 * luma[i]! - luma[i - 1]! - luma[i + 1]! - luma[i - width]! - luma[i + width]!);
    }
  return sum / ((height - 2) * (width - 2)) / 255;
}

/** Root mean square difference of two pictures of one size, 0 to 1. */
export function pictureDistance(a: NdArray, b: NdArray): number {
  let squares = 0;
  for (let i = 0; i < a.data.length; i++) squares += (a.data[i]! - b.data[i]!) ** 2;
  return Math.sqrt(squares / a.data.length) / 255;
}

/** The mean distance of two different ones of those given; NaN where there are fewer than two. */
function meanPairwise<T>(items: readonly T[], distance: (a: T, b: T) => number): number {
  let [sum, pairs] = [0, 0];
  for (let i = 0; i < items.length; i++) for (let j = 0; j < i; j++, pairs++) sum += distance(items[i]!, items[j]!);
  return sum / pairs;
}

/** The mean distance of two different pictures of those given; NaN where there are fewer than two. */
export function meanDistance(images: readonly NdArray[]): number {
  return meanPairwise(images, pictureDistance);
}

/**
 * The mean distance of two that belong to one prompt, as a mean over prompts; NaN where no prompt has two.
 * @param prompts one for each
 */
export function meanByPrompt<T>(
  items: readonly T[],
  prompts: readonly string[],
  distance: (a: T, b: T) => number,
): number {
  const byPrompt = new Map<string, T[]>();
  prompts.forEach((prompt, i) => {
    byPrompt.set(prompt, [...(byPrompt.get(prompt) ?? []), items[i]!]);
  });
  const several = [...byPrompt.values()].filter((group) => group.length > 1);
  return several.length === 0 ? Number.NaN : mean(several.map((group) => meanPairwise(group, distance)));
}

/**
 * Measures pictures.
 * @param images uint8 [h, w, c] each, of one size; c = 1 or 3.
 * @param prompts one a picture: pictures of one prompt are compared with each other.
 * @throws GymError E_SHAPE when there are no pictures, sizes differ, or there is not one prompt a picture.
 */
export function measurePictures(images: readonly NdArray[], prompts: readonly string[]): PictureMeasures {
  const [first] = images;
  if (first === undefined || images.length !== prompts.length)
    throw new GymError(
      'E_SHAPE',
      `measurePictures: needs at least one picture and one prompt a picture, actual ${images.length} pictures and ${prompts.length} prompts.`,
    );
  const other = images.find(({ shape }) => shape.join() !== first.shape.join());
  if (other !== undefined || first.shape.length !== 3)
    throw new GymError(
      'E_SHAPE',
      `measurePictures: pictures must be [h, w, c] of one size, actual [${first.shape}] and [${(other ?? first).shape}].`,
    );
  return {
    brightness: mean(images.map((image) => mean(lumaOf(image)) / 255)),
    saturation: mean(images.map(saturationOf)),
    highFrequency: mean(images.map(highFrequencyOf)),
    diversity: meanByPrompt(images, prompts, pictureDistance),
    blank: images.filter(isBlank).length / images.length,
  };
}
