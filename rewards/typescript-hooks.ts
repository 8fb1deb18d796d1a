// Module hooks (https://nodejs.org/api/module.html#customization-hooks) that let plain Node load a user's TypeScript
// reward and what it imports by relative paths. They run in Node's loader thread, registered by user-file.ts.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire, type LoadHook, type ResolveHook } from 'node:module';
import { fileURLToPath } from 'node:url';
import type TypeScript from 'typescript';

let typescript: typeof TypeScript;
let marker: string;

export function initialize(data: { compiler: string; marker: string }): void {
  typescript = createRequire(data.compiler)(data.compiler) as typeof TypeScript;
  marker = data.marker;
}

/** A marked file's relative imports of TypeScript are marked too; `./x.js` may mean `./x.ts`, as in TypeScript itself. */
export const resolve: ResolveHook = (specifier, context, next) => {
  if (context.parentURL?.endsWith(marker) && /^\.{1,2}\//.test(specifier)) {
    const url = new URL(specifier, context.parentURL);
    for (const candidate of [url.href, url.href.replace(/\.(m?)js$/, '.$1ts')])
      if (/\.m?ts$/.test(candidate) && existsSync(fileURLToPath(candidate)))
        return { url: candidate + marker, format: 'module', shortCircuit: true };
  }
  if (/\.m?ts$/.test(specifier.replace(marker, '')) && specifier.endsWith(marker))
    return { url: specifier, format: 'module', shortCircuit: true };
  return next(specifier, context);
};

export const load: LoadHook = (url, context, next) => {
  if (!url.endsWith(marker)) return next(url, context);
  const fileName = fileURLToPath(url.slice(0, -marker.length));
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
