import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { GymError } from '../core/errors.js';
import { readJson } from '../core/files.js';
import type { NdArray } from '../core/ndarray.js';
import { shownJson } from '../core/shown.js';

/** An image of whole numbers 0..255: [height, width, channels] in a row. */
interface Pixels {
  readonly data: Uint8Array;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** The bicubic kernel with a = −½ (Keys 1981), as Pillow has it. */
function bicubic(x: number): number {
  const a = -0.5;
  const d = Math.abs(x);
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return (((d - 5) * d + 8) * d - 4) * a;
  return 0;
}

/** Pillow computes on whole numbers with so many binary places (`PRECISION_BITS` of its Resample.c). */
const places = 22;

/** Which pixels of a line a pixel of the resized line is made of, and their weights in units of 2^−22. */
function coefficients(from: number, to: number): { first: number; weights: Int32Array }[] {
  const scale = from / to;
  // Where a line becomes shorter, the kernel becomes wider: it is a low-pass filter then.
  const widening = Math.max(scale, 1);
  const support = 2 * widening;
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(from, Math.trunc(centre + support + 0.5));
    const raw = Array.from({ length: end - first }, (_, k) => bicubic((k + first - centre + 0.5) / widening));
    const sum = raw.reduce((a, b) => a + b, 0);
    const rounded = (w: number) => Math.trunc((w / sum) * 2 ** places + (w < 0 ? -0.5 : 0.5));
    return { first, weights: Int32Array.from(raw, rounded) };
  });
}

/** Resizes lines that lie `stride` apart within each of `count` groups of lines. */
function resizeLines(
  source: Uint8Array,
  target: Uint8Array,
  from: number,
  to: number,
  { outer, inner }: { outer: number; inner: number },
): void {
  const taps = coefficients(from, to);
  for (let o = 0; o < outer; o++)
    for (let i = 0; i < to; i++) {
      const { first, weights } = taps[i]!;
      for (let k = 0; k < inner; k++) {
        let sum = 1 << (places - 1);
        for (let w = 0; w < weights.length; w++) sum += weights[w]! * source[(o * from + first + w) * inner + k]!;
        target[(o * to + i) * inner + k] = Math.min(255, Math.max(0, sum >> places));
      }
    }
}

/**
 * Resizes an image as Pillow's `Image.resize(size, BICUBIC)` does, to the bit: with antialiasing, first in width and then
 * in height, rounded to whole numbers between.
 */
export function resizeBicubic(image: Pixels, height: number, width: number): Pixels {
  let { data } = image;
  const { channels } = image;
  if (width !== image.width) {
    const target = new Uint8Array(image.height * width * channels);
    resizeLines(data, target, image.width, width, { outer: image.height, inner: channels });
    data = target;
  }
  if (height !== image.height) {
    const target = new Uint8Array(height * width * channels);
    resizeLines(data, target, image.height, height, { outer: 1, inner: width * channels });
    data = target;
  }
  return { data, height, width, channels };
}

/** Cuts the middle out of an image; where it is smaller, there is black around it. */
function centreCrop(image: Pixels, size: number): Pixels {
  const { data, height, width, channels } = image;
  const out = new Uint8Array(size * size * channels);
  const top = Math.floor((height - size) / 2);
  const left = Math.floor((width - size) / 2);
  for (let y = Math.max(0, -top); y < Math.min(size, height - top); y++)
    for (let x = Math.max(0, -left); x < Math.min(size, width - left); x++)
      for (let c = 0; c < channels; c++)
        out[(y * size + x) * channels + c] = data[((y + top) * width + x + left) * channels + c]!;
  return { data: out, height: size, width: size, channels };
}

