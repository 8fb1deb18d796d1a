import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { thisProcess } from '../../../core/process.js';
import { RunLock } from '../../../training/run-folder/lock.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lock-'));
});
afterEach(() => rm(folder, { recursive: true }));

const gone = spawnSync(process.execPath, ['-e', '']).pid;
const lockOf = (process_: object) => JSON.stringify({ host: hostname(), token: 'x', ...process_ });

async function locked(text: string, secondsAgo = 0): Promise<void> {
  const file = join(folder, 'lock');
  await writeFile(file, text);
  const time = new Date(Date.now() - 1000 * secondsAgo);
  await utimes(file, time, time);
}

describe('a lock', () => {
  it('is taken once, given back, and taken again', async () => {
    const lock = RunLock.take(folder);
    expect(RunLock.isHeld(folder)).toBe(true);
    expect(JSON.parse(await readFile(join(folder, 'lock'), 'utf8'))).toMatchObject(thisProcess());
    expect(() => RunLock.take(folder)).toThrow(/this process is running it already/);
    lock.release();
    lock.release();
    expect(RunLock.isHeld(folder)).toBe(false);
    expect(() => lock.check()).toThrow(/it was given back/);
    RunLock.take(folder).release();
    expect(await readdir(folder)).toEqual([]);
  });

  it.each([
    ['a process that is gone', () => locked(lockOf({ pid: gone }))],
    ['a process whose number another one has now', () => locked(lockOf({ pid: process.ppid, started: '1' }))],
    ['a process of another machine that gives no sign of life', () => locked(lockOf({ pid: 1, host: 'far' }), 300)],
    ['a process that was killed while it wrote the lock', () => locked('{"pid":', 60)],
  ])('of %s is taken over', async (_, make) => {
    await make();
    expect(RunLock.isHeld(folder)).toBe(false);
    const lock = RunLock.take(folder);
    expect(JSON.parse(await readFile(join(folder, 'lock'), 'utf8')).pid).toBe(process.pid);
    lock.release();
  });

  it.each([
    ['a living process', () => locked(lockOf({ pid: process.ppid })), `process ${process.ppid} is running it now`],
    [
      'a living process of another machine',
      () => locked(lockOf({ pid: 1, host: 'far' }), 30),
      /process 1 on the machine far is running it now.*30 s ago.*try again in 2 minutes/,
    ],
    ['a process that is just writing it', () => locked(''), /another process is just opening it/],
  ])('of %s is respected', async (_, make, message) => {
    await make();
    const before = await readFile(join(folder, 'lock'), 'utf8');
    expect(() => RunLock.take(folder)).toThrow(message);
    expect(await readFile(join(folder, 'lock'), 'utf8')).toBe(before);
  });

  it('that another process has taken over is noticed, and not given back', async () => {
    const lock = RunLock.take(folder);
    await locked(lockOf({ pid: process.ppid }));
    expect(() => lock.check()).toThrow(/another process has taken it over/);
    lock.release();
    expect(await readdir(folder)).toEqual(['lock']);
  });

  it('that somebody has removed is taken again', async () => {
    const lock = RunLock.take(folder);
    await rm(join(folder, 'lock'));
    lock.check();
    expect(RunLock.isHeld(folder)).toBe(true);
    lock.release();
  });

  it('is given back when the process ends by itself', async () => {
    const code = `(await import('./training/run-folder/lock.ts')).RunLock.take(${JSON.stringify(folder)}); process.exit(3);`;
    const child = spawn(process.execPath, ['--import', './register.mjs', '--input-type=module', '-e', code]);
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(3);
    expect(await readdir(folder)).toEqual([]);
  });

  it('is never had by two of several processes that try at the same moments, stale or not', async () => {
    const rounds = 12;
    const program = join(import.meta.dirname, 'lock-program.ts');
    const args = ['--import', './register.mjs', program, folder, String(rounds), lockOf({ pid: gone })];
    const children = Array.from({ length: 5 }, () =>
      spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] }),
    );
    const said = children.map((child) => createInterface({ input: child.stdout })[Symbol.asyncIterator]());
    const next = async (): Promise<string[]> =>
      Promise.all(said.map(async (lines) => (await lines.next()).value ?? ''));
    expect(await next()).toEqual(Array(5).fill('ready'));
    const start = String(Date.now() + 300);
    for (const child of children) child.stdin.write(start);
    const results = await next();
    const had = results.flatMap((line) => JSON.parse(line) as [number, number][]).sort(([a], [b]) => a - b);
    expect(had.length).toBeGreaterThanOrEqual(rounds);
    for (const [i, [from]] of had.entries()) if (i > 0) expect(from).toBeGreaterThanOrEqual(had[i - 1]![1]);
  });
});
