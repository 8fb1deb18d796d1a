import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describeError } from '../../core/errors.js';
import { completeConfig, type RunConfig } from '../config/index.js';
import { runTraining } from '../run.js';

// The program of a process that does one run of a benchmark. It is sent the configuration, tells how far it is, and ends.

/** What the process tells. */
export type ChildMessage =
  | { readonly kind: 'epoch'; readonly epoch: number; readonly epochs: number; readonly reward: number | undefined }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly message: string };

const abort = new AbortController();
process.on('SIGINT', () => abort.abort()).on('SIGTERM', () => abort.abort());
process.on('disconnect', () => abort.abort());

process.once('message', async (given: RunConfig) => {
  const tell = (message: ChildMessage) => new Promise<void>((done) => process.send!(message, () => done()));
  try {
    const config = await completeConfig(given, 'benchmark');
    await runTraining(config, {
      resume: existsSync(join(config.runs, config.name, 'config.json')),
      signal: abort.signal,
      warn: () => {}, // It stands in the run's log.txt.
      onEvent: (event) => {
        if (event.type === 'epoch')
          void tell({ kind: 'epoch', epoch: event.epoch, epochs: event.epochs, reward: event.metrics['reward/mean'] });
      },
    });
    await tell({ kind: 'done' });
  } catch (error) {
    await tell({ kind: 'failed', message: describeError(error) });
  }
  process.exit();
});
