// Module hooks (https://nodejs.org/api/module.html#customization-hooks) for the modules that a user names by their path and
// for what these import by relative paths. They run in Node's loader thread, where user-module.ts registers them, and do
// three things: they let `denoise-gym` mean the copy of this package that is running, compile TypeScript, and take a `.js`
// file for what its syntax says that it is. Everything else is left to Node and to the hooks that were there before.
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { createRequire, type LoadHook, type ModuleFormat, type ResolveHook } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { compileFunction } from 'node:vm';
import type TypeScript from 'typescript';

/** `.ts` where this package runs from its sources, `.js` where it was built. */
const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
/** The folder of this package's modules: that of the repository, or `dist/`. */
const root = new URL('../', import.meta.url);
/** The module whose `import()` names a user's module. */
const importer = new URL(`./user-module${extension}`, import.meta.url).href;

const description = [new URL('package.json', root), new URL('../package.json', root)].find((url) => existsSync(url))!;
const { name: packageName, exports: subpaths } = JSON.parse(readFileSync(description, 'utf8')) as {
  name: string;
  exports: Record<string, string | { default: string }>;
};

/** The URLs of the user's modules. A module that one of them imports by a relative path is one of them, too. */
const userModules = new Set<string>();

/** The module of this package that `denoise-gym` or `denoise-gym/envs` names; undefined for any other name. */
function ownModule(specifier: string): string | undefined {
  if (specifier !== packageName && !specifier.startsWith(`${packageName}/`)) return undefined;
  const target = subpaths[`.${specifier.slice(packageName.length)}`];
  if (typeof target !== 'object') return undefined;
  return new URL(target.default.replace(/^\.\/dist\//, './').replace(/\.js$/, extension), root).href;
}

/** The file that a user's module means by a path: `./x.js` may mean `./x.ts`, as in TypeScript itself. */
function userFile(specifier: string, parent: string): URL | undefined {
  const url = new URL(specifier, parent);
  const asTypeScript = new URL(url);
  asTypeScript.pathname = url.pathname.replace(/\.(m?)js$/, '.$1ts');
  const found = [url, asTypeScript].find((candidate) => existsSync(fileURLToPath(candidate)));
  if (found === undefined || !/\.(m?[jt]s|cjs)$/.test(found.pathname)) return undefined;
  const real = pathToFileURL(realpathSync(fileURLToPath(found)));
  real.search = url.search;
  return real;
}

/** How Node is to read a file; undefined for TypeScript that at most another loader knows how to read. */
function formatOf(path: string): ModuleFormat | undefined {
  if (path.endsWith('ts')) {
    if (compilerFor(path)) return 'module';
    const strips = 'typescript' in process.features && process.features.typescript; // Node 22.18 and later
    return strips ? ('module-typescript' as ModuleFormat) : undefined;
  }
  if (path.endsWith('.mjs')) return 'module';
  if (path.endsWith('.cjs')) return 'commonjs';
  // The nearest package.json may say anything: `npm init` writes "type": "commonjs", and a lone file has none.
  try {
    compileFunction(readFileSync(path, 'utf8'), ['exports', 'require', 'module', '__filename', '__dirname']);
    return 'commonjs';
  } catch {
    return 'module'; // what is neither is told of when Node reads it
  }
}

const compilers = new Map<string, typeof TypeScript>();

/** The TypeScript of the user's project, else of this package. */
function compilerFor(path: string): typeof TypeScript | undefined {
  for (const from of [path, import.meta.url]) {
    try {
      const require = createRequire(from);
      const place = require.resolve('typescript');
      const compiler = compilers.get(place) ?? (require(place) as typeof TypeScript);
      compilers.set(place, compiler);
      // TypeScript 7 has no JavaScript interface.
      if (typeof compiler.transpileModule === 'function') return compiler;
    } catch {
      // TypeScript is not installed there; the next place may have it.
    }
  }
  return undefined;
}

export const resolve = async (
  ...[specifier, context, next]: Parameters<ResolveHook>
): Promise<Awaited<ReturnType<ResolveHook>>> => {
  const own = ownModule(specifier);
  if (own !== undefined) return { url: own, format: 'module', shortCircuit: true };

  const { parentURL = '' } = context;
  const named = parentURL === importer && specifier.startsWith('file:');
  if (named || (userModules.has(parentURL) && /^(\.{0,2}\/|file:)/.test(specifier))) {
    const url = userFile(specifier, parentURL);
    if (url === undefined) return next(specifier, context);
    const format = formatOf(fileURLToPath(url));
    const resolved = format === undefined ? await next(url.href, context) : { url: url.href, format };
    userModules.add(resolved.url);
    return { ...resolved, shortCircuit: true };
  }
  if (parentURL === importer && !/^(\.|node:)/.test(specifier)) {
    // A package that the user names is looked for where the user works, then where this package is installed.
    const here = pathToFileURL(`${process.cwd()}/`).href;
    try {
      return await next(specifier, { ...context, parentURL: here });
    } catch {
      return next(specifier, context);
    }
  }
  return next(specifier, context);
};

export const load: LoadHook = async (url, context, next) => {
  if (!userModules.has(url)) return next(url, context);
  const fileName = fileURLToPath(url);
  const typescript = /\.m?ts$/.test(fileName) ? compilerFor(fileName) : undefined;
  if (typescript === undefined) return next(url, context);
  const { outputText, diagnostics = [] } = typescript.transpileModule(readFileSync(fileName, 'utf8'), {
    fileName,
    reportDiagnostics: true,
    compilerOptions: {
      target: typescript.ScriptTarget.ES2022,
      module: typescript.ModuleKind.ESNext,
      inlineSourceMap: true,
    },
  });
  const [error] = diagnostics;
  if (error) {
    const { line, character } = error.file!.getLineAndCharacterOfPosition(error.start!);
    const message = typescript.flattenDiagnosticMessageText(error.messageText, '\n');
    throw new SyntaxError(`${fileName}:${line + 1}:${character + 1}: ${message}`);
  }
  return { format: 'module', source: outputText, shortCircuit: true };
};
