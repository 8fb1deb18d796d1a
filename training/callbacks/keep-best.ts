import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Agent } from '../../agents/agent.js';
import { GymError } from '../../core/errors.js';
import { fileError, writeFileAtomic, writeFolderAtomic } from '../../core/files.js';
import { type Checkpoint, readCheckpoint, writeCheckpointFiles } from '../run-folder/checkpoint.js';
import { nonFiniteWeights } from '../run-folder/finite.js';
import type { RunFolder } from '../run-folder/index.js';
import type { Callback } from '../train.js';
import type { Watched } from './stop.js';

const folderOf = (run: string) => join(run, 'best');
const nameOf = (epoch: number) => `epoch-${String(epoch).padStart(6, '0')}`;

/** The epochs of which an agent is kept as the best, oldest first; the last one is the best of all. */
async function keptEpochs(run: string): Promise<number[]> {
  const names = await readdir(folderOf(run)).catch(() => []);
  return names.flatMap((name) => Number(/^epoch-(\d+)$/.exec(name)?.[1] ?? [])).sort((a, b) => a - b);
}

/**
 * Reads the best agent of a run, as {@link keepBest} keeps it, and makes sure that it is whole.
 * @returns its `path`, of which the folder `agent` holds the agent, and its epoch; there is nothing in it to train on from.
 * @throws GymError E_FILE when none is kept, or it is damaged.
 */
export async function readBest(run: string): Promise<Checkpoint> {
  const epoch = (await keptEpochs(run)).at(-1);
  if (epoch === undefined)
    throw new GymError(
      'E_FILE',
      `run ${run}: it keeps no best agent; train with \`keepBest\` (say, --keep-best eval/mean), or take the latest checkpoint.`,
    );
  return await readCheckpoint(join(folderOf(run), nameOf(epoch)));
}

async function write<O, A>(folder: RunFolder, agent: Agent<O, A>, epoch: number, metric: string, value: number) {
  await writeFolderAtomic(join(folderOf(folder.path), nameOf(epoch)), async (path) => {
    const agentFolder = join(path, 'agent');
    await mkdir(agentFolder);
    await agent.save(agentFolder);
    const broken = await nonFiniteWeights(agentFolder);
    if (broken !== undefined)
      throw new GymError('E_DIVERGED', `the weights are infinite or NaN (agent/${broken}), and are not saved.`);
    await writeFileAtomic(join(path, 'best.json'), `${JSON.stringify({ metric, value, epoch })}\n`);
    // With the digests of a checkpoint, so that what is read later is what was written, by the same configuration and model.
    await writeCheckpointFiles(path, {
      state: { epoch, metricsBytes: folder.metricsBytes, counters: {}, collector: null, callbacks: {} },
      origin: folder.origin,
      metricsDigest: '',
    });
  });
}

/**
 * Keeps the agent of the epoch in which a metric was highest, in `best/epoch-NNNNNN` of the run's folder: the agent as a
 * checkpoint has it, and `best.json` with metric, value and epoch. It does not fall to `keepCheckpoints`. Of a tie the earlier
 * epoch is kept. Without a folder, nothing is.
 */
export function keepBest<O, A>({ metric }: Watched = { metric: 'eval/mean' }): Callback<O, A> {
  let best: { readonly value: number; readonly epoch: number } | undefined;
  /** Removes what is best no more, but for what a checkpoint knows as the best that a run may yet go on from. */
  const tidy = async (folder: RunFolder) => {
    const kept = await keptEpochs(folder.path);
    const ends = [...(await folder.checkpoints()), Number.POSITIVE_INFINITY];
    const current = kept.filter((epoch) => epoch <= (best?.epoch ?? 0));
    const wanted = new Set(ends.map((end) => current.filter((epoch) => epoch <= end).at(-1)));
    for (const epoch of kept) {
      if (wanted.has(epoch)) continue;
      const path = join(folderOf(folder.path), nameOf(epoch));
      await rm(path, { recursive: true, force: true }).catch((error: unknown) => {
        throw fileError('cannot remove', path, error);
      });
    }
  };
  return {
    name: 'keepBest',
    epoch: async ({ agent, epoch, folder }, metrics) => {
      const value = metrics[metric];
      if (folder === undefined || value === undefined) return undefined;
      if (best === undefined ? !Number.isNaN(value) : value > best.value) {
        await write(folder, agent, epoch, metric, value);
        best = { value, epoch };
      }
      await tidy(folder);
      return undefined;
    },
    state: () => ({ metric, best: best === undefined ? null : { ...best } }),
    restore: (state) => {
      const saved = state as { metric: string; best: { value: number; epoch: number } | null };
      if (saved.metric === metric) best = saved.best ?? undefined;
    },
  };
}
