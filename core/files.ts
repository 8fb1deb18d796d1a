import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { GymError, messageOf } from './errors.js';

function temporary(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`);
}

function fileError(what: string, path: string, error: unknown): GymError {
  const code = (error as NodeJS.ErrnoException).code;
  const todo =
    code === 'ENOSPC'
      ? 'the disk is full: free some space and run again'
      : code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
        ? 'this folder may not be written: choose another one'
        : code === 'ENOENT'
          ? 'it does not exist: check the path'
          : 'check the path and the disk';
  return new GymError('E_FILE', `${what} ${path}: ${messageOf(error)}; ${todo}.`, { cause: error });
}

/**
 * Writes a file so that it is there whole or not at all: under a temporary name in the same folder, synced, then renamed.
 * @throws GymError E_FILE (disk full, no permission, ...); an older file of that name is then still there.
 */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  const temp = temporary(path);
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(temp, 'w');
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temp, path);
  } catch (error) {
    await rm(temp, { force: true }).catch(() => {}); // what matters is the first error
    throw fileError('cannot write', path, error);
  }
}

/**
 * Writes a folder so that it is there whole or not at all. `fill` writes into a temporary folder beside it, which then
 * takes the name; a folder that had the name is moved away first and removed last.
 */
export async function writeFolderAtomic(path: string, fill: (folder: string) => Promise<void>): Promise<void> {
  const temp = temporary(path);
  const old = temporary(`${path}.old`);
  try {
    await mkdir(temp, { recursive: true });
    await fill(temp);
    let replaced = false;
    try {
      await rename(path, old);
      replaced = true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    await rename(temp, path);
    if (replaced) await rm(old, { recursive: true, force: true });
  } catch (error) {
    await rm(temp, { recursive: true, force: true }).catch(() => {});
    if (GymError.is(error)) throw error;
    throw fileError('cannot write folder', path, error);
  }
}

/** Removes a file where there is one, with an error that names it. */
export async function removeFile(path: string): Promise<void> {
  try {
    await rm(path, { force: true });
  } catch (error) {
    throw fileError('cannot remove', path, error);
  }
}

/** Reads a text file, with an error that names it. */
export async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw fileError('cannot read', path, error);
  }
}

/** Reads a JSON file, with an error that names it and the place. */
export async function readJson(path: string): Promise<unknown> {
  const text = await readText(path);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new GymError(
      'E_FILE',
      `${path}: not valid JSON (${messageOf(error)}); it may be truncated: restore it from its source.`,
      {
        cause: error,
      },
    );
  }
}
