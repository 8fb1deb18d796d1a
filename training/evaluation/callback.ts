import { writeFileAtomic } from '../../core/files.js';
import type { Metrics } from '../../core/types.js';
import type { RunFolder } from '../run-folder/index.js';
import type { Callback, TrainContext } from '../train.js';
import { type EvaluationRecord, evaluateWithPictures, evaluationFiles, type PictureOptions } from './record.js';

/** {@link PictureOptions} and when. Its `random` fixes what is asked: each evaluation starts from it anew. */
export interface EvaluationOptions<O, A> extends Omit<PictureOptions<O, A>, 'signal' | 'onProgress'> {
  /** Also every so many epochs; 0: before and after only. */
  readonly every: number;
}

async function write(
  folder: RunFolder,
  { record, png, webp }: { record: EvaluationRecord; png?: Buffer; webp?: Buffer },
): Promise<void> {
  const files = evaluationFiles(folder.path, record.epoch);
  if (png) await writeFileAtomic(files.png, png);
  if (webp) await writeFileAtomic(files.webp, webp);
  // Last: a reader that finds the numbers finds the pictures.
  await writeFileAtomic(files.json, `${JSON.stringify(record)}\n`);
}

/**
 * Evaluates before the first epoch, after the last, and every so many between, always on the same prompts and noises, and
 * keeps numbers and pictures in the run's folder. Adds `eval/mean`, `eval/std` and `eval/se` to the epoch's metrics.
 */
export function evaluationCallback<O, A>(options: EvaluationOptions<O, A>): Callback<O, A> {
  const run = async ({ agent, epoch, folder, signal, progress }: TrainContext<O, A>): Promise<Metrics> => {
    const result = await evaluateWithPictures(agent, epoch, {
      ...options,
      signal,
      onProgress: (done, total) => progress('evaluating', done, total),
    });
    if (folder) await write(folder, result);
    const { mean, std, se } = result.record;
    return { 'eval/mean': mean, 'eval/std': std, 'eval/se': se };
  };
  return {
    name: 'evaluation',
    start: async (context) => void (await run(context)),
    epoch: async (context) =>
      context.last || (options.every > 0 && context.epoch % options.every === 0) ? await run(context) : undefined,
  };
}
