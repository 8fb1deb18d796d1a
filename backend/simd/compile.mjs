// Compiles kernels.as and what it imports (AssemblyScript) into kernels.ts, which is kept in the repository. Run as `npm run simd`.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';

const target = fileURLToPath(new URL('./kernels.ts', import.meta.url));

/** Compiles kernels.as. @returns {Promise<string>} the text of kernels.ts */
export async function compileSimd() {
  let binary;
  const flags = ['--importMemory', '--noExportMemory', '--runtime', 'stub', '-O3', '--noAssert'];
  flags.push('--enable', 'simd', '--enable', 'relaxed-simd');
  const { error, stderr } = await asc.main(['kernels.ts', '--outFile', 'kernels.wasm', ...flags], {
    // The compiler asks for the extension .ts, with which editors would take the file for TypeScript.
    readFile: (name) => {
      const file = fileURLToPath(new URL(name.replace(/\.ts$/, '.as'), import.meta.url));
      return name.endsWith('.ts') && existsSync(file) ? readFileSync(file, 'utf8') : null;
    },
    writeFile: (name, contents) => {
      if (name.endsWith('.wasm')) binary = contents;
    },
    listFiles: () => [],
  });
  if (error) throw new Error(`${error.message}\n${stderr}`);
  const lines = Buffer.from(binary)
    .toString('base64')
    .match(/.{1,110}/g);
  return [
    '// Compiled from kernels.as by `npm run simd`; not to be edited.',
    '/** A WebAssembly module, in base64. */',
    'export const simdKernels = [',
    ...lines.map((line) => `  '${line}',`),
    "].join('');",
    '',
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(target, await compileSimd());
