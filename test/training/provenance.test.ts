import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { provenance } from '../../training/run-record.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'provenance-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

it('names the commit, and says where sources differ from it, but not for what benchmarks write', async () => {
  expect(await provenance(folder)).not.toHaveProperty('commit');
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b.c', ...args], { cwd: folder, encoding: 'utf8' });
  git('init', '--quiet');
  mkdirSync(join(folder, 'benchmarks/one'), { recursive: true });
  for (const file of ['agent.ts', 'benchmarks/one/results.json', 'benchmarks/one/curve.svg', 'options.json'])
    writeFileSync(join(folder, file), '1');
  git('add', '.');
  git('commit', '--quiet', '--message', 'all');
  const head = git('rev-parse', 'HEAD').trim();
  for (const file of ['benchmarks/one/results.json', 'benchmarks/one/curve.svg', 'notes.txt'])
    writeFileSync(join(folder, file), '2');
  expect((await provenance(folder)).commit).toBe(head);
  expect((await provenance(join(folder, 'benchmarks'))).commit).toBe(head);
  writeFileSync(join(folder, 'options.json'), '2');
  expect((await provenance(folder)).commit).toBe(`${head}-dirty`);
});
