import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { GymError, messageOf } from './errors.js';
import { parseJson, parsePythonJson } from './json.js';
import { isRunning } from './process.js';

/** Names that this process has given and not yet taken back. */
const inUse = new Set<string>();

/**
 * A name beside a path that nobody else uses.
 * @param kind `tmp` for what is not complete yet, `old` for what has just lost its name.
 */
function temporary(path: string, kind: 'tmp' | 'old' = 'tmp'): string {
  const name = `.${basename(path)}.${process.pid}.${randomBytes(4).toString('hex')}.${kind}`;
  inUse.add(name);
  return join(dirname(path), name);
}

function takeBack(...paths: string[]): void {
  for (const path of paths) inUse.delete(basename(path));
}

/** What processes that are gone have left in a folder: names, and the names that they stand for. */
function leftovers(folder: string): { readonly name: string; readonly of: string; readonly kind: string }[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    // What is not there, or cannot be listed, was not written to either.
    return [];
  }
  return names.flatMap((name) => {
    const [, of, pid, kind] = /^\.(.+)\.(\d+)\.[\da-f]{8}\.(tmp|old)$/.exec(name) ?? [];
    // A process of a container is often given the number that the one before it had.
    const used = Number(pid) === process.pid ? inUse.has(name) : isRunning(Number(pid));
    return of === undefined || kind === undefined || used ? [] : [{ name, of, kind }];
  });
}

/**
 * Removes what processes that were killed while they wrote left in a folder.
 * @throws GymError E_FILE when that cannot be done: a read-only disk, no permission.
 */
export function removeLeftovers(folder: string): void {
  for (const { name } of leftovers(folder)) discard(join(folder, name));
}

function discard(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch (error) {
    throw fileError('cannot remove', path, error);
  }
}

/**
 * Mends what {@link writeFolderAtomic} leaves where its process is killed: a folder that has lost its name gets it back,
 * and what was not complete is removed. Whoever reads or writes such a folder calls this first.
 * @throws GymError E_FILE when that cannot be done: a read-only disk, no permission.
 */
export function recoverFolder(path: string): void {
  const folder = dirname(path);
  for (const { name, of, kind } of leftovers(folder)) {
    if (of !== basename(path)) continue;
    if (kind !== 'old' || existsSync(path)) {
      discard(join(folder, name));
      continue;
    }
    try {
      renameSync(join(folder, name), path);
    } catch (error) {
      throw fileError('cannot recover', path, error);
    }
  }
}

/** The error of a file operation that failed, with what to do about it. @param what `cannot write`, `cannot lock`. */
export function fileError(what: string, path: string, error: unknown): GymError {
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
 * @param data the contents, or their pieces one after the other, so that a large file need not be in memory as a whole.
 * @throws GymError E_FILE (disk full, no permission, ...); an older file of that name is then still there.
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array | AsyncIterable<Uint8Array>,
): Promise<void> {
  const temp = temporary(path);
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(temp, 'w');
    try {
      // The handle's own method takes iterables too, but is not declared to.
      await writeFile(file, data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temp, path);
  } catch (error) {
    await rm(temp, { force: true }).catch(() => {}); // what matters is the first error
    throw fileError('cannot write', path, error);
  } finally {
    takeBack(temp);
  }
}

/**
 * Writes a folder so that it is there whole or not at all. `fill` writes into a temporary folder beside it, which then
 * takes the name; a folder that had the name is moved away first and removed last. A process that is killed between these
 * two leaves the name to nobody, which {@link recoverFolder} mends.
 * @param options.replace false: a folder of that name that has files in it is an error, and stays as it is. Default true.
 * @throws GymError E_FILE.
 */
export async function writeFolderAtomic(
  path: string,
  fill: (folder: string) => Promise<void>,
  { replace = true }: { readonly replace?: boolean } = {},
): Promise<void> {
  const temp = temporary(path);
  const old = temporary(path, 'old');
  let replaced = false;
  try {
    await mkdir(temp, { recursive: true });
    await fill(temp);
    if (replace)
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
    if (replaced && !existsSync(path)) await rename(old, path).catch(() => {});
    if (GymError.is(error)) throw error;
    throw fileError('cannot write folder', path, error);
  } finally {
    takeBack(temp, old);
  }
}

/**
 * Gives a folder beside a path to write into, which is removed at the end.
 * @throws what `use` throws, or GymError E_FILE.
 */
export async function useTemporaryFolder<T>(path: string, use: (folder: string) => Promise<T>): Promise<T> {
  const folder = temporary(path);
  try {
    await mkdir(folder, { recursive: true });
    return await use(folder);
  } catch (error) {
    if (GymError.is(error)) throw error;
    throw fileError('cannot write folder', folder, error);
  } finally {
    await rm(folder, { recursive: true, force: true }).catch(() => {});
    takeBack(folder);
  }
}

/**
 * Removes a folder so that it is there whole or not at all: it loses its name first.
 * @throws GymError E_FILE when it cannot be removed.
 */
export async function removeFolderAtomic(path: string): Promise<void> {
  const doomed = temporary(path);
  try {
    await rename(path, doomed);
    await rm(doomed, { recursive: true, force: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw fileError('cannot remove', path, error);
  } finally {
    takeBack(doomed);
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

/** Reads a file, with an error that names it. */
export async function readBytes(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw fileError('cannot read', path, error);
  }
}

/** Reads a JSON file. @throws GymError E_FILE as {@link readText} and {@link parseJson}. */
export async function readJson(path: string): Promise<unknown> {
  return parseJson(await readText(path), path);
}

/** Reads a JSON file that Python wrote. @throws GymError E_FILE as {@link readText} and {@link parsePythonJson}. */
export async function readPythonJson(path: string): Promise<unknown> {
  return parsePythonJson(await readText(path), path);
}
