import type { Tensor4D } from '@tensorflow/tfjs';
import * as tf from '@tensorflow/tfjs';
import type { NdArray } from '../../core/ndarray.js';
import { Random } from '../../core/random.js';
import { mean } from '../../core/statistics.js';
import { type Denoiser, encodePrompts } from '../../diffusion/index.js';

/** How often a picture is looked at, with a timestep and noise of its own each time. */
const looks = 8;
/** Pictures in a forward pass. */
const batch = 64;

/**
 * How likely a model finds pictures: its denoising loss on them (which bounds −ln p(x_0 | z) up to weights and a constant,
 * Ho et al. 2020, eq. 14), as a mean over dimensions, pictures and timesteps spread evenly over the schedule. Timesteps and
 * noises are the same in every call. Lower is likelier.
 * @param images uint8 [h, w, 3] of the size that the model makes; its latents are these pictures themselves.
 * @param prompts one a picture.
 */
export async function denoisingLoss(
  model: Denoiser,
  images: readonly NdArray[],
  prompts: readonly string[],
): Promise<number> {
  const random = new Random('denoising loss');
  const { trainTimesteps } = model.scheduler;
  const losses: number[] = [];
  for (let look = 0; look < looks; look++)
    for (let first = 0; first < images.length; first += batch) {
      const some = images.slice(first, first + batch);
      const shape = [some.length, ...some[0]!.shape] as [number, number, number, number];
      const timesteps = some.map(
        () => trainTimesteps[Math.floor(((look + random.next()) / looks) * trainTimesteps.length)]!,
      );
      const noise = random.normals(some.length * some[0]!.data.length);
      const loss = tf.tidy(() => {
        const pixels = some.flatMap(({ data }) => Array.from(data, (value) => value / 127.5 - 1));
        const [clean, epsilon]: [Tensor4D, Tensor4D] = [tf.tensor4d(pixels, shape), tf.tensor4d(noise, shape)];
        const noisy = model.scheduler.addNoise(clean, epsilon, timesteps);
        const text = encodePrompts(model, prompts.slice(first, first + batch));
        const prediction: Tensor4D = model.unet.apply(noisy, tf.tensor1d(timesteps, 'float32'), text);
        return prediction.squaredDifference(model.scheduler.target(clean, epsilon, timesteps)).mean();
      });
      losses.push((await loss.data())[0]!);
      loss.dispose();
    }
  return mean(losses);
}
