import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { simdKernels } from './kernels.js';

/** The functions of `kernels.as`. */
export interface SimdKernels {
  batchMatMul(
    a: number,
    b: number,
    c: number,
    batch: number,
    m: number,
    k: number,
    n: number,
    transposed: boolean,
    nextA: number,
    nextB: number,
  ): void;
  convFilterGradient(
    x: number,
    dy: number,
    filter: number,
    batch: number,
    height: number,
    width: number,
    inChannels: number,
    outHeight: number,
    outWidth: number,
    outChannels: number,
    filterHeight: number,
    filterWidth: number,
    strideHeight: number,
    strideWidth: number,
    padTop: number,
    padLeft: number,
  ): void;
}

/** What is used here of WebAssembly, whose types TypeScript keeps with those of browsers. */
declare const WebAssembly: {
  Memory: abstract new () => object;
  Module: new (binary: Uint8Array) => object;
  Instance: new (module: object, imports: { env: { memory: object } }) => { readonly exports: object };
};

const instances = new WeakMap<BackendWasm, SimdKernels>();

/** The functions of `kernels.as` on a backend's memory. */
export function simdOf(backend: BackendWasm): SimdKernels {
  let kernels = instances.get(backend);
  if (!kernels) {
    // Emscripten keeps what the backend's module exports, its memory among it, under `asm`.
    const { asm } = backend.wasm as unknown as { asm: Record<string, unknown> };
    const memory = Object.values(asm).find((value) => value instanceof WebAssembly.Memory);
    if (!memory) throw new Error('wasm: the memory of the TensorFlow.js backend was not found.');
    const module = new WebAssembly.Module(Buffer.from(simdKernels, 'base64'));
    kernels = new WebAssembly.Instance(module, { env: { memory } }).exports as SimdKernels;
    instances.set(backend, kernels);
  }
  return kernels;
}
