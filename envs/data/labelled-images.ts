import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';

/** Which of a data set's two parts: nothing is ever trained on pictures of `test`. */
export type Split = 'train' | 'test';

/** Pictures with their classes, from one domain. */
export interface LabelledImages {
  /** uint8 [N, height, width, 3] */
  readonly images: NdArray<Uint8Array>;
  /** [N], each an index of `classes`. */
  readonly labels: Int32Array;
  /** The names of the classes, in the order of their indices. */
  readonly classes: readonly string[];
  /** Where the pictures come from: `mnist`, `texture`, or the name of a folder. */
  readonly domain: string;
  readonly split: Split;
}

/** The names of ten classes of digits. */
export const digits: readonly string[] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];

/** Some of the pictures, in the order of their indices. */
export function pick(data: LabelledImages, indices: ArrayLike<number>): LabelledImages {
  const { images, labels } = data;
  const [, ...shape] = images.shape;
  const size = shape.reduce((a, b) => a * b, 1);
  const picked = new Uint8Array(indices.length * size);
  for (let i = 0; i < indices.length; i++)
    picked.set(images.data.subarray(indices[i]! * size, (indices[i]! + 1) * size), i * size);
  return {
    ...data,
    images: { data: picked, shape: [indices.length, ...shape] },
    labels: Int32Array.from({ length: indices.length }, (_, i) => labels[indices[i]!]!),
  };
}

/**
 * Looks at what a loader read, or a program handed in.
 * @throws GymError E_SHAPE where pictures and labels do not belong together; E_VALUE on a label without a class.
 */
export function checkLabelledImages(data: LabelledImages): void {
  const { images, labels, classes } = data;
  const where = shownSplit(data);
  if (images.shape.length !== 4 || images.shape[3] !== 3 || !(images.data instanceof Uint8Array))
    throw new GymError(
      'E_SHAPE',
      `${where}: images must be uint8 [N, height, width, 3], actual shape [${images.shape.join(', ')}].`,
    );
  if (images.shape[0] !== labels.length)
    throw new GymError(
      'E_SHAPE',
      `${where}: there are ${images.shape[0]} images and ${labels.length} labels; each image needs one.`,
    );
  const wrong = labels.findIndex((label) => !(label >= 0 && label < classes.length));
  if (wrong >= 0)
    throw new GymError(
      'E_VALUE',
      `${where}: label ${wrong} is ${labels[wrong]}; the ${classes.length} classes have the labels 0 to ${classes.length - 1}.`,
    );
}

/** @throws GymError E_VALUE where a class has no picture. */
export function checkEveryClass(data: LabelledImages): void {
  const { labels, classes } = data;
  const empty = classes.filter((_, c) => !labels.includes(c));
  if (empty.length > 0)
    throw new GymError(
      'E_VALUE',
      `${shownSplit(data)}: no image of class ${empty.join(', ')} among ${labels.length}; take more images, or leave the class out.`,
    );
}

function shownSplit({ domain, split }: LabelledImages): string {
  return `data ${domain} (${split})`;
}
