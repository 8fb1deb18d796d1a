import { type Denoiser, disposeDenoiser, Lora, loadDenoiser, pythonUse, saveDenoiser } from '../diffusion/index.js';
import { modelFolder } from './families/denoising.js';

/**
 * Writes a model with a LoRA merged into its UNet, as a folder that diffusers reads. The backend must be ready.
 * @param lora a file or folder in any of the formats that `readLora` knows.
 * @returns what is needed to sample it in Python.
 * @throws GymError E_FILE when one of them is missing, broken, or not of the other.
 */
export async function mergeLora(model: string, lora: string, out: string): Promise<string> {
  return withLora(model, lora, async (denoiser, adapter) => {
    adapter.mergeInto(denoiser.unet);
    await saveDenoiser(out, denoiser);
    return pythonUse(out, denoiser);
  });
}

/** Writes a LoRA of a model again, as the file that diffusers' `load_lora_weights` reads. @throws GymError E_FILE */
export async function convertLora(model: string, lora: string, file: string): Promise<void> {
  await withLora(model, lora, (_, adapter) => adapter.save(file, { baked: true }));
}

async function withLora<T>(
  model: string,
  path: string,
  use: (denoiser: Denoiser, lora: Lora) => Promise<T>,
): Promise<T> {
  const denoiser = await loadDenoiser(modelFolder(model));
  try {
    const lora = await Lora.load(denoiser.unet, path);
    try {
      return await use(denoiser, lora);
    } finally {
      lora.dispose();
    }
  } finally {
    disposeDenoiser(denoiser);
  }
}
