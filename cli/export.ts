import { existsSync, readdirSync } from 'node:fs';
import type { BackendName } from '../backend/index.js';
import { GymError } from '../core/errors.js';
import { compose } from '../training/families/index.js';
import { latestCheckpoint } from '../training/sample.js';
import { startBackend } from './backend.js';

export async function exportCommand(
  run: string,
  out: string,
  options: { backend?: BackendName; overwrite?: boolean },
): Promise<void> {
  if (!options.overwrite && existsSync(out) && readdirSync(out).length > 0)
    throw new GymError(
      'E_FILE',
      `export: ${out} has files in it; name another folder, or write over them by --overwrite.`,
    );
  const { path, config } = await latestCheckpoint(run);
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
