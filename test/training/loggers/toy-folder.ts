import { RunFolder } from '../../../training/run-folder/index.js';
import { type Callback, type TrainEvent, train } from '../../../training/train.js';
import { SavedWalk, ToyAgent } from '../toys.js';

export interface ToyRun {
  readonly path: string;
  readonly epochs: number;
  /** The epoch of the checkpoint to go on from; default: a new run. */
  readonly from?: number;
  readonly checkpointEvery?: number;
  readonly keepCheckpoints?: number;
  readonly callbacks?: () => readonly Callback<number, number>[];
  /** What listens, made when the folder is there. */
  readonly listen?: (folder: RunFolder) => (event: TrainEvent) => unknown;
}

/** Walks, whose metrics differ from epoch to epoch and in their names: some epochs have no episode that ended. */
export async function toyRun(run: ToyRun): Promise<TrainEvent[]> {
  const { path, epochs, from, checkpointEvery = 1, keepCheckpoints = 1000, callbacks, listen } = run;
  const opened =
    from === undefined ? { folder: await RunFolder.create(path, {}) } : await RunFolder.resume(path, { from });
  const listener = listen?.(opened.folder);
  const events: TrainEvent[] = [];
  for await (const event of train<number, number>({
    agent: new ToyAgent({ steps: 3 }, 5),
    envs: [new SavedWalk()],
    epochs,
    seed: 3,
    folder: opened.folder,
    checkpoint: 'checkpoint' in opened ? opened.checkpoint : undefined,
    checkpointEvery,
    keepCheckpoints,
    callbacks: callbacks?.() ?? [],
  })) {
    events.push(event);
    await listener?.(event);
  }
  return events;
}
