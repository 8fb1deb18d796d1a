import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * The folder of what can be made again but takes time: `DENOISE_GYM_CACHE` where it is set, else `denoise-gym` in the
 * system's folder for that. It may be removed at any time.
 */
export function cacheFolder(): string {
  const { DENOISE_GYM_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  return DENOISE_GYM_CACHE || join(XDG_CACHE_HOME || LOCALAPPDATA || join(homedir(), '.cache'), 'denoise-gym');
}
