import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import { toPixels } from '../../core/pixels.js';
import type { Awaitable } from '../../core/types.js';

/** Turns latents, float32 [n, h, w, c], into images, uint8 [n, H, W, 3]. It must not write into the latents. */
export type Decode = (latents: NdArray<Float32Array>) => Awaitable<NdArray>;

/**
 * The decoder of latents that are images themselves, colour or grey. It maps −1..1 to 0..255 as diffusers'
 * `VaeImageProcessor` does.
 */
export function identityDecode(latents: NdArray<Float32Array>): NdArray<Uint8Array> {
  const { shape } = latents;
  if (shape.length !== 4 || (shape[3] !== 3 && shape[3] !== 1))
    throw new GymError(
      'E_SHAPE',
      `Denoising: latents of shape [${shape.join(', ')}] are no RGB or grey images; hand in \`decode\`, which turns them into uint8 [n, H, W, 3].`,
    );
  return toPixels(latents);
}
