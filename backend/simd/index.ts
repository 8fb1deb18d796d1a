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
  | 'batchNorm'
  | 'batchNormGradient'
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
  | 'relu'
  | 'reluGradient'
  | 'scaledDistance'
  | 'scaledDistanceGradient'
  | 'stepMean'
  | 'stepMeanGradient'
  | 'tanh'
  | 'tanhGradient'
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
  Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer; grow(pages: number): number };
  Module: new (binary: Uint8Array) => object;
  Instance: new (
    module: object,
    imports: { env: { memory: object; constants: number } },
  ) => { readonly exports: object };
  validate(binary: Uint8Array): boolean;
};

/** Values that the constants of `kernels.as` take. */
const constantValues = 80;

const instances = new WeakMap<BackendWasm, SimdKernels>();

/** The functions of `kernels.as`, made to work on the memory of a wasm backend. */
export function simdOf(backend: BackendWasm): SimdKernels {
  let kernels = instances.get(backend);
  if (!kernels) {
    // Emscripten keeps all exports of the backend's module under `asm`, and its memory is among them.
    const { asm } = backend.wasm as unknown as { asm: Record<string, unknown> };
    const memory = Object.values(asm).find((value) => value instanceof WebAssembly.Memory);
    if (!memory) throw new Error('wasm: the memory of the TensorFlow.js backend was not found.');
    kernels = instantiate(memory, allocate(backend, constantValues));
    instances.set(backend, kernels);
  }
  return kernels;
}

/** The functions of `kernels.as` on a memory. @param constants the address of room for their constants. */
function instantiate(memory: object, constants: number): SimdKernels {
  const env = { memory, constants };
  const kernels = new WebAssembly.Instance(new WebAssembly.Module(binary()), { env }).exports as SimdKernels;
  kernels.writeConstants();
  return kernels;
}

/** The bytes of a page of WebAssembly's memory. */
const page = 65536;

/**
 * The functions of `kernels.as` on a memory of their own, without any backend of TensorFlow.js: for work that is so small
 * that the cost of a call decides. What is allocated stays so until nobody holds the object any more.
 */
export class SimdMemory {
  readonly kernels: SimdKernels;
  readonly #memory = new WebAssembly.Memory({ initial: 1 });
  #end = 16 + 4 * constantValues;

  /** @throws Error on a processor without the vector instructions. */
  constructor() {
    this.kernels = instantiate(this.#memory, 16);
  }

  /** The address of room for that many float32 values, zeros, in bytes; a multiple of 16. */
  allocate(values: number): number {
    const address = this.#end;
    this.#end += Math.ceil(values / 4) * 16;
    const missing = this.#end - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / page));
    return address;
  }

  /** The values at an address. The array is of use until the next {@link allocate}, which may move the memory. */
  values(address: number, length: number): Float32Array {
    return new Float32Array(this.#memory.buffer, address, length);
  }
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
