import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';
import { expect, it } from 'vitest';
import { agentChecks, envChecks, rewardChecks, vectorEnvChecks } from '../../testing/index.js';

it('docs/testing.md shows suites that pass', async () => {
  const page = await readFile('docs/testing.md', 'utf8');
  const folder = await mkdtemp(join(tmpdir(), 'docs-'));
  const url = (path: string) => pathToFileURL(path).href;
  try {
    const files: string[] = [];
    for (const [, source] of page.matchAll(/^```ts\n([\s\S]*?)^```/gm)) {
      const local = source!
        .replace(`'vitest'`, `'node:test'`)
        .replace(/'denoise-gym\/(\w+)'/g, (_, room) => `'${url(`${room}/index.ts`)}'`);
      const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
      files.push(join(folder, `program${files.length}.test.mjs`));
      await writeFile(files.at(-1)!, ts.transpileModule(local, { compilerOptions }).outputText);
    }
    expect(files).toHaveLength(4);
    const output = await new Promise<string>((resolve) => {
      const args = ['--import', url('register.mjs'), '--test', '--test-concurrency=1', '--test-reporter=tap', ...files];
      const env = { ...process.env, NODE_TEST_CONTEXT: undefined };
      execFile(process.execPath, args, { env }, (_, stdout) => resolve(stdout));
    });
    expect(output.match(/^ +not ok.*$/gm) ?? []).toEqual([]);
    const checks = [envChecks, vectorEnvChecks, rewardChecks, agentChecks].reduce((n, list) => n + list.length, 0);
    expect(output).toMatch(new RegExp(`# pass ${checks}\n`));
  } finally {
    await rm(folder, { recursive: true });
  }
});

it('docs/testing.md names every check', async () => {
  const page = await readFile('docs/testing.md', 'utf8');
  for (const { name } of [...envChecks, ...vectorEnvChecks, ...rewardChecks, ...agentChecks])
    expect(page).toContain(`\`${name}\``);
});
