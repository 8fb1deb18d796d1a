import sharp from 'sharp';
import { GymError } from '../core/errors.js';
import type { Reward, RewardBatch } from '../core/reward.js';

/** Pillow begins a file with the 18 bytes of a JFIF APP0 segment, which sharp leaves out; all other bytes are the same. */
const jfifSegment = 18;

/**
 * The size in bytes of the JPEG file that Pillow would write: `Image.fromarray(image).save(file, 'JPEG', quality=95)`
 * (4:2:0, standard Huffman tables). That is what DDPO measures.
 *
 * @param data height·width·channels values 0..255, row-major.
 * @param shape [height, width, channels], with 3 channels (RGB) or 1 (grey).
 * @throws GymError E_SHAPE on another number of channels.
 */
export async function jpegBytes(data: Uint8Array, shape: readonly number[], quality = 95): Promise<number> {
  const [height = 0, width = 0, channels = 0] = shape;
  if (shape.length !== 3 || (channels !== 1 && channels !== 3))
    throw new GymError(
      'E_SHAPE',
      `jpeg: an image must be [height, width, 3] or [height, width, 1], actual [${shape.join(', ')}].`,
    );
  const picture = sharp(data, { raw: { width, height, channels } });
  if (channels === 1) picture.toColourspace('b-w');
  const file = await picture.jpeg({ quality, chromaSubsampling: '4:2:0', optimiseCoding: false }).toBuffer();
  return file.length + jfifSegment;
}

/** sign · kB of every image's JPEG file. */
async function kilobytes({ images }: RewardBatch, sign: 1 | -1): Promise<Float64Array> {
  const [n = 0, ...shape] = images.shape;
  const size = images.data.length / n;
  const data = images.data as Uint8Array;
  // sharp queues what its threads cannot take at once.
  const bytes = await Promise.all(
    Array.from({ length: n }, (_, i) => jpegBytes(data.subarray(i * size, (i + 1) * size), shape)),
  );
  return Float64Array.from(bytes, (b) => (sign * b) / 1000);
}

/** The size of the JPEG in kB (bytes / 1000), to be made larger: texture and detail (Black et al. 2023, DDPO, §5.1). */
export const jpegIncompressibility: Reward = {
  name: 'jpeg-incompressibility',
  score: (batch) => kilobytes(batch, 1),
};

/** Minus the size of the JPEG in kB: smooth pictures (Black et al. 2023, DDPO, §5.1). */
export const jpegCompressibility: Reward = {
  name: 'jpeg-compressibility',
  score: (batch) => kilobytes(batch, -1),
};
