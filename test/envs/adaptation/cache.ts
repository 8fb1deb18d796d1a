import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { useBackend } from '../../../backend/index.js';

/**
 * For all tests of a file: a folder that is removed after them, in which drawn pictures and trained networks are cached, so
 * that each test does not make them anew and the user's cache stays as it is; and the backend.
 * @returns the folder, for the tests' own files.
 */
export function withOwnCache(): { readonly folder: string } {
  const made = { folder: '' };
  beforeAll(async () => {
    made.folder = await mkdtemp(join(tmpdir(), 'adaptation-'));
    process.env.DENOISE_GYM_CACHE = join(made.folder, 'cache');
    await useBackend();
  });
  afterAll(async () => {
    delete process.env.DENOISE_GYM_CACHE;
    await rm(made.folder, { recursive: true });
  });
  return made;
}
