import { createHash } from 'node:crypto';
import { createReadStream, type Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileError } from '../../core/files.js';

/** SHA-256 of files, by their path below a folder, with `/` between its parts. */
export type Digests = Readonly<Record<string, string>>;

/** SHA-256 of a text or of bytes, as hexadecimal digits. */
export function digestOf(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** SHA-256 of a file, read in pieces. @throws GymError E_FILE. */
export async function digestFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  } catch (error) {
    throw fileError('cannot read', path, error);
  }
  return hash.digest('hex');
}

/** The paths of all files below a folder, sorted. @throws GymError E_FILE. */
export async function filesBelow(folder: string): Promise<string[]> {
  const found: string[] = [];
  const visit = async (below: string): Promise<void> => {
    let entries: Dirent[];
    try {
      entries = await readdir(join(folder, below), { withFileTypes: true });
    } catch (error) {
      throw fileError('cannot read', join(folder, below), error);
    }
    for (const entry of entries) {
      const path = below === '' ? entry.name : `${below}/${entry.name}`;
      if (entry.isDirectory()) await visit(path);
      else found.push(path);
    }
  };
  await visit('');
  return found.sort();
}

/** The digests of files below a folder. @param files which; default: all. @throws GymError E_FILE. */
export async function digestFolder(folder: string, files?: readonly string[]): Promise<Digests> {
  const digests: [string, string][] = [];
  for (const file of files ?? (await filesBelow(folder))) digests.push([file, await digestFile(join(folder, file))]);
  return Object.fromEntries(digests);
}

/** What differs between two lists of digests, a phrase for each file. */
export function differingFiles(then: Digests, now: Digests): string[] {
  const has = (digests: Digests, file: string) => Object.hasOwn(digests, file);
  return [...new Set([...Object.keys(then), ...Object.keys(now)])].sort().flatMap((file) => {
    if (!has(now, file)) return [`${file} is missing`];
    if (!has(then, file)) return [`${file} was added`];
    return then[file] === now[file] ? [] : [`${file} was changed`];
  });
}
