import { mkdtemp, readFile, realpath } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Command, type Page, pageNames, readPage } from './blocks.js';
import { Homes, shell, ways } from './homes.js';

// Every block of code of README.md and docs/ is run: its commands, its programs, and with each file of a user's own the
// commands that name it, from a clone, after a build, and with the package installed.

const pages = pageNames.map((name) => readPage(name));

// Most of a test's time may go by while others are run.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

let homes: Homes;
beforeAll(async () => {
  homes = new Homes(await realpath(await mkdtemp(join(tmpdir(), 'docs-'))));
});
afterAll(() => homes.remove());

const ownFiles = (page: Page) =>
  Object.fromEntries(page.programs.filter(({ named }) => named).map(({ file, source }) => [file, source]));

/** Runs commands one after another, as a reader of the page would. */
async function runAll(commands: readonly Command[], { folder, cli }: { folder: string; cli: string }): Promise<void> {
  for (const { place, args, added } of commands)
    await shell(`${cli} ${args} ${added}`, folder).catch((error: Error) => {
      throw new Error(`${place}: ${error.message}`);
    });
}

describe.concurrent('commands', () => {
  for (const page of pages) {
    const own = page.commands.filter(({ ownFile }) => ownFile);
    for (const way of own.length > 0 ? ways : [])
      it(`${page.name}: those that name a file of the user, ${way}`, async () =>
        runAll(own, await homes.home(way, `${page.name}-own`, ownFiles(page))));

    const others = [...page.configs.map(({ command }) => command), ...page.commands.filter(({ ownFile }) => !ownFile)];
    const configs = Object.fromEntries(page.configs.map(({ file, source }) => [file, source]));
    if (others.length > 0)
      it(`${page.name}: the others`, async () => runAll(others, await homes.home('build', page.name, configs)));
  }
});

it('each file of a user is named by a command of its page, or imported by a program of it', () => {
  for (const page of pages)
    for (const { file, place } of page.programs.filter(({ named }) => named)) {
      const stem = `./${file.replace(/\.m?[jt]s$/, '')}.`;
      const used = page.commands.some(({ args }) => args.includes(`./${file}`));
      expect(used || page.programs.some(({ source }) => source.includes(stem)), place).toBe(true);
    }
});

describe('programs', () => {
  /** Where they lie, compiled, and what the compiler said. */
  let out: string;
  let findings: string[];

  beforeAll(async () => {
    const project = await homes.project();
    out = join(project, 'out');
    const files: string[] = [];
    for (const page of pages) {
      const { folder } = await homes.home(
        'installed',
        `${page.name}-programs`,
        Object.fromEntries(page.programs.map(({ file, source }) => [file, source])),
      );
      files.push(...page.programs.map(({ file }) => join(folder, file)));
    }
    const program = ts.createProgram(files, {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.NodeNext,
      strict: true,
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
      verbatimModuleSyntax: true,
      skipLibCheck: true,
      types: ['node'],
      typeRoots: [join(project, 'node_modules/@types')],
      rootDir: project,
      outDir: out,
      allowJs: true,
      checkJs: true,
    });
    const { diagnostics } = program.emit();
    findings = ts.sortAndDeduplicateDiagnostics([...ts.getPreEmitDiagnostics(program), ...diagnostics]).map((d) => {
      const { line, character } = d.file?.getLineAndCharacterOfPosition(d.start!) ?? { line: 0, character: 0 };
      const name = d.file?.fileName.slice(project.length + 1) ?? '';
      return `${name}:${line + 1}:${character + 1}: ${ts.flattenDiagnosticMessageText(d.messageText, '\n')}`;
    });
  });

  it('type-check', () => {
    expect(findings).toEqual([]);
  });

  describe.concurrent('run', () => {
    for (const page of pages)
      for (const { place, file } of page.programs.filter(({ named }) => !named))
        it(place, async () => {
          const folder = join(out, `${page.name.replace(/.*\/|\.md$/g, '')}.md-programs-installed`);
          const compiled = file.replace(/ts$/, 'js');
          const suites = `${process.execPath} ${resolve('node_modules/vitest/vitest.mjs')} run --root . ${compiled}`;
          await shell(compiled.includes('.test.') ? suites : `node ${compiled}`, folder);
        });
  });
});

describe.concurrent('the installed package', () => {
  const run = async (name: string, program: string) => {
    const { folder } = await homes.home('installed', name, { 'program.js': program });
    return (await shell('node program.js', folder)).trim();
  };

  it('has every subpath', async () => {
    const { exports } = JSON.parse(await readFile('package.json', 'utf8'));
    const names = Object.keys(exports)
      .filter((subpath) => !subpath.endsWith('.json'))
      .map((subpath) => `denoise-gym${subpath.slice(1)}`);
    const program = `for (const name of ${JSON.stringify(names)})
      console.log(name, Object.keys(await import(name)).length > 0);`;
    expect((await run('subpaths', program)).split('\n')).toEqual(names.map((name) => `${name} true`));
  });

  it('loads no TensorFlow.js with its environments', async () => {
    const program = `import { createRequire } from 'node:module';
      import 'denoise-gym/envs';
      const loaded = Object.keys(createRequire(import.meta.url).cache).filter((file) => file.includes('tensorflow'));
      console.log(loaded.length, globalThis._tfengine === undefined);`;
    expect(await run('light', program)).toBe('0 true');
  });

  it('trains for the reward of the example', async () => {
    const example = await readFile('examples/my-reward.ts', 'utf8');
    const small = `name: 'redness', samplesPerEpoch: 8, numEnvs: 8, sampling: { steps: 4 }, evaluation: { samples: 8 }`;
    const { folder } = await homes.home('installed', 'example', {
      'my-reward.ts': example.replace("name: 'redness'", small),
    });
    const options = '--target es2022 --module nodenext --strict --skipLibCheck --types node';
    await shell(`npx tsc --ignoreConfig ${options} my-reward.ts`, folder);
    expect(await shell('node my-reward.js 1', folder)).toMatch(/epoch 1[\s\S]*open runs\/redness\/report.html/);
    expect(await readFile(join(folder, 'runs/redness/report.html'), 'utf8')).toContain('redness');
  });
});
