import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';

// A copy of what runs TypeScript, with a cache of its own.
let folder: string;
let cache: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'typescript-hooks-'));
  cache = join(folder, 'node_modules/.cache/denoise-gym/transpiled');
  await mkdir(join(folder, 'node_modules'));
  for (const name of ['typescript', 'ts-node', '@types'])
    await symlink(resolve('node_modules', name), join(folder, 'node_modules', name));
  for (const name of ['register.mjs', 'scripts/typescript-hooks.mjs', 'core/user-module-hooks.ts'])
    await cp(name, join(folder, name));
  for (const name of ['package.json', 'tsconfig.json']) await cp(name, join(folder, name));
  await write('value.ts', 'export const value: number = 1;');
  await write('main.ts', "import { value } from './value.js';\nconsole.log(value);");
});
afterEach(() => rm(folder, { recursive: true }));

const write = (name: string, text: string) => writeFile(join(folder, name), text);
const run = async (program = 'main.ts', ...args: string[]) => {
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ['--import', join(folder, 'register.mjs'), join(folder, program), ...args],
    { cwd: tmpdir() },
  );
  expect(stderr).toBe('');
  return stdout.trim();
};
/** Changes what the cache holds, but for the line that says of what it was made. */
async function edit(change: (code: string) => string): Promise<void> {
  for (const entry of await readdir(cache)) {
    const lines = (await readFile(join(cache, entry), 'utf8')).split('\n');
    const mark = lines.pop()!;
    await writeFile(join(cache, entry), `${change(lines.join('\n'))}\n${mark}`);
  }
}
const says2 = (code: string) => code.replace('value = 1', 'value = 2');

it('what was transpiled once is taken from the cache, by worker threads too', async () => {
  expect(await run()).toBe('1');
  // Three modules: the program, what it imports, and the hooks for users' modules.
  expect(await readdir(cache)).toHaveLength(3);
  await edit(says2);
  expect(await run()).toBe('2');

  await write(
    'thread.ts',
    "import { Worker } from 'node:worker_threads';\nnew Worker(new URL('./main.ts', import.meta.url));",
  );
  expect(await run('thread.ts')).toBe('2');
});

it('is transpiled again: another source, other options of the compiler, an entry that was cut', async () => {
  await run();
  await edit(says2);
  await write('value.ts', 'export const value: number = 3;');
  expect(await run()).toBe('3');
  expect(await readdir(cache)).toHaveLength(3); // in the place of the older one

  await edit((code) => code.replace('value = 3', 'value = 2'));
  const options = await readFile('tsconfig.json', 'utf8');
  await write('tsconfig.json', options.replace('es2022', 'es2020'));
  expect(await run()).toBe('3');

  for (const entry of await readdir(cache)) await writeFile(join(cache, entry), 'throw new Error("cut");\n//# 12');
  expect(await run()).toBe('3');
});

it('runs where nothing can be kept', async () => {
  await writeFile(join(folder, 'node_modules/.cache'), 'a file in the place of the folder');
  expect(await run()).toBe('1');
});

it.each(['transpiled', 'from the cache'])('with --debug a stack names the line of the TypeScript, %s', async (way) => {
  await write(
    'main.ts',
    "interface Left {\n  out: number;\n}\n\nconst stack = (): string => new Error('here').stack!;\nconsole.log(stack());",
  );
  if (way === 'from the cache') await run();
  expect(await run('main.ts', '--debug')).toMatch(/main\.ts:5:29\)?\n.*main\.ts:6:13/);
});

it('an error of syntax names file and line, and nothing is kept of it', async () => {
  await write('value.ts', 'export const value: number = 1;\nexport const = 2;');
  await expect(run()).rejects.toThrow(/value\.ts:2|value\.ts\(2,/);
  await write('value.ts', 'export const value: number = 1;');
  expect(await run()).toBe('1');
});
