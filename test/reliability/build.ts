import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import ts from 'typescript';
import { rooms } from '../../core/errors.js';

/**
 * Compiles the sources into a folder, without checking types: what is started hundreds of times should not be compiled
 * each time.
 * @returns the program of the command line.
 */
export async function build(folder: string): Promise<string> {
  const options = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true };
  const files = rooms.filter((room) => !room.includes('.') && room !== 'benchmarks' && room !== 'testing');
  for (const room of files)
    for (const entry of await readdir(room, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const from = join(entry.parentPath, entry.name);
      const to = join(folder, from);
      await mkdir(dirname(to), { recursive: true });
      if (!from.endsWith('.ts')) await cp(from, to);
      else {
        const { outputText } = ts.transpileModule(await readFile(from, 'utf8'), { compilerOptions: options });
        await writeFile(to.replace(/\.ts$/, '.js'), outputText);
      }
    }
  await cp('package.json', join(folder, 'package.json'));
  await symlink(resolve('node_modules'), join(folder, 'node_modules'));
  return join(folder, 'cli', 'main.js');
}
