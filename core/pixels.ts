import type { NdArray } from './ndarray.js';

/**
 * Turns samples in −1..1 into pixels 0..255 as diffusers' `VaeImageProcessor` does: x/2 + 0.5, clamped, times 255 in float32,
 * rounded half to even. Pictures of one channel become grey ones of three.
 * @param samples [n, height, width, 1 or 3]
 * @returns [n, height, width, 3]
 */
export function toPixels({ data, shape }: NdArray<Float32Array>): NdArray<Uint8Array> {
  const repeat = 3 / shape[3]!;
  const pixels = new Uint8ClampedArray(data.length * repeat); // It clamps what is written into it, and rounds half to even.
  for (let i = 0; i < pixels.length; i++)
    pixels[i] = Math.fround(Math.fround(data[repeat === 1 ? i : Math.floor(i / repeat)]! / 2 + 0.5) * 255);
  return { data: new Uint8Array(pixels.buffer), shape: [...shape.slice(0, 3), 3] };
}
