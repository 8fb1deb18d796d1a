import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import type { Awaitable } from '../../core/types.js';

/** Turns latents, float32 [n, h, w, c], into images, uint8 [n, H, W, 3]. It must not write into the latents. */
export type Decode = (latents: NdArray<Float32Array>) => Awaitable<NdArray>;

/**
 * The decoder of latents that are images themselves. It maps −1..1 to 0..255 as diffusers' `VaeImageProcessor` does:
 * x/2 + 0.5, clamped, times 255 in float32, rounded half to even.
 */
export function identityDecode(latents: NdArray<Float32Array>): NdArray<Uint8Array> {
  const { data, shape } = latents;
  if (shape.length !== 4 || shape[3] !== 3)
    throw new GymError(
      'E_SHAPE',
      `Denoising: latents of shape [${shape.join(', ')}] are no RGB images; hand in \`decode\`, which turns them into uint8 [n, H, W, 3].`,
    );
  const images = new Uint8ClampedArray(data.length); // It clamps what is written into it, and rounds half to even.
  for (let i = 0; i < data.length; i++) images[i] = Math.fround(Math.fround(data[i]! / 2 + 0.5) * 255);
  return { data: new Uint8Array(images.buffer), shape };
}
