import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import * as tf from '@tensorflow/tfjs';
import { GymError, messageOf } from '../core/errors.js';
import { useOneDnn } from './native-convolutions.js';
import { registerNativeKernels } from './native-kernels.js';
import type { NativeBackend } from './native-operations.js';

const packageName = '@tensorflow/tfjs-node-gpu';
const packageVersion = '4.22.0';
const here = fileURLToPath(import.meta.url);

/** What {@link loadNative} has loaded. */
export interface NativeInfo {
  /** TensorFlow's version. */
  version: string;
  threads: number;
  /** Whether convolutions run on oneDNN; if not, they run on Eigen. */
  onednn: boolean;
  /** The addon's path. */
  addon: string;
}

let loaded: NativeInfo | undefined;

/**
 * Loads the addon of `@tensorflow/tfjs-node-gpu` and makes it the active backend, with its convolutions on oneDNN where
 * this TensorFlow has it.
 * @throws Error that says what is missing: the package, its addon, or a library that the addon needs
 */
export async function loadNative(): Promise<NativeInfo> {
  if (!loaded) {
    prepareEnvironment();
    const { manifest, addon } = findAddon();
    const require = createRequire(manifest);
    loadAddon(addon, () => require(dirname(manifest)));
    await tf.setBackend('tensorflow');
    const backend = tf.backend() as NativeBackend;
    // On a GPU, TensorFlow's own kernels compute everything.
    const onCpu = !backend.binding.isUsingGpuDevice();
    if (onCpu) {
      const operations = await findOperations(dirname(addon));
      loadAddon(operations, () => require(operations));
      registerNativeKernels(backend);
    }
    loaded = {
      version: backend.binding.TF_Version,
      threads: Number(process.env.TF_NUM_INTRAOP_THREADS) || availableParallelism(),
      onednn: onCpu && useOneDnn(backend),
      addon,
    };
  }
  await tf.setBackend('tensorflow');
  return loaded;
}

/**
 * Finds the library of the operations in `native/` that build-native.mjs has put beside the addon.
 * @throws Error where there is none, or where it was compiled from other sources or for another processor
 */
async function findOperations(folder: string): Promise<string> {
  const { operationsHash, operationsLibrary, operationsStamp } = await importScript<{
    operationsHash(): string;
    operationsLibrary: string;
    operationsStamp: string;
  }>('native/compile.mjs');
  const [library, stamp] = [operationsLibrary, operationsStamp].map((name) => join(folder, name)) as [string, string];
  if (!existsSync(library) || !existsSync(stamp)) throw new Error('its operations are not built yet');
  if (readFileSync(stamp, 'utf8').trim() !== operationsHash())
    throw new Error('its operations were built from other sources or for another processor');
  return library;
}

/** Imports a script of the native build. The scripts lie beside the sources, and are not compiled into dist/. */
async function importScript<T>(name: string): Promise<T> {
  const script = [name, `../../backend/${name}`]
    .map((path) => join(dirname(here), path))
    .find((path) => existsSync(path));
  if (!script) throw new GymError('E_FILE', `native: backend/${name} is missing from the package; install it again.`);
  return (await import(pathToFileURL(script).href)) as T;
}

function loadAddon(path: string, load: () => void): void {
  try {
    load();
  } catch (error) {
    throw new Error(`the addon ${path} does not load (${messageOf(error).split('\n')[0]})`, { cause: error });
  }
}

/** Sets what must be set before the addon is loaded. An environment variable that has a value keeps it. */
function prepareEnvironment(): void {
  const { env } = process;
  env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  // `useOneDnn` calls oneDNN's convolutions by name, on every processor alike. This switch, whose default depends on
  // the processor, would make TensorFlow compute small matrix products on oneDNN too, which is slower, and print three
  // lines.
  env.TF_ENABLE_ONEDNN_OPTS ??= '0';
  // One thread: the other cores are the workers' (training/workers), and how a sum is split over threads changes its last
  // bits, which must not depend on the machine. TensorFlow reads the environment of the process, which a worker thread
  // cannot set; but it asks once a process, and the main thread, which loads this before it starts workers, can.
  env.TF_NUM_INTRAOP_THREADS ??= env.OMP_NUM_THREADS || '1';
  // tfjs-node calls two functions of `util` that Node 23 has no more.
  const util = createRequire(import.meta.url)('node:util') as Record<string, unknown>;
  util.isNullOrUndefined ??= (x: unknown) => x === null || x === undefined;
  util.isArray ??= Array.isArray;
}

/**
 * Finds the package.json of tfjs-node-gpu and its addon, from this package or from the project of the working
 * directory.
 */
function findAddon(): { manifest: string; addon: string } {
  for (const from of [here, join(process.cwd(), 'package.json')]) {
    const require = createRequire(from);
    let manifest: string;
    try {
      manifest = require.resolve(`${packageName}/package.json`);
    } catch {
      continue;
    }
    const nodePreGyp = createRequire(manifest)('@mapbox/node-pre-gyp') as { find(manifest: string): string };
    const addon = nodePreGyp.find(manifest);
    if (!existsSync(addon)) throw new Error('its addon is not built yet');
    return { manifest, addon };
  }
  throw new Error(`${packageName} is not installed`);
}

/** Tells people how to get the native backend; the command depends on whether this package is a clone or installed. */
export function howToGetNative(): string {
  if (!here.includes('node_modules')) return 'build it with `npm run native`';
  const installed = [here, join(process.cwd(), 'package.json')].some((from) => {
    try {
      return createRequire(from).resolve(`${packageName}/package.json`) !== '';
    } catch {
      return false;
    }
  });
  const install = `\`npm install --ignore-scripts ${packageName}@${packageVersion}\`, then `;
  return `build it with ${installed ? '' : install}\`npx denoise-gym native\``;
}

/** The options of {@link buildNative}. */
export interface NativeBuildOptions {
  /** Is told about each step. */
  log?: (line: string) => void;
  /** The path of a TensorFlow wheel, so that none is downloaded. */
  wheel?: string;
  /**
   * Whether the library that computes on NVIDIA's GPUs is taken. There, TensorFlow's own kernels compute everything. It is
   * not verified on a GPU.
   */
  gpu?: boolean;
}

/**
 * Builds the addon of the native backend and its operations (see build-native.mjs).
 * @throws GymError E_BACKEND that says what is missing and which command installs it
 */
export async function buildNative(options: NativeBuildOptions = {}): Promise<void> {
  const { buildNative: build } = await importScript<{
    buildNative(options: NativeBuildOptions): Promise<unknown>;
  }>('build-native.mjs');
  try {
    await build(options);
  } catch (error) {
    throw new GymError('E_BACKEND', `native: ${messageOf(error)}`, { cause: error });
  }
}
