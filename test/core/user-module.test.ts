import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { importUserModule, isModulePath } from '../../core/user-module.js';
import { make } from '../../envs/index.js';

const exec = promisify(execFile);

let folder: string;
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'user module (1)-')));
});
afterAll(() => rm(folder, { recursive: true }));

async function write(path: string, text: string): Promise<string> {
  const file = resolve(folder, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  return file;
}

describe('isModulePath', () => {
  it.each(['./a', '../a.ts', '/a b/x.js', 'my-env.mjs', 'sub/x.ts', 'C:\\envs\\x.ts', '.\\x'])('%s is a path', (text) =>
    expect(isModulePath(text)).toBe(true));
  it.each(['shapes', 'CartPole-v1', 'some-package', '@scope/package/envs', 'a.b'])('%s is none', (text) =>
    expect(isModulePath(text)).toBe(false));
});

describe('importUserModule', () => {
  it('gives what a file exports; the package in it is the one that runs', async () => {
    const file = await write(
      'in-process.ts',
      `import { make } from 'denoise-gym/envs';
      export const same: unknown = make;
      export default 3 as number;`,
    );
    expect(await importUserModule(file, 'reward')).toMatchObject({ default: 3, same: make });
  });

  it.each([
    ['data:text/javascript,export default 1', 'E_NAME', /^agent data:.*: URLs are not imported; give the path/],
    ['data:text/javascript,x/../a.js', 'E_NAME', /URLs are not imported/],
    ['file:///x.mjs', 'E_NAME', /URLs are not imported/],
    ['https://example.org/x.js', 'E_NAME', /URLs are not imported/],
    ['node:fs', 'E_NAME', /URLs are not imported/],
    ['fs/promises', 'E_NAME', /^agent fs\/promises: this is a part of Node/],
    ['#internal', 'E_NAME', /this is no name of a package; the path of a file begins with/],
    ['a/../b', 'E_NAME', /cannot be loaded|no name of a package/],
    ['no-such-package', 'E_NAME', /^agent no-such-package: cannot be loaded: .*no-such-package/],
    ['./no-such-folder/x.ts', 'E_FILE', /^agent \.\/no-such-folder\/x\.ts: there is no folder \/.*no-such-folder;/],
    ['./core', 'E_FILE', /^agent \.\/core: this is a folder; give the path of the file in it/],
    ['./package.json', 'E_FILE', /a file that ends in "\.json" is no module; use one of \.ts, \.mts, \.js, \.mjs/],
    ['./core/user-modul.ts', 'E_FILE', /there is no such file in .*core; did you mean user-module\.ts\?/],
  ])('refuses %s', async (name, code, message) => {
    await expect(importUserModule(name, 'agent')).rejects.toThrow(message);
    await expect(importUserModule(name, 'agent')).rejects.toMatchObject({ code });
  });
});

/** A program of the user's: an environment, with a module of its own beside it. `%` stands for the file's extension. */
const program = (types: boolean) => `
  import { Discrete, register } from 'denoise-gym/envs';
  import { bonus } from './bonus-%.EXT';
  ${types ? 'interface Unused { a: 1 }' : ''}
  export class Mine {
    observationSpace = new Discrete(100);
    actionSpace = new Discrete(2);
    reset() { return { observation: 0, info: {} }; }
    step(action${types ? ': number' : ''}) {
      if (action === 1) throw new Error('no such door');
      return { observation: bonus, reward: 0, terminated: false, truncated: false, info: {} };
    }
  }
  register({ id: 'Mine%-v0', description: 'mine', create: () => new Mine() });
`;

/** The line of \`throw\` in it. */
const line = 10;

const kinds = ['ts', 'mts', 'js', 'mjs'];

/** The package's modules as its build compiles them; what runs there is JavaScript. */
async function build(into: string): Promise<void> {
  for (const room of ['core', 'envs'])
    for (const entry of await readdir(room, { recursive: true })) {
      if (!entry.endsWith('.ts')) continue;
      const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
      const { outputText } = ts.transpileModule(await readFile(join(room, entry), 'utf8'), { compilerOptions });
      await write(join(into, 'dist', room, entry.replace(/ts$/, 'js')), outputText);
    }
  await cp('package.json', join(folder, into, 'package.json'));
}

// How files load outside of the test runner, which brings a TypeScript loader of its own.
describe.each(['clone', 'build', 'installed'])('a file of the user, %s', (way) => {
  /** Where the user works. */
  let home: string;
  /** Runs a program in which `envs` and `loader` are modules of the package. */
  let run: (code: string) => Promise<string>;

  beforeAll(async () => {
    let dist: string;
    const args: string[] = [];
    if (way === 'clone') {
      await mkdir('.cache', { recursive: true });
      home = await mkdtemp(resolve('.cache/user-module-')); // a folder that git ignores
      dist = resolve('.');
      args.push('--import', './register.mjs');
    } else if (way === 'build') {
      await build('build');
      await symlink(resolve('node_modules'), join(folder, 'build/node_modules'));
      home = join(folder, 'build');
      dist = join(folder, 'build/dist');
    } else {
      await build('project/node_modules/denoise-gym');
      for (const name of ['seedrandom', 'sharp', 'typescript'])
        await symlink(resolve('node_modules', name), join(folder, 'project/node_modules', name));
      // What `npm init` writes says CommonJS.
      await write('project/package.json', '{ "type": "commonjs" }');
      home = join(folder, 'project');
      dist = join(home, 'node_modules/denoise-gym/dist');
    }
    const extension = way === 'clone' ? 'ts' : 'js';
    run = async (code) => {
      const url = (name: string) => JSON.stringify(pathToFileURL(join(dist, `${name}.${extension}`)).href);
      const text = `
        const envs = await import(${url('envs/index')});
        const { importUserModule } = await import(${url('core/user-module')});
        const { describeError } = await import(${url('core/errors')});
        const { scoreImages } = await import(${url('core/score')});
        ${code}`;
      const cwd = way === 'clone' ? '.' : home;
      const file = await write(join(home, 'program.mjs'), text);
      const { stdout } = await exec(process.execPath, [...args, file], { cwd });
      return stdout.trim();
    };
    for (const kind of kinds) {
      const extension = kind.replace('ts', 'js');
      const text = program(kind.endsWith('ts')).replaceAll('%', kind).replace('EXT', extension);
      await write(join(home, `my-env.${kind}`), text);
      await write(
        join(home, `bonus-${kind}.${kind}`),
        `export const bonus${kind.endsWith('ts') ? ': number' : ''} = 7;`,
      );
    }
  });
  afterAll(async () => {
    if (way === 'clone') await rm(home, { recursive: true });
  });

  it('registers environments in the registry that runs, in threads too', async () => {
    const output = await run(`
      const path = (kind) => ${JSON.stringify(home)} + '/my-env.' + kind;
      for (const kind of ${JSON.stringify(kinds)}) {
        const env = await envs.make(path(kind) + ':Mine' + kind + '-v0');
        await env.reset({ seed: 1 });
        console.log(kind, (await env.step(0)).observation);
      }
      const threads = await envs.makeWorkerVec(path('ts') + ':Minets-v0', 2, {}, { workers: 2 });
      await threads.reset({ seed: 1 });
      console.log('threads', ...(await threads.step([0, 0])).observations);
      await threads.close();`);
    expect(output.split('\n')).toEqual(['ts 7', 'mts 7', 'js 7', 'mjs 7', 'threads 7 7']);
  });

  it('shows the line that the user wrote', async () => {
    const output = await run(`
      for (const kind of ${JSON.stringify(kinds)}) {
        const { Mine } = await importUserModule(${JSON.stringify(home)} + '/my-env.' + kind, 'environment');
        try { new Mine().step(1); } catch (error) { console.log(describeError(error)); }
      }
      const threads = await envs.makeWorkerVec(${JSON.stringify(home)} + '/my-env.ts:Minets-v0', 2, {}, { workers: 2 });
      await threads.reset({ seed: 1 });
      await threads.step([0, 1]).catch((error) => console.log(describeError(error)));
      await threads.close();`);
    expect(output.match(/my-env\.\w+:\d+/g)).toEqual([...kinds, 'ts'].map((kind) => `my-env.${kind}:${line}`));
    expect(output).toMatch(/^no such door\n {2}at .*my-env\.ts:10:\d+$/m);
  });

  it('tells the causes of an error and the line, whatever was called', async () => {
    await write(
      join(home, 'far.ts'),
      `interface Batch { signal: AbortSignal }
      export default async function far({ signal }: Batch): Promise<number[]> {
        const answer = await fetch('http://127.0.0.1:' + process.env.CLOSED_PORT, { signal });
        return await answer.json();
      }`,
    );
    await write(
      join(home, 'my-agent.ts'),
      `type Spaces = Record<string, unknown>;
      class Mine { act(): never { return (undefined as never as Spaces).actions as never; } }
      export default { name: 'mine', make: (): Mine => new Mine() };`,
    );
    const output = await run(`
      const { createServer } = await import('node:net');
      const server = createServer().listen(0);
      await new Promise((done) => server.on('listening', done));
      process.env.CLOSED_PORT = server.address().port;
      await new Promise((done) => server.close(done));
      const { default: score } = await importUserModule(${JSON.stringify(home)} + '/far.ts', 'reward');
      const batch = { images: { data: new Uint8Array(3), shape: [1, 1, 1, 3] }, prompts: ['p'] };
      await scoreImages(score, batch).catch((error) => console.log(describeError(error)));
      const { default: agent } = await importUserModule(${JSON.stringify(home)} + '/my-agent.ts', 'agent');
      try { agent.make().act(); } catch (error) { console.log(describeError(error)); }`);
    expect(output.replace(/\S*\/(?=far|my-agent)/g, '')).toMatch(
      /^reward `far`: .*: fetch failed\n {2}caused by: .*ECONNREFUSED 127\.0\.0\.1:\d+\n {2}at far\.ts:3:24\nCannot read .*\n {2}at my-agent\.ts:2:\d+$/,
    );
  });

  it('says what is wrong with a file, and where', async () => {
    const files = {
      'broken.ts': 'const a: number = 1;\nexport default (;\n',
      'broken.js': 'const a = 1;\nexport default (;\n',
      'imports-broken.mjs': 'import "./broken.js";\n',
      'throws.ts': 'interface Gone {}\n\nthrow new Error("no key");',
      'throws.mjs': '\nthrow new Error("no key");',
      'lacks.mjs': '\nimport { nothing } from "./my-env.mjs";\n',
      'missing.ts': 'import { a } from "./not-there.js";\nexport default a;',
      'wrong.ts': 'import { Box, register } from "denoise-gym/envs";\nregister({ id: "Wrong-v0" });',
    };
    for (const [name, text] of Object.entries(files)) await write(join(home, name), text);
    const output = await run(`
      for (const name of ${JSON.stringify(Object.keys(files))})
        await importUserModule(${JSON.stringify(home)} + '/' + name, 'agent').catch((error) =>
          console.log(error.code, error.cause.constructor.name, error.message));`);
    const lines = output.split('\n').map((text) => text.replaceAll(`${home}/`, ''));
    const place = (file: string) => `\\(at .*${file}\\)$`;
    [
      /^E_FILE SyntaxError agent broken\.ts: cannot be loaded: .*broken\.ts:2:17: Expression expected\.$/,
      new RegExp(`^E_FILE SyntaxError agent broken\\.js: .* Unexpected token ';' ${place('broken\\.js:2')}`),
      new RegExp(`^E_FILE SyntaxError agent imports-broken\\.mjs: .* Unexpected token ';' ${place('broken\\.js:2')}`),
      new RegExp(`^E_FILE Error agent throws\\.ts: cannot be loaded: no key ${place('throws\\.ts:3:7')}`),
      new RegExp(`^E_FILE Error agent throws\\.mjs: cannot be loaded: no key ${place('throws\\.mjs:2:7')}`),
      new RegExp(
        `^E_FILE SyntaxError agent lacks\\.mjs: .*does not provide an export named 'nothing' ${place('lacks\\.mjs:2')}`,
      ),
      /^E_FILE Error agent missing\.ts: cannot be loaded: Cannot find module .*not-there\.js.* imported from .*missing\.ts/,
      new RegExp(
        `^E_FILE GymError agent wrong\\.ts: cannot be loaded: register Wrong-v0: .* ${place('wrong\\.ts:2:1')}`,
      ),
    ].forEach((pattern, i) => {
      expect(lines[i]).toMatch(pattern);
    });
    expect(lines).toHaveLength(Object.keys(files).length);
  });

  it('finds a package from where the user works', async () => {
    const name = `a-plugin-${way}`;
    const packages = way === 'installed' ? join(home, 'node_modules') : resolve('node_modules');
    try {
      await write(join(packages, name, 'package.json'), '{ "type": "module", "exports": "./index.js" }');
      await write(
        join(packages, name, 'index.js'),
        `import { Discrete, register } from 'denoise-gym/envs';
        register({ id: 'Plugin-v0', description: 'x', create: () => ({ observationSpace: new Discrete(2), actionSpace: new Discrete(2),
          reset: () => ({ observation: 0, info: {} }), step() {} }) });`,
      );
      expect(await run(`console.log((await envs.make('${name}:Plugin-v0')).spec.id)`)).toBe('Plugin-v0');
    } finally {
      await rm(join(packages, name), { recursive: true });
    }
  });
});

it("a program in a clone means the sources by the package's name", async () => {
  await mkdir('.cache', { recursive: true });
  const place = await mkdtemp(resolve('.cache/program-')); // a folder that git ignores
  try {
    const program = await write(
      join(place, 'program.ts'),
      `import { make } from 'denoise-gym/envs';
      import { make as same } from '../../envs/index.js';
      console.log(make === same as boolean);`,
    );
    expect((await exec(process.execPath, ['--import', './register.mjs', program])).stdout.trim()).toBe('true');
  } finally {
    await rm(place, { recursive: true });
  }
});

it('says what to install where nothing reads TypeScript', async () => {
  await build('bare/node_modules/denoise-gym');
  for (const name of ['seedrandom', 'sharp'])
    await symlink(resolve('node_modules', name), join(folder, 'bare/node_modules', name));
  await write('bare/my-env.ts', 'export default 3 as number;');
  const { stdout } = await exec(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `const { importUserModule } = await import('./node_modules/denoise-gym/dist/core/user-module.js');
      console.log(await importUserModule('./my-env.ts', 'environment').then((module) => module.default, (error) => error.message));`,
    ],
    { cwd: join(folder, 'bare') },
  );
  const reads = (process.features as { typescript?: unknown }).typescript;
  expect(stdout.trim()).toMatch(
    reads ? /^3$/ : /^environment \.\/my-env\.ts: cannot be loaded: .*`npm install --save-dev typescript`/,
  );
});
