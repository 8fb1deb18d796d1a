import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isAlive, isRunning, thisProcess } from '../../core/process.js';

describe('a process', () => {
  it('is known by its number and its start', () => {
    expect(thisProcess()).toMatchObject({ pid: process.pid });
    expect(isAlive(thisProcess())).toBe(true);
    expect(isAlive({ ...thisProcess(), started: undefined })).toBe(true);
    expect(isAlive({ ...thisProcess(), started: '1' })).toBe(!existsSync('/proc/self/stat'));
  });

  it('that has ended is gone, also while its parent has not asked for its exit status', async () => {
    // The shell is replaced by a program that never waits for the child that the shell has started.
    const parent = spawn('sh', ['-c', 'sleep 0.2 & echo $!; exec sleep 5']);
    const pid = Number(await new Promise((resolve) => parent.stdout.once('data', resolve)));
    expect(isAlive({ pid, host: '' })).toBe(true);
    while (existsSync(`/proc/${pid}/stat`) && !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')))
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(isAlive({ pid, host: '' })).toBe(false);
    parent.kill();
    await new Promise((resolve) => parent.once('exit', resolve));
    expect(isRunning(parent.pid!)).toBe(false);
  });
});
