import { existsSync, readdirSync } from 'node:fs';
import { GymError } from '../core/errors.js';

/** Refuses to write a model over a folder that holds something. @throws GymError E_FILE unless `overwrite` is true. */
export function refuseToReplace(command: string, out: string, overwrite = false): void {
  if (!overwrite && existsSync(out) && readdirSync(out).length > 0)
    throw new GymError(
      'E_FILE',
      `${command}: ${out} has files in it; name another folder, or write over them by --overwrite.`,
    );
}
