import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Agent } from '../../agents/agent.js';
import { GymError } from '../../core/errors.js';
import { fileError, writeFileAtomic, writeFolderAtomic } from '../../core/files.js';
import { writeCheckpointFiles } from '../run-folder/checkpoint.js';
import { nonFiniteWeights } from '../run-folder/finite.js';
import type { RunFolder } from '../run-folder/index.js';

const nameOf = (epoch: number) => `epoch-${String(epoch).padStart(6, '0')}`;

/** Agents of single epochs that a callback keeps in a folder of its own beside the checkpoints, each whole or not there. */
export class KeptAgents {
  readonly #name: string;

  /** @param name of the folder in the run's, and of the file that says of each agent why it is kept. */
  constructor(name: string) {
    this.#name = name;
  }

  /** Where the agent of an epoch is kept; its folder `agent` holds it. */
  pathOf(run: string, epoch: number): string {
    return join(run, this.#name, nameOf(epoch));
  }

  /** The epochs of which an agent is kept, oldest first. */
  async epochs(run: string): Promise<number[]> {
    const names = await readdir(join(run, this.#name)).catch(() => []);
    return names.flatMap((name) => Number(/^epoch-(\d+)$/.exec(name)?.[1] ?? [])).sort((a, b) => a - b);
  }

  /**
   * Keeps an agent as it is now.
   * @param why what the file says of it; the epoch is added.
   * @throws GymError E_DIVERGED when its weights are not finite, E_FILE when it cannot be written.
   */
  async write<O, A>(folder: RunFolder, agent: Agent<O, A>, epoch: number, why: object): Promise<void> {
    await writeFolderAtomic(this.pathOf(folder.path, epoch), async (path) => {
      const agentFolder = join(path, 'agent');
      await mkdir(agentFolder);
      await agent.save(agentFolder);
      const broken = await nonFiniteWeights(agentFolder);
      if (broken !== undefined)
        throw new GymError('E_DIVERGED', `the weights are infinite or NaN (agent/${broken}), and are not saved.`);
      await writeFileAtomic(join(path, `${this.#name}.json`), `${JSON.stringify({ ...why, epoch })}\n`);
      // With the digests of a checkpoint, so that what is read later is what was written, by the same configuration and model.
      await writeCheckpointFiles(path, {
        state: { epoch, metricsBytes: folder.metricsBytes, counters: {}, collector: null, callbacks: {} },
        origin: folder.origin,
        metricsDigest: '',
      });
    });
  }

  /**
   * Removes those that nobody will ask for any more: all but the latest one, and the latest one of each checkpoint that the
   * run may yet go on from.
   * @param upTo the epoch of the latest one that counts.
   */
  async tidy(folder: RunFolder, upTo: number): Promise<void> {
    const kept = await this.epochs(folder.path);
    const ends = [...(await folder.checkpoints()), Number.POSITIVE_INFINITY];
    const current = kept.filter((epoch) => epoch <= upTo);
    const wanted = new Set(ends.map((end) => current.filter((epoch) => epoch <= end).at(-1)));
    for (const epoch of kept) {
      if (wanted.has(epoch)) continue;
      const path = this.pathOf(folder.path, epoch);
      await rm(path, { recursive: true, force: true }).catch((error: unknown) => {
        throw fileError('cannot remove', path, error);
      });
    }
  }
}
