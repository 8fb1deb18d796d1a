import { readdir, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, dirname, extname, join } from 'node:path';
import sharp from 'sharp';
import { GymError, messageOf } from '../../core/errors.js';
import { fileError, readText } from '../../core/files.js';
import { Random } from '../../core/random.js';
import { cachedImages } from './cache.js';
import type { LabelledImages, Split } from './labelled-images.js';

/** A picture that is not read yet. */
interface Listed {
  readonly path: string;
  readonly label: number;
  /** Where it is named, for errors. */
  readonly where: string;
}

interface Listing {
  readonly files: readonly Listed[];
  readonly classes: readonly string[];
  /** Whether these are the pictures of one split; otherwise they are split here. */
  readonly isSplit: boolean;
}

export interface PictureOptions {
  readonly split: Split;
  readonly count?: number | undefined;
  readonly seed: number;
  /** What relative paths of a list start from. Default: the list's own folder. */
  readonly folder?: string | undefined;
  /** Height and width to which pictures are brought, in pixels. */
  readonly size: number;
  /**
   * How pictures that are not split already are: four in five for training by chance, the same for every seed, or, in the
   * order of their paths, the first eight of every ten. Default: chance.
   */
  readonly splitBy?: 'chance' | 'place';
}

const pictureName = /\.(png|jpe?g|webp|gif|tiff?|avif|bmp)$/i;
/** Names of folders that hold one split. */
const splitFolders: Readonly<Record<Split, readonly string[]>> = {
  train: ['train'],
  test: ['test', 'val', 'validation'],
};
/** Byte-wise, as Python sorts names of ASCII. */
const byBytes = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

/**
 * Pictures of a folder with a folder for each class (in `train/` and `test/`, or all in one), or of a list of them, a line
 * `path label` each. Where the data are not split, four in five are `train`, the same for every seed. They are decoded in
 * parallel, brought to one size and kept in the cache.
 * @throws GymError E_FILE on what is missing or no picture, with the line of the list.
 */
export async function pictureFiles(place: string, options: PictureOptions): Promise<LabelledImages> {
  const { split, count, seed, size, splitBy = 'chance' } = options;
  const { files, classes, isSplit } = isList(place)
    ? await ofList(place, options.folder)
    : await ofFolder(place, split);
  const own = isSplit ? files : splitBy === 'place' ? splitByPlace(files, split) : splitOf(files, split);
  const order = new Random(seed).child(`${basename(place)}/${split}`).permutation(own.length);
  const chosen = Array.from(order.subarray(0, count), (i) => own[i]!);
  if (chosen.length === 0)
    throw new GymError('E_FILE', `${place}: has no pictures of the split ${split}; put some there.`);
  const stats = await inParallel(chosen, async ({ path, where }) => {
    const { mtimeMs, size } = await stat(path).catch((error: unknown) => {
      throw new GymError('E_FILE', `${where}: cannot read ${path}: ${messageOf(error)}; check the path.`, {
        cause: error,
      });
    });
    return [path, mtimeMs, size];
  });
  const labels = Int32Array.from(chosen, ({ label }) => label);
  return await cachedImages(
    [1, 'files', size, stats, [...labels]],
    { classes, domain: basename(place, '.txt'), split },
    async () => {
      const data = new Uint8Array(chosen.length * size * size * 3);
      await inParallel(chosen, async ({ path, where }, i) => {
        try {
          const picture = sharp(path).toColourspace('srgb').flatten().resize(size, size, { fit: 'fill' });
          data.set(await picture.raw().toBuffer(), i * size * size * 3);
        } catch (error) {
          throw new GymError('E_FILE', `${where}: cannot read the picture ${path}: ${messageOf(error)}.`, {
            cause: error,
          });
        }
      });
      return { images: { data, shape: [chosen.length, size, size, 3] }, labels };
    },
  );
}

/** The paths of all files that {@link pictureFiles} reads of a place, the list among them. @throws GymError E_FILE. */
export async function picturePaths(place: string, folder?: string): Promise<string[]> {
  const listings = isList(place)
    ? [await ofList(place, folder)]
    : await Promise.all([ofFolder(place, 'train'), ofFolder(place, 'test')]);
  const paths = listings.flatMap(({ files }) => files.map(({ path }) => path));
  return [...new Set(isList(place) ? [place, ...paths] : paths)];
}

const isList = (place: string) => extname(place).toLowerCase() === '.txt';

function splitOf(files: readonly Listed[], split: Split): readonly Listed[] {
  const order = new Random('split').permutation(files.length);
  const first = Math.floor(0.8 * files.length);
  return Array.from(split === 'train' ? order.subarray(0, first) : order.subarray(first), (i) => files[i]!);
}

function splitByPlace(files: readonly Listed[], split: Split): readonly Listed[] {
  return files.filter((_, i) => i % 10 <= 7 === (split === 'train'));
}

async function ofFolder(place: string, split: Split): Promise<Listing> {
  const foldersIn = async (folder: string) =>
    (
      await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
        throw fileError('cannot read', folder, error);
      })
    )
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
      .sort(byBytes);
  const top = await foldersIn(place);
  const own = splitFolders[split].find((name) => top.includes(name));
  const isSplit = top.includes('train') && own !== undefined;
  const root = isSplit ? join(place, own) : place;
  const classes = isSplit ? await foldersIn(root) : top;
  if (classes.length < 2)
    throw new GymError('E_FILE', `${root}: has ${classes.length} folders; there must be one for each class.`);
  const files: Listed[] = [];
  for (const [label, name] of classes.entries())
    for (const file of (await readdir(join(root, name))).filter((file) => pictureName.test(file)).sort(byBytes))
      files.push({ path: join(root, name, file), label, where: root });
  return { files, classes, isSplit };
}

/**
 * A list, a line `path label` each; the label is what stands after the last white space. Labels count from 0, or from 1
 * where no line has a 0. A class is named after the folder of its pictures, where that is one.
 */
async function ofList(place: string, folder = dirname(place)): Promise<Listing> {
  const lines = (await readText(place)).split(/\r?\n/);
  const entries = lines.flatMap((line, i): Listed[] => {
    if (line.trim() === '') return [];
    const where = `${place}, line ${i + 1}`;
    const [, path, label] = /^(.*\S)\s+(\d+)\s*$/.exec(line) ?? [];
    if (path === undefined)
      throw new GymError(
        'E_FILE',
        `${where}: must be a path and a label, actual value ${JSON.stringify(line.slice(0, 200))}.`,
      );
    return [{ path: path.startsWith('/') ? path : join(folder, path), label: Number(label), where }];
  });
  const lowest = entries.some(({ label }) => label === 0) ? 0 : 1;
  const files = entries.map((entry) => ({ ...entry, label: entry.label - lowest }));
  const classes = Array.from({ length: 1 + files.reduce((most, { label }) => Math.max(most, label), -1) }, (_, c) => {
    const names = new Set(files.filter(({ label }) => label === c).map(({ path }) => basename(dirname(path))));
    return names.size === 1 ? [...names][0]! : String(c);
  });
  return { files, classes, isSplit: false };
}

/** Does work on each item, on a few at the same time. Results are in the order of the items. */
async function inParallel<T, R>(items: readonly T[], work: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(items.length);
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < items.length; i = next++) results[i] = await work(items[i]!, i);
  };
  await Promise.all(Array.from({ length: 2 * availableParallelism() }, worker));
  return results;
}
