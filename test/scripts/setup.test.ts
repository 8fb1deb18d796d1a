import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';

const run = promisify(execFile);
const { isUpToDate, nodeIsNewEnough } = (await import('../../scripts/setup.mjs' as string)) as {
  isUpToDate(root: string): boolean;
  nodeIsNewEnough(version: string): boolean;
};

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'setup-'));
});
afterEach(() => rm(root, { recursive: true }));

const write = (path: string, packages: object) => writeFile(join(root, path), JSON.stringify({ packages }));

it.each([
  ['20.19.0', true],
  ['20.18.3', false],
  ['18.20.0', false],
  ['22.0.0', true],
  ['20.20.2', true],
])('Node %s: %s', (version, enough) => {
  expect(nodeIsNewEnough(version)).toBe(enough);
});

it('compares the lock file with what is installed', async () => {
  const lock = {
    '': { version: '1.0.0' },
    'node_modules/a': { version: '1.0.0' },
    'node_modules/b': { version: '2.0.0', optional: true },
  };
  await write('package-lock.json', lock);
  expect(isUpToDate(root)).toBe(false);

  await mkdir(join(root, 'node_modules'));
  await write('node_modules/.package-lock.json', { 'node_modules/a': { version: '0.9.0' } });
  expect(isUpToDate(root)).toBe(false);

  // Installed by hand, without what is optional on this platform: good as it is, and known from then on.
  await write('node_modules/.package-lock.json', { 'node_modules/a': { version: '1.0.0' } });
  expect(isUpToDate(root)).toBe(true);
  expect(isUpToDate(root)).toBe(true);

  await write('package-lock.json', { ...lock, 'node_modules/c': { version: '1.0.0' } });
  expect(isUpToDate(root)).toBe(false);
});

it('says nothing, fast, where there is nothing to do', async () => {
  const { stdout, stderr } = await run(process.execPath, ['scripts/setup.mjs']);
  expect(stdout + stderr).toBe('');
});
