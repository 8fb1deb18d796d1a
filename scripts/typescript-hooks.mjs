// Module hooks (https://nodejs.org/api/module.html#customization-hooks) that let Node run this repository's TypeScript.
// ts-node transpiles; what it made of a file is kept in node_modules/.cache, so that a process that finds all of its
// modules there never loads the compiler: that takes two seconds of CPU and 100 MB, in each process and worker thread.
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = new URL('../', import.meta.url);
const cache = new URL('node_modules/.cache/denoise-gym/transpiled/', root);
const configuration = new URL('tsconfig.json', root);

const versionOf = (name) =>
  JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, root), 'utf8')).version;
/** Everything but the source that decides what comes out: a kept file is of use only where this is the same. */
const settings = [versionOf('typescript'), versionOf('ts-node'), readFileSync(configuration, 'utf8')].join('\n');

const isTypeScript = (url) => /^file:[^?]*\.ts(\?|$)/.test(url) && !url.includes('/node_modules/');

/** In TypeScript `./x.js` also names the file `x.ts`; no other extension is guessed. */
export async function resolve(specifier, context, next) {
  if (/^(\.{0,2}\/|file:)/.test(specifier)) {
    const url = new URL(specifier, context.parentURL);
    const asTypeScript = new URL(url);
    asTypeScript.pathname = url.pathname.replace(/\.js$/, '.ts');
    if (
      isTypeScript(asTypeScript.href) &&
      existsSync(asTypeScript) &&
      (url.href === asTypeScript.href || !existsSync(url))
    )
      return { url: asTypeScript.href, format: 'module', shortCircuit: true };
  }
  return next(specifier, context);
}

export async function load(url, context, next) {
  if (!isTypeScript(url)) return next(url, context);
  const path = fileURLToPath(url);
  const source = readFileSync(path, 'utf8');
  // A program elsewhere, which a test has written, will hardly be run again.
  const code = url.startsWith(root.href) ? await kept(path, source) : await transpiled(path, source);
  return { format: 'module', source: code, shortCircuit: true };
}

/** What ts-node makes of a file of this repository: from the cache, if it was made of the same source. */
async function kept(path, source) {
  const hash = (text) => createHash('sha256').update(text).digest('hex');
  // One entry for each file, so that the cache does not grow; its last line says of what it was made.
  const entry = new URL(`${hash(path)}.js`, cache);
  const mark = `\n//# ${hash(`${settings}\n${source}`)}`;
  try {
    const found = readFileSync(entry, 'utf8');
    if (found.endsWith(mark)) return found.slice(0, -mark.length);
  } catch {
    // It is not there yet, or cannot be read: it is made again.
  }
  const code = await transpiled(path, source);
  const temporary = new URL(`${randomBytes(8).toString('hex')}.tmp`, cache);
  try {
    mkdirSync(cache, { recursive: true });
    writeFileSync(temporary, code + mark);
    // Another process reads the old entry or the whole new one, never a part.
    renameSync(temporary, entry);
  } catch {
    // Where nothing can be written (a read-only copy, a full disk) the next process transpiles again.
    try {
      rmSync(temporary, { force: true });
    } catch {
      // Then it was not written either.
    }
  }
  return code;
}

let compiler;

/** The source in JavaScript, with its source map. */
async function transpiled(path, source) {
  compiler ??= import('ts-node').then(({ default: { create } }) =>
    create({ project: fileURLToPath(configuration), cwd: fileURLToPath(root) }),
  );
  const { compile } = await compiler;
  try {
    return compile(source, path);
  } catch (error) {
    // ts-node's own kind of error loses its text on the way out of the thread of the hooks.
    throw new SyntaxError(error.message);
  }
}
