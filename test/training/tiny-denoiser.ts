import { Random } from '../../core/random.js';
import {
  CLIPTextModel,
  CLIPTokenizer,
  DDIMScheduler,
  disposeDenoiser,
  type ModelScheduler,
  saveDenoiser,
  UNet2DConditionModel,
  type UNet2DConditionOptions,
} from '../../diffusion/index.js';
import { shapesVocabulary } from '../../rewards/index.js';

/** An untrained UNet: one transformer on the way down, one in the middle, two on the way up. */
export function tinyUNet(random: Random, more: Partial<UNet2DConditionOptions> = {}): UNet2DConditionModel {
  return UNet2DConditionModel.create(
    {
      sample_size: 8,
      in_channels: 3,
      out_channels: 3,
      block_out_channels: [8, 8],
      layers_per_block: 1,
      down_block_types: ['DownBlock2D', 'CrossAttnDownBlock2D'],
      up_block_types: ['CrossAttnUpBlock2D', 'UpBlock2D'],
      cross_attention_dim: 8,
      attention_head_dim: 2,
      norm_num_groups: 4,
      ...more,
    },
    random,
  );
}

/** Writes an untrained text-conditional denoiser that takes milliseconds: 8×8 pixels, a few thousand weights. */
export async function saveTinyDenoiser(
  folder: string,
  scheduler: ModelScheduler = DDIMScheduler.fromConfig({ clip_sample: true }),
): Promise<void> {
  const random = new Random('tiny');
  const tokenizer = CLIPTokenizer.fromWords(shapesVocabulary, 16);
  const denoiser = {
    unet: tinyUNet(random.child('unet')),
    textEncoder: CLIPTextModel.create(
      {
        hidden_size: 8,
        intermediate_size: 16,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        max_position_embeddings: 16,
        vocab_size: tokenizer.vocabSize,
        bos_token_id: tokenizer.bosTokenId,
        eos_token_id: tokenizer.eosTokenId,
        pad_token_id: tokenizer.padTokenId,
      },
      random.child('text'),
    ),
    tokenizer,
    scheduler,
  };
  await saveDenoiser(folder, denoiser);
  disposeDenoiser(denoiser);
}
