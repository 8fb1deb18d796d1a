// Compiles the two libraries of the native backend, and the test program of the operations in this folder.
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { arch, cpus, platform, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findTools, lastLines, NativeError, run } from './tools.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const mac = platform() === 'darwin';

/**
 * The operations are compiled for the processor of this machine, on which they run. Nothing is assumed about NaN and
 * infinity; that a product and a sum are one instruction is allowed.
 */
const operationFlags = [
  ...['-std=c++17', '-O3', '-fno-math-errno', '-fno-trapping-math', '-ffp-contract=fast', '-Wall', '-Wextra'],
  ...[arch() === 'arm64' ? '-mcpu=native' : '-march=native', '-Wno-psabi', '-I', here],
];

/** What a library needs that Node loads and that calls TensorFlow. `headers` is the folder of node_api.h. */
const libraryFlags = (headers, output) => [
  ...['-fPIC', '-shared', '-DNAPI_VERSION=8', '-I', headers, '-I', 'deps/include', '-o', output],
  ...['-L', 'deps/lib', '-ltensorflow', '-ltensorflow_framework'],
  `-Wl,-rpath,${mac ? '@loader_path' : '$ORIGIN'}/../../deps/lib`,
  ...(mac ? ['-undefined', 'dynamic_lookup'] : []),
];

async function compile(compiler, args, cwd) {
  const result = await run(compiler, args, { cwd });
  if (!result.ok) throw new NativeError(`${compiler} failed:\n${lastLines(result.output, 30)}`);
}

/** Compiles the addon of tfjs-node in its folder. */
export function compileAddon(compiler, packageFolder, headers, output) {
  const sources = ['binding/tfjs_backend.cc', 'binding/tfjs_binding.cc'];
  return compile(compiler, ['-std=c++17', '-O2', '-w', ...sources, ...libraryFlags(headers, output)], packageFolder);
}

/** Compiles the operations of this folder into a library that is loaded after the addon. */
export function compileOperations(compiler, packageFolder, headers, output) {
  const source = join(here, 'operations.cc');
  return compile(compiler, [...operationFlags, source, ...libraryFlags(headers, output)], packageFolder);
}

/** The names of the library of the operations, and of the file beside it that says from what it was compiled. */
export const operationsLibrary = 'denoise_gym_operations.node';
export const operationsStamp = 'denoise_gym_operations.txt';

/** A text that changes with the sources of the operations, with how they are compiled, and with the processor. */
export function operationsHash() {
  const flags = operationFlags.filter((flag) => flag !== here).join(' ');
  const hash = createHash('sha256').update(`${flags} ${cpus()[0]?.model}`);
  for (const name of readdirSync(here).sort())
    if (/\.(h|cc)$/.test(name) && name !== 'test.cc') hash.update(name).update(readFileSync(join(here, name)));
  return hash.digest('hex').slice(0, 16);
}

/**
 * Compiles the test program, which compares each operation with plain loops, with AddressSanitizer and
 * UndefinedBehaviorSanitizer, and runs it.
 * @returns what it prints
 */
export async function sanitize() {
  const { compiler } = await findTools({});
  const folder = mkdtempSync(join(tmpdir(), 'operations-'));
  try {
    const program = join(folder, 'test');
    const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-O1', '-g'];
    await compile(compiler, [...operationFlags, ...sanitizers, join(here, 'test.cc'), '-o', program], here);
    const result = await run(program, []);
    if (!result.ok) throw new NativeError(`the test of the operations failed:\n${lastLines(result.output, 40)}`);
    return result.output;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    process.stdout.write(await sanitize());
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
    console.error(`native backend: ${error.message}`);
    process.exitCode = 1;
  }
}
