import type { NdArray } from '../../core/ndarray.js';

/** Height and width of the digits that the small network reads. */
export const digitSize = 28;

/**
 * Brings grey or colour pictures of digits to uint8 [N, 28, 28, 3]. Pictures of at most 20 pixels are enlarged to 20 and
 * stand in the middle, as MNIST's do; larger ones are resized as a whole. Bilinear, between the centres of pixels.
 * @param images uint8 [N, height, width] or [N, height, width, 3].
 */
export function asDigits(images: NdArray<Uint8Array>): NdArray<Uint8Array> {
  const [count, height, width, channels = 1] = images.shape as [number, number, number, number?];
  const small = Math.max(height, width) <= 20;
  const inner = small ? 20 : digitSize;
  const margin = (digitSize - inner) / 2;
  const data = new Uint8Array(count * digitSize * digitSize * 3);
  const rows = taps(height, inner);
  const columns = taps(width, inner);
  for (let n = 0; n < count; n++) {
    const value = (row: number, column: number, channel: number) =>
      images.data[((n * height + row) * width + column) * channels + (channels === 1 ? 0 : channel)]!;
    for (let y = 0; y < inner; y++)
      for (let x = 0; x < inner; x++) {
        const [[top, bottom, v], [left, right, u]] = [rows[y]!, columns[x]!];
        const at = ((n * digitSize + y + margin) * digitSize + x + margin) * 3;
        for (let c = 0; c < 3; c++) {
          const above = value(top, left, c) * (1 - u) + value(top, right, c) * u;
          const below = value(bottom, left, c) * (1 - u) + value(bottom, right, c) * u;
          data[at + c] = Math.round(above * (1 - v) + below * v);
        }
      }
  }
  return { data, shape: [count, digitSize, digitSize, 3] };
}

/** For each pixel of the result the two pixels that it lies between, and the share of the second. */
function taps(from: number, to: number): (readonly [number, number, number])[] {
  return Array.from({ length: to }, (_, i) => {
    const at = Math.min(from - 1, Math.max(0, ((i + 0.5) * from) / to - 0.5));
    const first = Math.floor(at);
    return [first, Math.min(from - 1, first + 1), at - first] as const;
  });
}
