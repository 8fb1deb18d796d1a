import * as tf from '@tensorflow/tfjs';
import type { NdArray } from '../core/ndarray.js';
import { toPixels } from '../core/pixels.js';
import type { AutoencoderKL, TileOptions } from '../networks/autoencoder-kl.js';

/**
 * How many pixels are decoded at once. Inside the decoder each has hundreds of channels, so that a whole batch would take many
 * times the memory of the UNet's pass; pictures are decoded one by one where they are large (diffusers' slicing).
 */
const PIXELS = 256 * 256;

/**
 * What turns the latents that a UNet has denoised into pictures: float32 [n, h, w, c] to uint8 [n, h · factor, w · factor, 3].
 * Whoever made the autoencoder frees it.
 * @throws GymError E_VALUE where tiles have no size that the autoencoder can have
 */
export function latentDecoder(
  vae: AutoencoderKL,
  { tile }: TileOptions = {},
): (latents: NdArray<Float32Array>) => Promise<NdArray<Uint8Array>> {
  vae.checkTile('latentDecoder: tile', tile);
  return async ({ data, shape }) => {
    const [count, height, width, channels] = shape as [number, number, number, number];
    const pixels = height * width * vae.factor ** 2;
    const atOnce = Math.min(pixels, (tile ?? Number.POSITIVE_INFINITY) ** 2);
    const [size, slice] = [height * width * channels, Math.max(1, Math.floor(PIXELS / atOnce))];
    const images = new Uint8Array(count * pixels * 3);
    for (let first = 0; first < count; first += slice) {
      const rows = Math.min(slice, count - first);
      const some = data.subarray(first * size, (first + rows) * size);
      const decoded = tf.tidy(() =>
        vae.decode(vae.unscale(tf.tensor4d(some, [rows, height, width, channels])), { tile }),
      );
      const samples = { data: (await decoded.data()) as Float32Array, shape: decoded.shape };
      decoded.dispose();
      images.set(toPixels(samples).data, first * pixels * 3);
    }
    return { data: images, shape: [count, height * vae.factor, width * vae.factor, 3] };
  };
}
