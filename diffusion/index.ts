export type { AddedToken } from '../networks/added-tokens.js';
export {
  type AutoencoderConfig,
  AutoencoderKL,
  type AutoencoderOptions,
  type TileOptions,
} from '../networks/autoencoder-kl.js';
export { type CLIPTextConfig, CLIPTextModel } from '../networks/clip-text-model.js';
export { CLIPTokenizer, type Encoding } from '../networks/clip-tokenizer.js';
export type { CLIPTokenizerOptions } from '../networks/clip-tokenizer-files.js';
export { type AdaptableNetwork, ATTENTION_PROJECTIONS, Lora, type LoraOptions } from '../networks/lora.js';
export { LORA_FILE, type LoraLayer, loraSources, readLora, writeLora } from '../networks/lora-file.js';
export { LoraUNet } from '../networks/lora-unet.js';
export { UNet2DModel } from '../networks/unet-2d.js';
export { UNet2DConditionModel } from '../networks/unet-2d-condition.js';
export type {
  UNet2DConditionConfig,
  UNet2DConditionOptions,
  UNet2DConfig,
  UNet2DOptions,
} from '../networks/unet-config.js';
export { type Adaptation, type Adaptations, fromTorch, toTorch } from '../networks/weights.js';
export {
  type Condition,
  classOf,
  conditionOf,
  conditionOfFolder,
  type Denoiser,
  denoiserFiles,
  disposeDenoiser,
  encodePrompts,
  type LoadOptions,
  loadDenoiser,
  saveDenoiser,
} from './denoiser.js';
export { latentDecoder } from './latents.js';
export { pythonUse } from './python-use.js';
export * from './schedulers/index.js';
