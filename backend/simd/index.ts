import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { simdKernels } from './kernels.js';

/** The functions of `kernels.as`, which documents their arguments. */
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

/** The parts of WebAssembly that are used here. TypeScript declares it only together with the types of browsers. */
declare const WebAssembly: {
  Memory: abstract new () => object;
  Module: new (binary: Uint8Array) => object;
  Instance: new (module: object, imports: { env: { memory: object } }) => { readonly exports: object };
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
    const module = new WebAssembly.Module(Buffer.from(simdKernels, 'base64'));
    kernels = new WebAssembly.Instance(module, { env: { memory } }).exports as SimdKernels;
    instances.set(backend, kernels);
  }
  return kernels;
}
