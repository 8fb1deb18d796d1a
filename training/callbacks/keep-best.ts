import { GymError } from '../../core/errors.js';
import { type Checkpoint, readCheckpoint } from '../run-folder/checkpoint.js';
import type { Callback } from '../train.js';
import { KeptAgents } from './kept-agents.js';
import type { Watched } from './stop.js';

const kept = new KeptAgents('best');

/**
 * Reads the best agent of a run, as {@link keepBest} keeps it, and makes sure that it is whole.
 * @returns its `path`, of which the folder `agent` holds the agent, and its epoch; there is nothing in it to train on from.
 * @throws GymError E_FILE when none is kept, or it is damaged.
 */
export async function readBest(run: string): Promise<Checkpoint> {
  const epoch = (await kept.epochs(run)).at(-1);
  if (epoch === undefined)
    throw new GymError(
      'E_FILE',
      `run ${run}: it keeps no best agent; train with \`keepBest\` (say, --keep-best eval/mean), or take the latest checkpoint.`,
    );
  return await readCheckpoint(kept.pathOf(run, epoch));
}

/**
 * Keeps the agent of the epoch in which a metric was highest, in `best/epoch-NNNNNN` of the run's folder: the agent as a
 * checkpoint has it, and `best.json` with metric, value and epoch. It does not fall to `keepCheckpoints`. Of a tie the earlier
 * epoch is kept. Without a folder, nothing is.
 */
export function keepBest<O, A>({ metric }: Watched = { metric: 'eval/mean' }): Callback<O, A> {
  let best: { readonly value: number; readonly epoch: number } | undefined;
  return {
    name: 'keepBest',
    epoch: async ({ agent, epoch, folder }, metrics) => {
      const value = metrics[metric];
      if (folder === undefined || value === undefined) return undefined;
      if (best === undefined ? !Number.isNaN(value) : value > best.value) {
        await kept.write(folder, agent, epoch, { metric, value });
        best = { value, epoch };
      }
      await kept.tidy(folder, best?.epoch ?? 0);
      return undefined;
    },
    state: () => ({ metric, best: best === undefined ? null : { ...best } }),
    restore: (state) => {
      const saved = state as { metric: string; best: { value: number; epoch: number } | null };
      if (saved.metric === metric) best = saved.best ?? undefined;
    },
  };
}
