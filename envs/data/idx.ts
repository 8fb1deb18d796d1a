import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { GymError, messageOf } from '../../core/errors.js';
import { fileError, readBytes } from '../../core/files.js';
import { type NdArray, sizeOf } from '../../core/ndarray.js';
import type { Split } from './labelled-images.js';

const unzip = promisify(gunzip);

/** Reads a file, and unpacks it where it is gzip. @throws GymError E_FILE. */
export async function readMaybeGzip(path: string): Promise<Buffer> {
  const bytes = await readBytes(path);
  if (!(bytes[0] === 0x1f && bytes[1] === 0x8b)) return bytes;
  try {
    return await unzip(bytes);
  } catch (error) {
    throw new GymError('E_FILE', `${path}: is damaged gzip (${messageOf(error)}); get it again.`, { cause: error });
  }
}

/**
 * Reads an IDX file of bytes, raw or gzip: two zeros, the type (8: uint8), the number of dimensions, their sizes as
 * big-endian 32-bit integers, then the data, row-major (the format of MNIST's own page).
 * @throws GymError E_FILE on another type, or where the file is shorter or longer than it says.
 */
export async function readIdx(path: string): Promise<NdArray<Uint8Array>> {
  const bytes = await readMaybeGzip(path);
  const rank = bytes[3] ?? 0;
  const header = 4 + 4 * rank;
  if (bytes.length < 4 || bytes.readUInt16BE(0) !== 0 || bytes[2] !== 8 || rank === 0 || bytes.length < header)
    throw new GymError(
      'E_FILE',
      `${path}: is no IDX file of bytes, which begins with 00 00 08 and the number of dimensions; actual first bytes ${bytes.subarray(0, 4).toString('hex') || '(none)'}.`,
    );
  const shape = Array.from({ length: rank }, (_, i) => bytes.readUInt32BE(4 + 4 * i));
  const data = bytes.subarray(header);
  if (data.length !== sizeOf(shape))
    throw new GymError(
      'E_FILE',
      `${path}: has ${data.length} bytes of data, but its header says [${shape.join(', ')}]; it is truncated or damaged, get it again.`,
    );
  return { data: new Uint8Array(data), shape };
}

/** The names of the splits in the names of files. */
const splitNames: Readonly<Record<Split, RegExp>> = { train: /train/, test: /t10k|test/ };

/**
 * Reads images and labels of one split from a folder of IDX files: `train-images-idx3-ubyte`, `t10k-labels.idx1-ubyte.gz`,
 * `usps-test-images-idx3-ubyte.gz`.
 * @returns images uint8 [N, height, width] and a label for each.
 * @throws GymError E_FILE when a file is missing, or damaged, or when the two are not of the same number.
 */
export async function readIdxFolder(
  folder: string,
  split: Split,
): Promise<{ images: NdArray<Uint8Array>; labels: Uint8Array }> {
  const names = await readdir(folder).catch((error: unknown) => {
    throw fileError('cannot read', folder, error);
  });
  const find = (what: 'images' | 'labels', rank: 1 | 3) => {
    const found = names
      .sort()
      .find((name) => splitNames[split].test(name) && new RegExp(`${what}[-.]idx${rank}-ubyte(\\.gz)?$`).test(name));
    if (found === undefined)
      throw new GymError(
        'E_FILE',
        `${folder}: has no ${split === 'test' ? 't10k' : 'train'}-${what}-idx${rank}-ubyte, raw or .gz; put it there.`,
      );
    return join(folder, found);
  };
  const [imagesPath, labelsPath] = [find('images', 3), find('labels', 1)];
  const [images, labels] = await Promise.all([readIdx(imagesPath), readIdx(labelsPath)]);
  if (images.shape.length !== 3 || labels.shape.length !== 1 || images.shape[0] !== labels.shape[0])
    throw new GymError(
      'E_FILE',
      `${imagesPath}: holds [${images.shape.join(', ')}], and ${labelsPath} [${labels.shape.join(', ')}]; they must be [N, height, width] and [N].`,
    );
  return { images, labels: labels.data };
}
