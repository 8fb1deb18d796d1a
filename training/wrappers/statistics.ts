import { join } from 'node:path';
import * as z from 'zod';
import type { Agent } from '../../agents/agent.js';
import { GymError, messageOf } from '../../core/errors.js';
import { readJson, writeFileAtomic } from '../../core/files.js';
import { checkedFile } from '../../core/schema.js';
import type { NamedNormalization } from './stack.js';

/** The file in an agent's folder that holds the statistics by which its observations and rewards were normalised. */
export const statisticsFile = 'normalization.json';

const schema = z.strictObject({
  normalizations: z.array(
    z.strictObject({
      wrapper: z.string(),
      mean: z.array(z.number()),
      variance: z.array(z.number().min(0)),
      count: z.number().positive(),
    }),
  ),
});

/** The statistics of each normalisation of a run, in the order of its wrappers. */
export type SavedStatistics = z.output<typeof schema>['normalizations'];

/** The present statistics of normalisations that were put around an environment. */
export function statisticsOf(normalizations: Iterable<NamedNormalization>): SavedStatistics {
  return [...normalizations].map(({ name, normalization }) => ({
    wrapper: name,
    ...normalization.statistics!.state(),
  }));
}

/** Writes statistics into a folder. @throws GymError E_VALUE where they are not finite. */
export async function writeStatistics(folder: string, normalizations: SavedStatistics): Promise<void> {
  for (const { wrapper, mean, variance } of normalizations)
    if (![...mean, ...variance].every(Number.isFinite))
      throw new GymError(
        'E_VALUE',
        `${wrapper}: the statistics are infinite or NaN, because the environment gave such numbers; look for them there.`,
      );
  const text = JSON.stringify({ normalizations } satisfies z.input<typeof schema>, null, 1);
  await writeFileAtomic(join(folder, statisticsFile), `${text}\n`);
}

/** Reads what {@link writeStatistics} wrote. @throws GymError E_FILE, E_STATE where the file is missing or broken. */
export async function readStatistics(folder: string): Promise<SavedStatistics> {
  const file = join(folder, statisticsFile);
  return checkedFile(schema, await readJson(file), file).normalizations;
}

/**
 * An agent in whose folder the statistics of normalisations are saved and restored beside it: they belong to what it has
 * learned, since its networks have seen normalised numbers only. As for the rest of an agent, what is saved are the
 * statistics as the last `learn` left them, without those of a rollout that was stopped half-way.
 * @param normalizations those of the training, after they were put around its environment.
 */
export function withStatistics<O, A>(agent: Agent<O, A>, normalizations: readonly NamedNormalization[]): Agent<O, A> {
  const present = () => statisticsOf(normalizations);
  let learned = present();
  return {
    get collect() {
      return agent.collect;
    },
    get lanes() {
      return agent.lanes ?? 1;
    },
    act: (observations, options) => agent.act(observations, options),
    learn: async (rollout, options) => {
      const metrics = await agent.learn(rollout, options);
      learned = present();
      return metrics;
    },
    needsRollout: () => agent.needsRollout?.() ?? true,
    setProgress: (progress) => agent.setProgress?.(progress),
    save: async (folder) => {
      await agent.save(folder);
      await writeStatistics(folder, learned);
    },
    restore: async (folder) => {
      const file = join(folder, statisticsFile);
      const saved = await readStatistics(folder);
      const names = (list: readonly string[]) => list.join(', ') || 'none';
      const [there, here] = [saved.map(({ wrapper }) => wrapper), normalizations.map(({ name }) => name)];
      if (names(there) !== names(here))
        throw new GymError(
          'E_STATE',
          `${file}: it holds the statistics of ${names(there)}, and the run has ${names(here)}; use the wrappers that it was made with.`,
        );
      await agent.restore(folder);
      for (const [i, { name, normalization }] of normalizations.entries()) {
        const { wrapper: _, ...state } = saved[i]!;
        try {
          normalization.statistics!.restore(name, state);
        } catch (error) {
          throw new GymError('E_STATE', `${file}: ${messageOf(error)}`, { cause: error });
        }
      }
      learned = present();
    },
    dispose: () => agent.dispose(),
  };
}
