// WebAssembly functions in AssemblyScript, which `npm run simd` compiles into kernels.ts. They run on the memory of
// TensorFlow.js's wasm backend or on one of their own, on float32 values that are allocated there, and keep no state. Addresses and steps
// are in bytes, sizes of scratch memory in values. Each entry of a result is summed in an order that does not depend on
// where it stands, so that the same input always gives the same bits.
export {
  attention,
  attentionGradient,
  attentionGradientScratch,
  attentionScratch,
} from './attention';
export {
  activate,
  activateGradient,
  adamW,
  copyRows,
  gatedGelu,
  gatedGeluGradient,
  relu,
  reluGradient,
  tanh,
  tanhGradient,
  upsample,
  upsampleGradient,
} from './elementwise';
export { batchNorm, batchNormGradient } from './batch-norm';
export { scaledDistance, scaledDistanceGradient, stepMean, stepMeanGradient } from './gaussian-step';
export { groupNorm, groupNormGradient, layerNorm, layerNormGradient } from './norm';
export {
  columnSums,
  convFilterGradient,
  convolve,
  filterGradientScratch,
  multiply,
  multiplyTransposed,
  pack,
  packTransposed,
  transposedScratch,
} from './product';
export { writeConstants } from './vector';
