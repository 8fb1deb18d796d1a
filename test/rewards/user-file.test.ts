import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RewardBatch } from '../../core/reward.js';
import { scoreImages } from '../../core/score.js';
import { isRewardFile, loadRewardFile } from '../../rewards/user-file.js';

const batch: RewardBatch = { images: { data: new Uint8Array(2 * 48), shape: [2, 4, 4, 3] }, prompts: ['p', 'q'] };

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
    'file:///x.ts',
    '../x.cjs',
    'sub/x.ts',
  ])('%s is a path', (text) => expect(isRewardFile(text)).toBe(true));
  it.each(['shapes', 'a - b', "0.5*'./x.ts'", '"./a.ts" + "./b.ts"', '2 * x.ts', './readme.md'])('%s is none', (text) =>
    expect(isRewardFile(text)).toBe(false));
});

describe('loadRewardFile', () => {
  it('names a plain function after its file; a URL and an async function do too', async () => {
    const path = await file('my-red.mjs', 'export default async ({ prompts }) => prompts.map((_, i) => i);');
    for (const spec of [path, pathToFileURL(path).href]) {
      const reward = await loadRewardFile(spec);
      expect(reward.name).toBe('my-red');
      expect((await scoreImages(reward, batch)).scores).toEqual(Float64Array.of(0, 1));
    }
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

// How rewards load outside of the test runner, which brings a TypeScript loader of its own: in the repository (ts-node is
// registered) and from the installed package (plain Node, compiled files).
describe.each(['repository', 'installed'])('TypeScript files and syntax errors, %s', (where) => {
  let run: (path: string) => Promise<string>;

  beforeAll(async () => {
    let command: string[];
    if (where === 'repository') {
      const program = `import { loadRewardFile } from ${JSON.stringify(pathToFileURL(resolve('rewards/user-file.ts')).href)};`;
      command = ['--import', pathToFileURL(resolve('register.mjs')).href, '--input-type=module', '-e', program];
    } else {
      for (const name of ['core/errors', 'rewards/user-file', 'rewards/typescript-hooks']) {
        const options = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
        const { outputText } = ts.transpileModule(await readFile(`${name}.ts`, 'utf8'), { compilerOptions: options });
        await file(`package/dist/${name}.js`, outputText);
      }
      await file('package/package.json', '{ "type": "module" }');
      const built = pathToFileURL(join(folder, 'package/dist/rewards/user-file.js')).href;
      command = ['--input-type=module', '-e', `import { loadRewardFile } from ${JSON.stringify(built)};`];
    }
    run = async (path) => {
      const call = `
        try {
          const reward = await loadRewardFile(${JSON.stringify(path)});
          console.log(reward.name, JSON.stringify(await reward.score({ prompts: ['p', 'q'] })));
        } catch (error) { console.log(error.code, error.message); }`;
      const args = [...command.slice(0, -1), command.at(-1)! + call];
      return (await promisify(execFile)(process.execPath, args)).stdout.trim();
    };
  });

  it('loads TypeScript and what it imports', async () => {
    await file('project/node_modules/typescript/package.json', '{ "main": "index.js" }');
    const compiler = createRequire(import.meta.url).resolve('typescript');
    await file('project/node_modules/typescript/index.js', `module.exports = require(${JSON.stringify(compiler)});`);
    await file('project/bonus.ts', 'export const bonus: number = 5;\nexport interface Unused { a: 1 }');
    const path = await file(
      'project/my-reward.ts',
      `import { bonus } from './bonus.js';
      interface Batch { prompts: string[] }
      export default async function ({ prompts }: Batch): Promise<number[]> { return prompts.map((_, i) => i + bonus); }`,
    );
    expect(await run(path)).toBe('my-reward [5,6]');
    const broken = await file('project/broken.ts', 'const a: number = 1;\nexport default (;\n');
    expect(await run(broken)).toMatch(
      /^E_FILE reward .*broken\.ts: cannot be loaded: .*broken\.ts:2:17: Expression expected/,
    );
    const throws = await file('project/throws.ts', 'interface Gone {}\n\nthrow new Error("no key");');
    expect(await run(throws)).toMatch(/cannot be loaded: no key \(at .*throws\.ts:3:7\)/);
  });

  it('shows the line of a syntax error in JavaScript', async () => {
    const path = await file('broken.mjs', 'const a = 1;\nexport default (;\n');
    expect(await run(path)).toMatch(/^E_FILE reward .*: cannot be loaded: Unexpected token ';' \(.*broken\.mjs:2\)/);
  });

  if (where === 'installed')
    it('says what to install where nothing reads TypeScript', async () => {
      const path = await file('bare/my-reward.ts', 'export default (): number[] => [1, 2];');
      const answer =
        'typescript' in process.features ? /^my-reward \[1,2\]/ : /^E_FILE .*`npm install --save-dev typescript`/;
      expect(await run(path)).toMatch(answer);
    });
});
