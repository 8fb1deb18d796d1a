import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { GymError } from '../../core/errors.js';
import { fileError } from '../../core/files.js';
import type { NdArray } from '../../core/ndarray.js';
import { readIdxFolder, readMaybeGzip } from './idx.js';
import type { LabelledImages, Split } from './labelled-images.js';
import { readMat } from './mat.js';

/** Pictures of digits of any size, grey [N, h, w] or in colour [N, h, w, 3], with their labels. */
export type Digits = Pick<LabelledImages, 'images' | 'labels'>;

async function namesIn(folder: string): Promise<string[]> {
  return await readdir(folder).catch((error: unknown) => {
    throw fileError('cannot read', folder, error);
  });
}

/** Four IDX files, as MNIST has them. */
export async function idxDigits(folder: string, split: Split): Promise<Digits> {
  const { images, labels } = await readIdxFolder(folder, split);
  return { images, labels: Int32Array.from(labels) };
}

/**
 * USPS in one of its common forms: four IDX files, `usps` and `usps.t` (libsvm text, or gzip of it), or `usps.h5`.
 * @throws GymError E_FILE where the folder has none of these, or one is damaged.
 */
export async function uspsDigits(folder: string, split: Split): Promise<Digits> {
  const names = await namesIn(folder);
  if (names.some((name) => /idx3-ubyte/.test(name))) return idxDigits(folder, split);
  if (names.includes('usps.h5')) return readUspsHdf5(join(folder, 'usps.h5'), split);
  const text = names.find((name) => (split === 'train' ? /^usps(\.gz|\.txt)?$/ : /^usps\.t(\.gz|\.txt)?$/).test(name));
  if (text !== undefined) return readLibsvm(join(folder, text));
  const packed = names.find((name) => /^usps(\.t)?\.bz2$/.test(name));
  throw new GymError(
    'E_FILE',
    packed !== undefined
      ? `${join(folder, packed)}: is packed with bzip2, which Node cannot unpack; run \`bunzip2\` on it and on the other one.`
      : `${folder}: has no USPS: neither IDX files, nor usps and usps.t (libsvm text), nor usps.h5; put one of them there.`,
  );
}

/**
 * Reads pictures of 16×16 from libsvm's text: a line each, `label index:value ...`, labels from 1, values −1..1.
 * @throws GymError E_FILE with the line that is wrong.
 */
export async function readLibsvm(path: string): Promise<Digits> {
  const lines = (await readMaybeGzip(path)).toString('utf8').split(/\r?\n/);
  const labels: number[] = [];
  const pictures: Uint8Array[] = [];
  for (const [number, line] of lines.entries()) {
    if (line.trim() === '') continue;
    const wrong = (what: string) => new GymError('E_FILE', `${path}, line ${number + 1}: ${what}.`);
    const [label, ...fields] = line.trim().split(/\s+/);
    const digit = Number(label) - 1;
    if (!(Number.isInteger(digit) && digit >= 0 && digit <= 9))
      throw wrong(`the label must be an integer from 1 to 10, actual value ${label}`);
    const picture = new Uint8Array(256);
    for (const field of fields) {
      const [index, value] = field.split(':').map(Number);
      if (!(Number.isInteger(index) && index! >= 1 && index! <= 256 && value! >= -1 && value! <= 1))
        throw wrong(`\`${field}\` must be an index from 1 to 256, a colon, and a value from -1 to 1`);
      // Truncated, as torchvision does.
      picture[index! - 1] = Math.trunc(((value! + 1) / 2) * 255);
    }
    labels.push(digit);
    pictures.push(picture);
  }
  if (labels.length === 0) throw new GymError('E_FILE', `${path}: is empty; get it again.`);
  const data = new Uint8Array(labels.length * 256);
  for (const [i, picture] of pictures.entries()) data.set(picture, i * 256);
  return { images: { data, shape: [labels.length, 16, 16] }, labels: Int32Array.from(labels) };
}

/** What is used of the optional package h5wasm. */
interface H5 {
  readonly ready: Promise<unknown>;
  readonly File: new (path: string, mode: 'r') => { get(path: string): unknown; close(): unknown };
}

/** Reads `train/data` [N, 256], 0..1, and `train/target` [N] (or `test/`) from an HDF5 file. */
async function readUspsHdf5(path: string, split: Split): Promise<Digits> {
  let library: H5;
  try {
    library = (await import('h5wasm/node')) as unknown as H5;
  } catch (error) {
    throw new GymError(
      'E_FILE',
      `${path}: HDF5 is read by the npm package h5wasm, which is not installed; \`npm install h5wasm@0.10.3\`.`,
      { cause: error },
    );
  }
  await library.ready;
  let file: InstanceType<H5['File']>;
  try {
    file = new library.File(path, 'r');
  } catch (error) {
    throw new GymError('E_FILE', `${path}: is no HDF5 file, or a damaged one; get it again.`, { cause: error });
  }
  try {
    const read = (name: string) => {
      const { value, shape } = (file.get(`${split}/${name}`) ?? {}) as { value?: ArrayLike<number>; shape?: number[] };
      if (value === undefined || shape === undefined)
        throw new GymError(
          'E_FILE',
          `${path}: has no data set ${split}/${name}; this is not the USPS that is known here.`,
        );
      return { value, shape };
    };
    const [data, target] = [read('data'), read('target')];
    const count = target.value.length;
    if (data.value.length !== count * 256)
      throw new GymError(
        'E_FILE',
        `${path}: ${split}/data is [${data.shape.join(', ')}], and there are ${count} labels; it must be [${count}, 256].`,
      );
    const pixels = Uint8Array.from(data.value, (value) => Math.round(Math.min(1, Math.max(0, value)) * 255));
    return { images: { data: pixels, shape: [count, 16, 16] }, labels: Int32Array.from(target.value, Number) };
  } finally {
    file.close();
  }
}

/**
 * SVHN's cropped digits: `train_32x32.mat` or `test_32x32.mat`, X uint8 [32, 32, 3, N] and y [N, 1], where 10 means 0.
 * @throws GymError E_FILE where it is not there, or holds something else.
 */
export async function svhnDigits(folder: string, split: Split): Promise<Digits> {
  return await matDigits(join(folder, `${split}_32x32.mat`));
}

/** The file itself: X uint8 [32, 32, 3, N] and y [N, 1]. @throws GymError E_FILE where it holds something else. */
export async function matDigits(path: string): Promise<Digits> {
  const arrays = await readMat(path);
  const [X, y] = [arrays.get('X'), arrays.get('y')];
  if (
    y === undefined ||
    X?.shape.length !== 4 ||
    X.shape[2] !== 3 ||
    !(X.data instanceof Uint8Array) ||
    y.data.length !== X.shape[3]
  )
    throw new GymError(
      'E_FILE',
      `${path}: must hold X, uint8 [height, width, 3, N], and y, [N, 1]; it has ${[...arrays].map(([name, { shape }]) => `${name} [${shape.join(', ')}]`).join(' and ') || 'no arrays'}.`,
    );
  const [height, width, , count] = X.shape as [number, number, number, number];
  const images: NdArray<Uint8Array> = { data: new Uint8Array(X.data.length), shape: [count, height, width, 3] };
  let to = 0;
  for (let n = 0; n < count; n++)
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++)
        for (let c = 0; c < 3; c++) images.data[to++] = X.data[row + height * (column + width * (c + 3 * n))]!;
  return { images, labels: Int32Array.from(y.data, (label) => label % 10) };
}
