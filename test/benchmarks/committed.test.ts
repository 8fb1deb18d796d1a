import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { PaperResults } from '../../benchmarks/paper/definition.js';
import { paperBenchmarks } from '../../benchmarks/paper/index.js';
import { renderFindings } from '../../benchmarks/paper/page.js';

const committed = Object.keys(paperBenchmarks).filter((name) => existsSync(join('benchmarks', name, 'results.json')));

describe.each(committed)('benchmarks/%s', (name) => {
  const folder = join('benchmarks', name);

  it('has the page that its results make, of runs whose commits are known', async () => {
    const definition = await paperBenchmarks[name]!.load();
    const results = JSON.parse(await readFile(join(folder, 'results.json'), 'utf8')) as PaperResults;
    const page = await readFile(join(folder, 'findings.md'), 'utf8');
    expect(page, 'make it again: npm run bench -- NAME --page').toBe(
      renderFindings(definition, results, await readdir(folder)),
    );
    for (const run of results.runs) expect(run.commit, run.name).toMatch(/^[0-9a-f]{40}$/);
    // What the page shows is there.
    for (const [, file] of page.matchAll(/!\[[^\]]*\]\(([^)]+)\)/g))
      expect(existsSync(join(folder, file!)), file).toBe(true);
  });
});
