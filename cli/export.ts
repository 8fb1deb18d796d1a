import type { BackendName } from '../backend/index.js';
import { GymError } from '../core/errors.js';
import { compose } from '../training/families/index.js';
import { openCheckpoint } from '../training/trained.js';
import { announceLine, startBackend } from './backend.js';
import { refuseToReplace } from './overwrite.js';

export async function exportCommand(
  run: string,
  out: string,
  options: { backend?: BackendName; overwrite?: boolean; fromCheckpoint?: number; trust?: boolean },
): Promise<void> {
  const { overwrite, fromCheckpoint: from, trust } = options;
  refuseToReplace('export', out, overwrite);
  const { path, config } = await openCheckpoint(run, { from, trust, warn: announceLine });
  await startBackend(options.backend);
  const parts = await compose(config);
  try {
    if (!parts.saveModel) throw new GymError('E_CONFIG', `export ${run}: ${config.env} trains no diffusion model.`);
    await parts.agent.restore(path);
    await parts.saveModel(out);
    process.stdout.write(`${out}\n`);
  } finally {
    await parts.close();
  }
}
