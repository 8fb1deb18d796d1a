import { spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  readJson,
  readText,
  recoverFolder,
  removeFolderAtomic,
  removeLeftovers,
  writeFileAtomic,
  writeFolderAtomic,
} from '../../core/files.js';

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

it('a folder is removed, also where there is none', async () => {
  const path = join(folder, 'run');
  await writeFolderAtomic(path, (temp) => writeFile(join(temp, 'x'), '1'));
  await removeFolderAtomic(path);
  await removeFolderAtomic(path);
  expect(await readdir(folder)).toEqual([]);
});

it('a folder that must not be there yet is written only where no other has taken the name', async () => {
  const path = join(folder, 'run');
  await writeFolderAtomic(path, (temp) => writeFile(join(temp, 'x'), '1'), { replace: false });
  const second = writeFolderAtomic(path, (temp) => writeFile(join(temp, 'y'), '2'), { replace: false });
  await expect(second).rejects.toThrow(/cannot write folder .*run/);
  expect(await readdir(path)).toEqual(['x']);
  expect(await readdir(folder)).toEqual(['run']);
});

describe('what a process leaves that is killed', () => {
  /** Runs code in a process that kills itself where the code says so. */
  const killed = (code: string) =>
    spawnSync(process.execPath, ['--import', './register.mjs', '--input-type=module', '-e', code], {
      cwd: process.cwd(),
    });
  const write = (path: string) => `
    import fs from 'node:fs/promises';
    import { syncBuiltinESMExports } from 'node:module';
    const rename = fs.rename;
    let renames = 0;
    fs.rename = async (...args) => {
      await rename(...args);
      if (++renames === 1) process.kill(process.pid, 'SIGKILL');
    };
    syncBuiltinESMExports();
    const { writeFolderAtomic } = await import('./core/files.ts');
    await writeFolderAtomic(${JSON.stringify(path)}, (temp) => fs.writeFile(temp + '/new', ''));`;

  it('between the two renames of a folder: the folder gets its name back', async () => {
    const path = join(folder, 'run');
    await mkdir(path);
    await writeFile(join(path, 'old'), '');
    expect(killed(write(path)).signal).toBe('SIGKILL');
    expect(await readdir(folder)).toHaveLength(2);
    expect(await readdir(folder)).not.toContain('run');
    recoverFolder(path);
    expect(await readdir(folder)).toEqual(['run']);
    expect(await readdir(path)).toEqual(['old']);
  });

  it('is removed, and what a living process writes is not', async () => {
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    const [dead, living] = [`.a.${pid}.0123abcd.tmp`, `.a.${process.ppid}.0123abcd.tmp`];
    for (const name of [dead, living, `.a.${process.pid}.0123abcd.tmp`, '.other.tmp'])
      await writeFile(join(folder, name), '');
    await writeFolderAtomic(join(folder, 'b'), async () => removeLeftovers(folder));
    expect((await readdir(folder)).sort()).toEqual([living, '.other.tmp', 'b'].sort());
  });
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
