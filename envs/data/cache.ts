import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { cacheFolder } from '../../core/cache-folder.js';
import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import { readSafetensors, writeSafetensors } from '../../core/safetensors.js';
import type { LabelledImages } from './labelled-images.js';

/**
 * Arrays by name from the cache, or made and written there.
 * @param kind the folder within the cache, and what it holds: `images`, `networks`.
 * @param key everything that the arrays follow from, the version of the code that makes them included. JSON.
 */
export async function cached(
  kind: string,
  key: unknown,
  make: () => Promise<ReadonlyMap<string, NdArray>>,
): Promise<ReadonlyMap<string, NdArray>> {
  const name = createHash('sha256').update(JSON.stringify(key)).digest('hex').slice(0, 32);
  const path = join(cacheFolder(), kind, `${name}.safetensors`);
  // What is not there, or cannot be read, is made again.
  const found = await readSafetensors(path).catch(() => undefined);
  if (found) return found;
  const made = await make();
  // Whole under its name or not at all, so that several processes may write it. A full or read-only disk costs time alone.
  await writeSafetensors(path, made).catch((error: unknown) => {
    if (!GymError.is(error)) throw error;
  });
  return made;
}

/** {@link cached} for pictures whose classes, domain and split are known before. */
export async function cachedImages(
  key: unknown,
  { classes, domain, split }: Pick<LabelledImages, 'classes' | 'domain' | 'split'>,
  make: () => Promise<Pick<LabelledImages, 'images' | 'labels'>>,
): Promise<LabelledImages> {
  const arrays = await cached('images', key, async () => {
    const { images, labels } = await make();
    return new Map<string, NdArray>([
      ['images', images],
      ['labels', { data: labels, shape: [labels.length] }],
    ]);
  });
  const images = arrays.get('images') as NdArray<Uint8Array>;
  return { images, labels: arrays.get('labels')!.data as Int32Array, classes, domain, split };
}
