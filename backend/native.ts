import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import * as tf from '@tensorflow/tfjs';
import { GymError, messageOf } from '../core/errors.js';
import { type ConvAttributes, convInfo, type KernelCall, registerKernel } from './kernels.js';

const packageName = '@tensorflow/tfjs-node-gpu';
const packageVersion = '4.22.0';
const here = fileURLToPath(import.meta.url);

/** The parts of tfjs-node's backend that are used here. */
interface NativeBackend extends tf.KernelBackend {
  readonly binding: Record<'TF_ATTR_TYPE' | 'TF_ATTR_INT' | 'TF_ATTR_STRING' | 'TF_ATTR_BOOL' | 'TF_FLOAT', number> & {
    readonly TF_Version: string;
    isUsingGpuDevice(): boolean;
  };
  executeSingleOutput(name: string, attributes: Attribute[], inputs: tf.TensorInfo[]): tf.Tensor;
}
type Attribute = { name: string; type: number; value: unknown };

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
    try {
      createRequire(manifest)(dirname(manifest));
    } catch (error) {
      throw new Error(`the addon ${addon} does not load (${messageOf(error).split('\n')[0]})`, { cause: error });
    }
    await tf.setBackend('tensorflow');
    const backend = tf.backend() as NativeBackend;
    loaded = {
      version: backend.binding.TF_Version,
      threads: Number(process.env.TF_NUM_INTRAOP_THREADS) || availableParallelism(),
      onednn: !backend.binding.isUsingGpuDevice() && useOneDnn(backend),
      addon,
    };
  }
  await tf.setBackend('tensorflow');
  return loaded;
}

