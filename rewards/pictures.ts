import sharp from 'sharp';
import type { NdArray } from '../core/ndarray.js';
import { sizeOf } from '../core/ndarray.js';

/**
 * A picture of a batch (uint8 [n, h, w, 1 or 3]) as a PNG.
 * @param shorterSide its size in pixels, where the picture is to be resized (bicubic); default: as it is.
 */
export async function pngOf(images: NdArray, index: number, shorterSide?: number): Promise<Buffer> {
  const [height, width, channels] = images.shape.slice(1) as [number, number, 1 | 3];
  const size = sizeOf(images.shape.slice(1));
  const data = images.data.subarray(index * size, (index + 1) * size) as Uint8Array;
  const picture = sharp(data, { raw: { width, height, channels } });
  const resized =
    shorterSide === undefined ? picture : picture.resize(shorterSide, shorterSide, { fit: 'outside', kernel: 'cubic' });
  return await resized.png().toBuffer();
}
