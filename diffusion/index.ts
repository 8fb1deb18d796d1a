export { fromTorch, toTorch } from './state.js';
export { UNet2DConditionModel } from './unet-condition.js';
export type { UNet2DConditionConfig, UNet2DConditionOptions, UNet2DConfig, UNet2DOptions } from './unet-config.js';
export { UNet2DModel } from './unet-unconditional.js';
