import { conditionOf, type Denoiser } from './denoiser.js';
import { FlowMatchEulerDiscreteScheduler } from './schedulers/index.js';

/** What a folder that `saveDenoiser` wrote needs to be sampled in Python: lines of code, with diffusers' class for it. */
export function pythonUse(folder: string, denoiser: Denoiser): string {
  const { scheduler, vae, unet } = denoiser;
  const name = JSON.stringify(folder);
  const condition = conditionOf(denoiser);
  const chain = 'its parts by from_pretrained, and a loop over scheduler.timesteps of your own';
  if (scheduler instanceof FlowMatchEulerDiscreteScheduler)
    return `# No pipeline of diffusers samples a UNet of flow matching: take ${chain}.`;
  if (condition === 'class')
    return `unet = diffusers.UNet2DModel.from_pretrained(${name}, subfolder="unet")  # called with class_labels; no pipeline does that: take ${chain}`;
  if (condition === 'none') {
    const pipeline = 'variance_type' in scheduler.config ? 'DDPMPipeline' : 'DDIMPipeline';
    return `pipeline = diffusers.${pipeline}.from_pretrained(${name})\npicture = pipeline().images[0]`;
  }
  const load = 'pipeline = diffusers.StableDiffusionPipeline.from_pretrained';
  if (vae) return `${load}(${name})\npicture = pipeline(prompt, num_inference_steps=20).images[0]`;
  const { sample_size: size } = unet.config;
  const pixels = typeof size === 'number' ? 8 * size : undefined;
  // The pipeline divides by the autoencoder's factor of 8, also where there is none.
  const sizes = pixels === undefined ? '' : `, height=${pixels}, width=${pixels}`;
  return (
    `${load}(${name}, vae=None)  # the samples are the pixels: there is no autoencoder\n` +
    `samples = pipeline(prompt, num_inference_steps=20, output_type="latent"${sizes}).images  # [n, channels, height, width] in -1..1`
  );
}