/** Sets what must be set before the addon is loaded. An environment variable that has a value keeps it. */
function prepareEnvironment(): void {
  const { env } = process;
  env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  // `useOneDnn` calls oneDNN's convolutions by name, on every processor alike. This switch, whose default depends on
  // the processor, would make TensorFlow compute small matrix products on oneDNN too, which is slower, and print three
  // lines.
  env.TF_ENABLE_ONEDNN_OPTS ??= '0';
  if (env.OMP_NUM_THREADS) env.TF_NUM_INTRAOP_THREADS ??= env.OMP_NUM_THREADS;
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

/**
 * Builds the addon of the native backend (see build-native.mjs), and tells `log` about each step.
 * @param options.wheel the path of a TensorFlow wheel, so that none is downloaded
 * @throws GymError E_BACKEND that says what is missing and which command installs it
 */
export async function buildNative(options: { log?: (line: string) => void; wheel?: string } = {}): Promise<void> {
  // The script lies beside this file in the sources, and is not compiled into the package's dist/.
  const script = ['build-native.mjs', '../../backend/build-native.mjs']
    .map((path) => join(dirname(here), path))
    .find((path) => existsSync(path));
  if (!script)
    throw new GymError('E_FILE', 'native: backend/build-native.mjs is missing from the package; install it again.');
  const { buildNative: build } = (await import(pathToFileURL(script).href)) as {
    buildNative(options: { log?: (line: string) => void; wheel?: string }): Promise<unknown>;
  };
  try {
    await build(options);
  } catch (error) {
    throw new GymError('E_BACKEND', `native: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Registers oneDNN's convolution kernels in place of Eigen's: they and their gradients are about twice as fast.
 * TensorFlow has them under other names, `_MklNative...`, and finds them where the attribute `_kernel` is
 * "MklNameChangeOp".
 * @returns false where this TensorFlow does not have them, and Eigen's kernels stay
 */
function useOneDnn(backend: NativeBackend): boolean {
  const { binding } = backend;
  const attributes = (info: tf.backend_util.Conv2DInfo): Attribute[] => [
    { name: 'T', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT },
    { name: 'strides', type: binding.TF_ATTR_INT, value: [1, info.strideHeight, info.strideWidth, 1] },
    { name: 'padding', type: binding.TF_ATTR_STRING, value: info.padInfo.type },
    { name: 'data_format', type: binding.TF_ATTR_STRING, value: 'NHWC' },
    { name: 'dilations', type: binding.TF_ATTR_INT, value: [1, info.dilationHeight, info.dilationWidth, 1] },
    { name: '_kernel', type: binding.TF_ATTR_STRING, value: 'MklNameChangeOp' },
  ];
  const forward = (info: tf.backend_util.Conv2DInfo, x: tf.TensorInfo, filter: tf.TensorInfo) => {
    const constant: Attribute = { name: 'is_filter_const', type: binding.TF_ATTR_BOOL, value: false };
    return backend.executeSingleOutput('_MklNativeConv2D', [...attributes(info), constant], [x, filter]);
  };
  const backpropInput = (info: tf.backend_util.Conv2DInfo, dy: tf.TensorInfo, filter: tf.TensorInfo) =>
    tf.tidy(() => {
      const shape = tf.tensor1d(info.inShape, 'int32');
      return backend.executeSingleOutput('_MklNativeConv2DBackpropInput', attributes(info), [shape, filter, dy]);
    });
  const backpropFilter = (info: tf.backend_util.Conv2DInfo, x: tf.TensorInfo, dy: tf.TensorInfo) =>
    tf.tidy(() => {
      const shape = tf.tensor1d(info.filterShape, 'int32');
      return backend.executeSingleOutput('_MklNativeConv2DBackpropFilter', attributes(info), [x, shape, dy]);
    });

  try {
    tf.tidy(() => {
      const one = tf.ones([1, 1, 1, 1]);
      const info = convInfo(one.shape, one.shape, { strides: 1, pad: 'same', dataFormat: 'NHWC' });
      forward(info, one, one);
      backpropInput(info, one, one);
      backpropFilter(info, one, one);
    });
  } catch {
    return false;
  }

  const fits = (info: tf.backend_util.Conv2DInfo, attrs: ConvAttributes, ...tensors: tf.TensorInfo[]) =>
    attrs.dataFormat === 'NHWC' &&
    (info.padInfo.type === 'SAME' || info.padInfo.type === 'VALID') &&
    info.dilationHeight === 1 &&
    info.dilationWidth === 1 &&
    tensors.every((tensor) => tensor.dtype === 'float32' && !tensor.shape.includes(0));

  type Forward = KernelCall<{ x: tf.Tensor4D; filter: tf.Tensor4D }, ConvAttributes>;
  registerKernel('tensorflow', 'Conv2D', ({ inputs: { x, filter }, attrs, original }: Forward) => {
    const info = convInfo(x.shape, filter.shape, attrs);
    return fits(info, attrs, x, filter) ? forward(info, x, filter) : original();
  });

  type Fused = KernelCall<
    { x: tf.Tensor4D; filter: tf.Tensor4D; bias?: tf.Tensor },
    ConvAttributes & { activation: string }
  >;
  registerKernel('tensorflow', 'FusedConv2D', ({ inputs: { x, filter, bias }, attrs, original }: Fused) => {
    const info = convInfo(x.shape, filter.shape, attrs);
    if (!fits(info, attrs, x, filter) || attrs.activation !== 'linear') return original();
    return tf.tidy(() => {
      const y = forward(info, x, filter);
      return bias ? tf.add(y, bias) : y;
    });
  });

  type Input = KernelCall<{ dy: tf.Tensor4D; filter: tf.Tensor4D }, ConvAttributes & { inputShape: number[] }>;
  registerKernel('tensorflow', 'Conv2DBackpropInput', ({ inputs: { dy, filter }, attrs, original }: Input) => {
    const info = convInfo(attrs.inputShape, filter.shape, attrs);
    return fits(info, attrs, dy, filter) ? backpropInput(info, dy, filter) : original();
  });

  type Filter = KernelCall<{ x: tf.Tensor4D; dy: tf.Tensor4D }, ConvAttributes & { filterShape: number[] }>;
  registerKernel('tensorflow', 'Conv2DBackpropFilter', ({ inputs: { x, dy }, attrs, original }: Filter) => {
    const info = convInfo(x.shape, attrs.filterShape, attrs);
    return fits(info, attrs, x, dy) ? backpropFilter(info, x, dy) : original();
  });
  return true;
}
