import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import module, { isBuiltin } from 'node:module';
import { basename, dirname, extname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { GymError, messageOf, nearest, pathFromHere, userFrame } from './errors.js';
import { shownName } from './shown.js';

const extensions = ['.ts', '.mts', '.js', '.mjs', '.cjs'];

/**
 * Whether a text means a file of the user's own, and not the name of something registered or of a package: it begins as a
 * path does (`./`, `../`, `/`, `C:\`), or it ends as a module does (`my-env.ts`).
 */
export function isModulePath(text: string): boolean {
  return /^(\.{0,2}[\\/]|[A-Za-z]:[\\/])/.test(text) || extensions.includes(extname(text));
}

/**
 * Imports a module that the user names: the one way in which this package loads rewards, environments and agents from a
 * user's own files. TypeScript (`.ts`, `.mts`; types are stripped, not checked) and JavaScript (`.js`, `.mjs`, `.cjs`) load
 * alike, whether this package runs from its sources, was built, or is installed, and in worker threads too. A `.ts`, and a
 * `.js` written as one, is an ES module whatever `package.json` says. `denoise-gym` and its subpaths mean, in that file
 * and in what it imports, the copy of this package that is running.
 *
 * @param name the path of a file, from the working directory or absolute; or the name of a package, which is looked for
 *   from the working directory. No URL: a configuration file must not be able to bring code along.
 * @param purpose what the module is to hold, with which errors begin: `reward`, `environment`, `agent`.
 * @returns what the module exports.
 * @throws GymError E_FILE when the file is missing (with the nearest one beside it), is a folder or no module, cannot be
 *   parsed (with the line), throws while it is loaded (with the user's own line, and what it threw as `cause`), or is
 *   TypeScript and nothing here can read that; E_NAME when the text is a URL or no name of a package that can be imported.
 */
export async function importUserModule(name: string, purpose: string): Promise<Record<string, unknown>> {
  const place = `${purpose} ${shownName(name)}`;
  if (/^[a-z][a-z\d+.-]+:/i.test(name))
    throw new GymError('E_NAME', `${place}: URLs are not imported; give the path of a file or the name of a package.`);
  const file = isModulePath(name) ? moduleFile(place, name) : undefined;
  if (file === undefined) checkPackageName(place, name);
  registerHooks();
  try {
    return (await import(file === undefined ? name : pathToFileURL(file).href)) as Record<string, unknown>;
  } catch (error) {
    const why = file === undefined ? messageOf(error) : await explain(error, file);
    throw new GymError(file === undefined ? 'E_NAME' : 'E_FILE', `${place}: cannot be loaded: ${why}`, {
      cause: error,
    });
  }
}

/** The file that a path means. */
function moduleFile(place: string, path: string): string {
  const file = resolve(path);
  const folder = dirname(file);
  let stat: Stats | undefined;
  try {
    stat = statSync(file, { throwIfNoEntry: false });
  } catch (error) {
    // A name that the system does not take: too long, or with a zero in it.
    throw new GymError('E_FILE', `${place}: cannot be looked for: ${messageOf(error)}; check the path.`, {
      cause: error,
    });
  }
  if (stat?.isDirectory())
    throw new GymError('E_FILE', `${place}: this is a folder; give the path of the file in it that is meant.`);
  if (stat === undefined) {
    if (!existsSync(folder)) throw new GymError('E_FILE', `${place}: there is no folder ${folder}; check the path.`);
    const guess = nearest(
      basename(file),
      readdirSync(folder).filter((name) => extensions.includes(extname(name))),
    );
    const hint = guess ? `did you mean ${guess}?` : 'check the path.';
    throw new GymError('E_FILE', `${place}: there is no such file in ${folder}; ${hint}`);
  }
  if (!extensions.includes(extname(file)))
    throw new GymError(
      'E_FILE',
      `${place}: a file that ends in ${JSON.stringify(extname(file))} is no module; use one of ${extensions.join(', ')}.`,
    );
  return file;
}

function checkPackageName(place: string, name: string): void {
  if (!/^(@[\w.~-]+\/)?\w[\w.~-]*(\/[\w.~-]+)*$/.test(name))
    throw new GymError(
      'E_NAME',
      `${place}: this is no name of a package; the path of a file begins with ./ or / and ends in one of ${extensions.join(', ')}.`,
    );
  if (isBuiltin(name))
    throw new GymError('E_NAME', `${place}: this is a part of Node; give the path of a file or the name of a package.`);
}

let hooked = false;

/** Registers the module hooks, once in each thread. */
function registerHooks(): void {
  if (hooked) return;
  hooked = true;
  // Stacks then name the lines that the user wrote.
  process.setSourceMapsEnabled(true);
  try {
    // The hooks lie beside this file, compiled (.js) or not (.ts) as this file is.
    module.register(`./user-module-hooks${extname(new URL(import.meta.url).pathname)}`, import.meta.url);
  } catch (error) {
    // A test runner that transforms the sources of this package by itself (vitest) loads the user's modules, too.
    if ((error as NodeJS.ErrnoException).code !== 'ERR_UNKNOWN_FILE_EXTENSION') throw error;
  }
}

/** What went wrong while a file was loaded, with file and line. */
async function explain(error: unknown, file: string): Promise<string> {
  if ((error as NodeJS.ErrnoException)?.code === 'ERR_UNKNOWN_FILE_EXTENSION' && messageOf(error).includes('ts'))
    return `Node ${process.versions.node} cannot read TypeScript by itself; run \`npm install --save-dev typescript\`, or use Node 22.18 or later, or write the file in JavaScript (.mjs).`;
  const message = messageOf(error);
  const line = error instanceof SyntaxError ? await syntaxErrorLine(error, file) : userFrame(error);
  return line === undefined || message.includes(line) ? message : `${message} (at ${line})`;
}

/** Where a file, or one that it imports by a relative path, cannot be parsed: `/home/me/my-env.js:3`. */
async function syntaxErrorLine(error: SyntaxError, file: string): Promise<string | undefined> {
  // An import of what is not exported: Node puts the place before the stack, though not into the message.
  const [, place] = /^((?:file:|\/|[A-Z]:\\).*:\d+)\n/.exec(error.stack ?? '') ?? [];
  if (place !== undefined) return pathFromHere(place.startsWith('file:') ? fileURLToPath(place) : place);
  // Other errors of syntax do not know their place once they are caught. A Node that only checks the file prints it.
  const seen = new Set<string>();
  const find = async (path: string): Promise<string | undefined> => {
    if (seen.has(path) || !/\.m?js$/.test(path) || !existsSync(path)) return undefined;
    seen.add(path);
    const source = readFileSync(path, 'utf8');
    const line = await checkedLine(source);
    if (line !== undefined) return `${pathFromHere(path)}:${line}`;
    for (const [, imported] of source.matchAll(/(?:from|import)\s*\(?\s*['"](\.[^'"]*)['"]/g)) {
      const found = await find(resolve(dirname(path), imported!));
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return await find(file);
}

/** The line on which the source of an ES module cannot be parsed, as another Node finds it. */
async function checkedLine(source: string): Promise<string | undefined> {
  const node = spawn(process.execPath, ['--check', '--input-type=module', '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
  let printed = '';
  node.stderr.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  node.stdin.on('error', () => {}).end(source); // it may end before it has read everything
  await new Promise((done) => node.on('close', done).on('error', done));
  return /^\[stdin\]:(\d+)$/m.exec(printed)?.[1];
}
