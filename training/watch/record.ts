import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { readJson } from '../../core/files.js';
import { checkedFile } from '../../core/schema.js';

/** What a watch has seen, in `watch/epoch-NNNNNN.json`; the PNG of that name has the pictures. Reward and guard are means. */
export interface WatchRecord {
  readonly epoch: number;
  /** The run's reward, with actions drawn as in training (η as in training). */
  readonly reward: number;
  /** The run's reward with the policy's mode (η = 0), from the same noises. */
  readonly rewardDeterministic: number;
  /** The reward that is not trained on, where there is one. */
  readonly guard?: number | undefined;
  /** The standard deviation of its scores. */
  readonly guardStd?: number | undefined;
  readonly guardDeterministic?: number | undefined;
  readonly brightness: number;
  readonly saturation: number;
  readonly highFrequency: number;
  readonly diversity: number;
  readonly blank: number;
  /** How far two pictures of one prompt are apart by the features of a vision network, where there is one: 0 (alike) to 1. */
  readonly featureDiversity?: number | undefined;
  /** How far the mean features are from those before the first epoch, 0 to 1. */
  readonly featureDrift?: number | undefined;
  /** KL of whole chains to the policy as the run found it, where the policy can tell: the sum over steps, mean over a latent's dimensions. */
  readonly kl?: number | undefined;
}

const number = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);

const schema = z.object({
  epoch: z.int().min(0),
  reward: number,
  rewardDeterministic: number,
  guard: number.optional(),
  guardStd: number.optional(),
  guardDeterministic: number.optional(),
  brightness: number,
  saturation: number,
  highFrequency: number,
  diversity: number,
  blank: number,
  featureDiversity: number.optional(),
  featureDrift: number.optional(),
  kl: number.optional(),
});

/** Files of what a watch has seen, in a run's folder. */
export function watchFiles(folder: string, epoch: number): { json: string; png: string } {
  const name = `epoch-${String(epoch).padStart(6, '0')}`;
  return { json: join(folder, 'watch', `${name}.json`), png: join(folder, 'watch', `${name}.png`) };
}

/**
 * What the watch of a run has seen, oldest first.
 * @throws GymError E_FILE that names the one that is damaged.
 */
export async function readWatch(folder: string): Promise<WatchRecord[]> {
  const names = await readdir(join(folder, 'watch')).catch(() => []);
  const records: WatchRecord[] = [];
  for (const name of names.sort()) {
    if (!/^epoch-\d+\.json$/.test(name)) continue;
    const path = join(folder, 'watch', name);
    records.push(checkedFile(schema, await readJson(path), path));
  }
  return records;
}
