import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readJson, readText, writeFileAtomic, writeFolderAtomic } from '../../core/files.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'files-'));
});
afterEach(async () => {
  await chmod(folder, 0o755);
  await rm(folder, { recursive: true });
});

it('a file is written whole, in a folder made for it, with nothing left beside it', async () => {
  const path = join(folder, 'a', 'b.txt');
  await writeFileAtomic(path, 'one');
  await writeFileAtomic(path, 'two');
  expect(await readFile(path, 'utf8')).toBe('two');
  expect(await readdir(join(folder, 'a'))).toEqual(['b.txt']);
});

it('a folder takes the place of an older one only when it is filled', async () => {
  const path = join(folder, 'run');
  await writeFolderAtomic(path, (temp) => writeFile(join(temp, 'x'), '1'));
  await expect(
    writeFolderAtomic(path, async (temp) => {
      await writeFile(join(temp, 'y'), '2');
      throw new Error('no space');
    }),
  ).rejects.toThrow(/cannot write folder .*run: no space/);
  expect(await readdir(path)).toEqual(['x']);
  await writeFolderAtomic(path, (temp) => writeFile(join(temp, 'z'), '3'));
  expect(await readdir(path)).toEqual(['z']);
  expect(await readdir(folder)).toEqual(['run']);
});

it('a place that cannot be written is an error that says what to do, and leaves nothing', async () => {
  await writeFile(join(folder, 'file'), '');
  await expect(writeFileAtomic(join(folder, 'file', 'inside'), 'x')).rejects.toThrow(/cannot write .*inside/);
  await mkdir(join(folder, 'target'));
  await expect(writeFileAtomic(join(folder, 'target'), 'x')).rejects.toThrow(/cannot write .*target/);
  expect((await readdir(folder)).sort()).toEqual(['file', 'target']);
});

it('a missing file and broken JSON name the file', async () => {
  await expect(readText(join(folder, 'no'))).rejects.toThrow(/cannot read .*no: .*check the path/);
  await writeFile(join(folder, 'half.json'), '{"a": 1');
  await expect(readJson(join(folder, 'half.json'))).rejects.toThrow(/half.json: not valid JSON .*truncated/);
});
