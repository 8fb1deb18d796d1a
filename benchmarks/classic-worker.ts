import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../core/errors.js';
import { parseConfig, type RunConfigInput, readEvaluations, runTraining } from '../training/index.js';

// A process that trains one configuration after the other, as it is sent them, and tells what each came to.

/** What the process answers. */
export interface Trained {
  /** Mean reward of the trained policy's fixed evaluation episodes. */
  readonly mean?: number;
  readonly envSteps?: number;
  readonly seconds?: number;
  readonly failure?: string;
}

process.on('message', async (input: RunConfigInput) => {
  const runs = await mkdtemp(join(tmpdir(), 'classic-'));
  try {
    const config = parseConfig({ ...input, runs });
    const started = performance.now();
    let envSteps = 0;
    const { folder } = await runTraining(config, {
      warn: () => {},
      onEvent: (event) => {
        if (event.type === 'epoch') envSteps = event.metrics.envSteps as number;
      },
    });
    const mean = config.evaluation.samples > 0 ? (await readEvaluations(folder.path)).at(-1)!.mean : undefined;
    process.send!({
      ...(mean !== undefined && { mean }),
      envSteps,
      seconds: (performance.now() - started) / 1000,
    } satisfies Trained);
  } catch (error) {
    process.send!({ failure: messageOf(error) } satisfies Trained);
  } finally {
    await rm(runs, { recursive: true, force: true });
  }
});
