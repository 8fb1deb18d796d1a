import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';
import { describe, expect, it, vi } from 'vitest';
import type { ScoreBatch } from '../../core/reward.js';
import { scoreImages } from '../../core/score.js';
import { loadRewardFile, makeReward } from '../../rewards/index.js';

// One red picture, one white.
const red = Array.from({ length: 256 }, () => [255, 0, 0]).flat();
const batch: ScoreBatch = {
  images: { data: Uint8Array.from([...red, ...red.map(() => 255)]), shape: [2, 16, 16, 3] },
  prompts: ['p', 'q'],
};

/** The programs of docs/rewards.md, each as a JavaScript file. */
async function withPrograms(use: (files: string[]) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'docs-'));
  try {
    const page = await readFile('docs/rewards.md', 'utf8');
    const files: string[] = [];
    for (const [, source] of page.matchAll(/^```ts\n([\s\S]*?)^```/gm)) {
      const local = source!.replace(/'denoise-gym\/rewards'/, `'${pathToFileURL('rewards/index.ts').href}'`);
      const file = join(folder, `program${files.length}.mjs`);
      const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
      await writeFile(file, ts.transpileModule(local, { compilerOptions }).outputText);
      files.push(file);
    }
    await use(files);
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe('docs/rewards.md', () => {
  it('shows programs that run', () =>
    withPrograms(async ([plain, object, program, ...rest]) => {
      expect(rest).toEqual([]);
      expect((await scoreImages(await loadRewardFile(plain!), batch)).scores).toEqual(Float64Array.of(1, 0));

      const contrast = await loadRewardFile(object!);
      expect(contrast.name).toBe('contrast');
      const { scores, details } = await scoreImages(contrast, batch);
      expect(scores[0]).toBeCloseTo(Math.sqrt(2) / 3, 10);
      expect(details.brightness![0]).toBeCloseTo(1 / 3, 10);

      const log = vi.spyOn(console, 'log').mockImplementation(() => {});
      await import(/* @vite-ignore */ pathToFileURL(program!).href);
      // Pillow: a black 16x16 picture is 631 bytes.
      expect(log.mock.calls[0]![0]).toEqual(Float64Array.of(0.631, 0.631));
      log.mockRestore();
    }));

  it('shows expressions that can be made', async () => {
    const page = await readFile('docs/rewards.md', 'utf8');
    const expressions = [...page.matchAll(/^--reward "(.*)"$/gm)].map(([, text]) => text!);
    expect(expressions.length).toBeGreaterThan(1);
    for (const expression of expressions.filter((text) => !text.includes('./')))
      expect((await makeReward(expression)).name).toBe(expression);
  });
});