/** How pictures are made ready for a network. */
export interface ImageProcessing {
  /** Height and width of what the network takes. */
  readonly size: number;
  /**
   * `crop`: the shorter side gets that size and the middle is cut out, as CLIP was trained; `pad`: the longer side gets it
   * and the picture is put in the middle of black, as HPSv2 was.
   */
  readonly fit: 'crop' | 'pad';
  /** By channel, of pixels in 0..1. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** What CLIP and BLIP were trained with. */
export const clipMean: readonly number[] = [0.48145466, 0.4578275, 0.40821073];
export const clipStd: readonly number[] = [0.26862954, 0.26130258, 0.27577711];

/** The configuration in a file of its own, or in that of the whole processor, which transformers writes since version 5. */
async function processorIn(folder: string): Promise<{ where: string; given: Readonly<Record<string, unknown>> }> {
  const [own, whole] = [join(folder, 'preprocessor_config.json'), join(folder, 'processor_config.json')];
  const isOwn = existsSync(own) || !existsSync(whole);
  const where = isOwn ? own : whole;
  const read = await readJson(where);
  const given = isOwn ? read : (read as { image_processor?: unknown } | null)?.image_processor;
  if (typeof given !== 'object' || given === null)
    throw new GymError(
      'E_CONFIG',
      `${where}: ${isOwn ? 'it' : 'image_processor'} must be an object, actual value ${shownJson(given)}.`,
    );
  return { where, given: given as Readonly<Record<string, unknown>> };
}

/**
 * Reads transformers' `preprocessor_config.json` of a CLIP model, or what stands in its `processor_config.json`.
 * @throws GymError E_FILE where it cannot be read, E_CONFIG where it asks for what is not supported: another resampling than
 *   bicubic, say
 */
export async function readImageProcessing(folder: string): Promise<ImageProcessing> {
  const { where, given } = await processorIn(folder);
  // Old files have a number where new ones have an object.
  const side = (value: unknown, key: string) =>
    typeof value === 'number' ? value : (value as Record<string, unknown> | null | undefined)?.[key];
  const resize = side(given.size, 'shortest_edge');
  const size = side(given.crop_size, 'height');
  const refuse = (what: string, value: unknown): never => {
    throw new GymError('E_CONFIG', `${where}: ${what}, actual value ${shownJson(value)}.`);
  };
  if (!(Number.isInteger(size) && Number(size) > 0 && Number(size) <= 4096))
    refuse('crop_size must be a whole number of pixels', given.crop_size);
  if (resize !== size || side(given.crop_size, 'width') !== size)
    refuse('size and crop_size must be one square', { size: given.size, crop_size: given.crop_size });
  if ((given.resample ?? 3) !== 3) refuse('resample must be 3, bicubic', given.resample);
  if (Math.abs(Number(given.rescale_factor ?? 1 / 255) - 1 / 255) > 1e-6)
    refuse('rescale_factor must be 1/255', given.rescale_factor);
  for (const step of ['do_resize', 'do_center_crop', 'do_rescale', 'do_normalize'])
    if (given[step] === false) refuse(`${step} must be true`, false);
  const numbers = (key: string, standard: readonly number[]): readonly number[] => {
    const value = given[key] ?? standard;
    const valid = Array.isArray(value) && value.length === 3 && value.every((x) => Number.isFinite(x));
    return valid ? value : refuse(`${key} must be three numbers`, value);
  };
  return {
    size: Number(size),
    fit: 'crop',
    mean: numbers('image_mean', clipMean),
    std: numbers('image_std', clipStd),
  };
}

/**
 * Makes pictures ready for a network, as transformers' CLIPImageProcessor does with Pillow.
 * @param images uint8 [n, height, width, 1 or 3]; grey becomes three equal channels
 * @returns float32 [n, size, size, 3]; the caller frees it
 */
export function processImages(images: NdArray, { size, fit, mean, std }: ImageProcessing): tf.Tensor4D {
  const [count, height, width, channels] = images.shape as [number, number, number, number];
  const values = new Float32Array(count * size * size * 3);
  const scale = size / (fit === 'crop' ? Math.min(height, width) : Math.max(height, width));
  const long = (side: number) =>
    // The cropped side of transformers is cut to a whole number (get_resize_output_image_size), the padded one of HPSv2
    // (open_clip's ResizeMaxSize) rounded.
    fit === 'crop' ? Math.trunc((size * side) / Math.min(height, width)) : Math.round(scale * side);
  const [newHeight, newWidth] = [long(height), long(width)];
  const length = height * width * channels;
  for (let n = 0; n < count; n++) {
    const data = images.data.subarray(n * length, (n + 1) * length) as Uint8Array;
    const resized = resizeBicubic({ data, height, width, channels }, newHeight, newWidth);
    const { data: cut } = centreCrop(resized, size);
    for (let p = 0; p < size * size; p++)
      for (let c = 0; c < 3; c++)
        values[(n * size * size + p) * 3 + c] =
          (cut[p * channels + (channels === 1 ? 0 : c)]! / 255 - mean[c]!) / std[c]!;
  }
  return tf.tensor4d(values, [count, size, size, 3]);
}
