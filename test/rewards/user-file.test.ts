import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ScoreBatch } from '../../core/reward.js';
import { scoreImages } from '../../core/score.js';
import { isRewardFile, loadRewardFile } from '../../rewards/user-file.js';

const batch: ScoreBatch = { images: { data: new Uint8Array(2 * 48), shape: [2, 4, 4, 3] }, prompts: ['p', 'q'] };

let folder: string;
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'user reward-')));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  return path;
}

describe('isRewardFile', () => {
  it.each([
    './my-reward.ts',
    '/a b/x.js',
    'my-reward.mjs',
    'C:\\rewards\\x.ts',
    './readme.md',
    '../x.cjs',
    'sub/x.ts',
  ])('%s is a path', (text) => expect(isRewardFile(text)).toBe(true));
  it.each([
    'shapes',
    'a - b',
    "0.5*'./x.ts'",
    '"./a.ts" + "./b.ts"',
    '2 * x.ts',
    './a.ts + shapes',
    'readme.md',
  ])('%s is none', (text) => expect(isRewardFile(text)).toBe(false));
});

describe('loadRewardFile', () => {
  it('names a plain function after its file; it may be async, and in TypeScript', async () => {
    const text = 'export default async ({ prompts }) => prompts.map((_, i) => i);';
    for (const name of ['my-red.mjs', 'my-red.ts']) {
      const path = await file(
        name,
        name.endsWith('.ts') ? text.replace('prompts }', 'prompts }: { prompts: string[] }') : text,
      );
      const reward = await loadRewardFile(path);
      expect(reward.name).toBe('my-red');
      expect((await scoreImages(reward, batch)).scores).toEqual(Float64Array.of(0, 1));
    }
  });

  it('takes no URL', async () => {
    const url = pathToFileURL(await file('by-url.mjs', 'export default () => [1, 2];')).href;
    await expect(loadRewardFile(url)).rejects.toThrow(/^reward file:.*: URLs are not imported/);
  });

  it('takes an object with its own name, its own state and details', async () => {
    const path = await file(
      'object.mjs',
      `class Own { name = 'own'; bias = 3; score({ prompts }) { return { scores: prompts.map(() => this.bias), details: { half: prompts.map(() => 0.5) } }; } }
      export default new Own();`,
    );
    const reward = await loadRewardFile(path);
    expect(reward.name).toBe('own');
    expect(await scoreImages(reward, batch)).toEqual({
      scores: Float64Array.of(3, 3),
      details: { half: Float64Array.of(0.5, 0.5) },
      notes: {},
    });
  });

  it('takes an object without a name, and CommonJS', async () => {
    const reward = await loadRewardFile(await file('nameless.cjs', 'module.exports = { score: () => [1, 2] };'));
    expect(reward.name).toBe('nameless');
    const compiled = await file('compiled.cjs', 'exports.__esModule = true; exports.default = () => [1, 2];');
    expect((await scoreImages(await loadRewardFile(compiled), batch)).scores).toEqual(Float64Array.of(1, 2));
  });

  it.each([
    ['nothing.mjs', 'export const score = 1;', /no default export; write `export default function nothing\(/],
    ['number.mjs', 'export default 3;', /default export is a number without a function `score`; write/],
    ['null.mjs', 'export default null;', /default export is null/],
    ['other.mjs', 'export default { scores: [] };', /default export is a object without a function `score`/],
    ['class.mjs', 'export default class { score() {} }', /is a class; export an object of it/],
    ['named.mjs', 'export default { name: 3, score() {} };', /`name` is 3; make it a text/],
    ['throws.mjs', '\nthrow new Error("no key");', /cannot be loaded: no key/],
    ['imports.mjs', 'import "./not-there.mjs";', /cannot be loaded: .*not-there\.mjs/],
  ])('says what is wrong with %s', async (name, text, message) => {
    const path = await file(name, text);
    await expect(loadRewardFile(path)).rejects.toThrow(message);
    await expect(loadRewardFile(path)).rejects.toMatchObject({ code: 'E_FILE' });
  });

  it('suggests the nearest file, or says that the folder is missing', async () => {
    await file('my-yellow.mjs', 'export default () => [];');
    await expect(loadRewardFile(join(folder, 'my-yelow.mjs'))).rejects.toThrow(
      /no such file in .*mean my-yellow\.mjs\?/,
    );
    await expect(loadRewardFile(join(folder, 'not', 'x.ts'))).rejects.toThrow(
      /there is no folder .*not; check the path/,
    );
  });
});
