export { type CLIPTextConfig, CLIPTextModel } from './clip-text-model.js';
export { CLIPTokenizer, type CLIPTokenizerOptions, type Encoding } from './clip-tokenizer.js';
export { type Denoiser, disposeDenoiser, encodePrompts, loadDenoiser, saveDenoiser } from './denoiser.js';
export * from './schedulers/index.js';
export { fromTorch, toTorch } from './state.js';
export { UNet2DConditionModel } from './unet-condition.js';
export type { UNet2DConditionConfig, UNet2DConditionOptions, UNet2DConfig, UNet2DOptions } from './unet-config.js';
export { UNet2DModel } from './unet-unconditional.js';
