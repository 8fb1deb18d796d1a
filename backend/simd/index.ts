import { setFlagsFromString } from 'node:v8';
import type { TensorInfo } from '@tensorflow/tfjs';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { simdKernels } from './kernels.js';

/** The functions that `kernels.as` exports. The files that they come from document their arguments. */
export type SimdKernels = Record<
  | 'activate'
  | 'activateGradient'
  | 'adamW'
  | 'attention'
  | 'attentionGradient'
  | 'columnSums'
  | 'convFilterGradient'
  | 'convolve'
  | 'copyRows'
  | 'gatedGelu'
  | 'gatedGeluGradient'
  | 'groupNorm'
  | 'groupNormGradient'
  | 'layerNorm'
  | 'layerNormGradient'
  | 'multiply'
  | 'multiplyTransposed'
  | 'pack'
  | 'packTransposed'
  | 'upsample'
  | 'upsampleGradient'
  | 'writeConstants',
  (...args: (number | boolean)[]) => void
> &
  Record<
    'attentionGradientScratch' | 'attentionScratch' | 'filterGradientScratch' | 'transposedScratch',
    (...args: number[]) => number
  >;

/** The parts of WebAssembly that are used here. TypeScript declares it only together with the types of browsers. */
declare const WebAssembly: {
  Memory: abstract new () => object;
  Module: new (binary: Uint8Array) => object;
  Instance: new (
    module: object,
    imports: { env: { memory: object; constants: number } },
  ) => { readonly exports: object };
  validate(binary: Uint8Array): boolean;
};

const instances = new WeakMap<BackendWasm, SimdKernels>();

/** The functions of `kernels.as`, made to work on the memory of a wasm backend. */
export function simdOf(backend: BackendWasm): SimdKernels {
  let kernels = instances.get(backend);
  if (!kernels) {
    // Emscripten keeps all exports of the backend's module under `asm`, and its memory is among them.
    const { asm } = backend.wasm as unknown as { asm: Record<string, unknown> };
    const memory = Object.values(asm).find((value) => value instanceof WebAssembly.Memory);
    if (!memory) throw new Error('wasm: the memory of the TensorFlow.js backend was not found.');
    const env = { memory, constants: allocate(backend, 80) };
    kernels = new WebAssembly.Instance(new WebAssembly.Module(binary()), { env }).exports as SimdKernels;
    kernels.writeConstants();
    instances.set(backend, kernels);
  }
  return kernels;
}

/** The module as bytes. Node 20 has the instructions that it uses ("relaxed SIMD") too, but behind a flag. */
function binary(): Uint8Array {
  const bytes = Buffer.from(simdKernels, 'base64');
  if (!WebAssembly.validate(bytes)) setFlagsFromString('--experimental-wasm-relaxed-simd');
  return bytes;
}

/** The address of the values of a tensor in the backend's memory, in bytes; 0 without a tensor. */
export function addressOf(backend: BackendWasm, t: TensorInfo | undefined): number {
  return t ? backend.typedArrayFromHeap(t).byteOffset : 0;
}

/** Emscripten's functions for memory. */
interface Heap {
  _malloc(bytes: number): number;
  _free(address: number): void;
}

function allocate(backend: BackendWasm, values: number): number {
  const address = (backend.wasm as unknown as Heap)._malloc(4 * values) >>> 0;
  if (address === 0) throw new Error(`wasm: there is no memory for ${values} values.`);
  return address;
}

/** Gives the address of room for that many values, which is freed afterwards. */
export function withScratch<T>(backend: BackendWasm, values: number, use: (address: number) => T): T {
  const address = allocate(backend, values);
  try {
    return use(address);
  } finally {
    (backend.wasm as unknown as Heap)._free(address);
  }
}
