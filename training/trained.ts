import { join } from 'node:path';
import { GymError } from '../core/errors.js';
import { readBest } from './callbacks/index.js';
import { checkConfig, checkInputs, inputDigests } from './changes.js';
import type { RunConfig } from './config/index.js';
import { RunFolder } from './run-folder/index.js';
import { readRunRecord } from './run-record.js';
import type { TrustOptions } from './trust.js';

/** What a run has learned so far. */
export interface TrainedAgent {
  /** The agent's folder in the checkpoint, for {@link Agent.restore}. */
  readonly path: string;
  readonly epoch: number;
  /** What the run was started with. */
  readonly config: RunConfig;
}

export interface OpenCheckpointOptions extends TrustOptions {
  /** The epoch of the checkpoint; default: the latest. */
  readonly from?: number | undefined;
  /** True: not a checkpoint, but the best agent that the run keeps (`keepBest`). */
  readonly best?: boolean | undefined;
  /** False: prompts come from elsewhere, and those of the run need not be there. Default true. */
  readonly prompts?: boolean | undefined;
}

/**
 * Finds a checkpoint of a run, and makes sure that it is whole and that the run's configuration and model are those that it
 * was made with.
 * @throws GymError E_FILE when there is no run, it has no such checkpoint or keeps no best agent, or one that is damaged; E_CONFIG when both `best` and `from` are given; E_CONFIG or E_FILE when
 *   configuration or model are others; E_TRUST when somebody else's run names code.
 */
export async function openCheckpoint(run: string, options: OpenCheckpointOptions = {}): Promise<TrainedAgent> {
  if (options.best && options.from !== undefined)
    throw new GymError(
      'E_CONFIG',
      `run ${run}: both the best agent that it keeps and checkpoint ${options.from} are asked for; leave out --best or --from-checkpoint.`,
    );
  const folder = RunFolder.open(run);
  const checkpoint = options.best ? await readBest(run) : await folder.readCheckpoint(options.from);
  if (checkpoint === undefined)
    throw new GymError('E_FILE', `run ${run}: it has no checkpoint yet; let it finish an epoch first.`);
  const { config } = await readRunRecord(folder, options);
  checkConfig(run, checkpoint, config);
  const isWanted = (name: string) => options.prompts !== false || !name.startsWith('prompts.');
  checkInputs(run, checkpoint, await inputDigests(config, isWanted), isWanted);
  return { path: join(checkpoint.path, 'agent'), epoch: checkpoint.state.epoch, config };
}
