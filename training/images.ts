import sharp from 'sharp';
import { GymError } from '../core/errors.js';
import type { NdArray } from '../core/ndarray.js';

/** Where the pictures of a grid lie in its PNG. The index of a picture counts from the left, row by row from the top. */
export interface GridLayout {
  readonly count: number;
  readonly columns: number;
  /** The width of one picture before it was enlarged, in pixels. */
  readonly width: number;
  /** The height of one picture before it was enlarged, in pixels. */
  readonly height: number;
  /** Each pixel of a picture is this many pixels of the PNG wide and high. */
  readonly scale: number;
  /** How many pixels of white lie between pictures and around them. */
  readonly gap: number;
}

/** RGB, 8 bits each, row by row. */
interface Canvas {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** Small pictures are enlarged to about this width, in pixels. The factor is a whole number, so that they stay sharp. */
const comfortable = 64;

/**
 * The layout for a number of pictures of one size.
 * @param size height and width of each picture.
 * @param options `columns`: default about as many as rows; `scale`: default what makes small pictures comfortable to see.
 * @throws GymError E_VALUE when there are none.
 */
export function gridLayout(
  count: number,
  size: readonly number[],
  { columns = Math.ceil(Math.sqrt(count)), scale }: { columns?: number; scale?: number } = {},
): GridLayout {
  if (count < 1) throw new GymError('E_VALUE', 'grid: needs at least one picture.');
  const [height, width] = size;
  return {
    count,
    columns: Math.min(columns, count),
    width: width!,
    height: height!,
    scale: scale ?? Math.max(1, Math.round(comfortable / width!)),
    gap: 4,
  };
}

/** The top left corner of picture `index` in a grid. */
function tileAt(layout: GridLayout, index: number): { left: number; top: number } {
  const { columns, width, height, scale, gap } = layout;
  return {
    left: gap + (index % columns) * (width * scale + gap),
    top: gap + Math.floor(index / columns) * (height * scale + gap),
  };
}

/** Draws pictures (uint8 [h, w, 3]) side by side on white, each pixel `scale` pixels wide and high. */
function draw(images: readonly NdArray[], layout: GridLayout): Canvas {
  const { columns, width, height, scale, gap } = layout;
  const rows = Math.ceil(layout.count / columns);
  const canvas = {
    width: gap + columns * (width * scale + gap),
    height: gap + rows * (height * scale + gap),
  };
  const data = new Uint8Array(canvas.width * canvas.height * 3).fill(255);
  images.forEach((image, i) => {
    if (image.shape.length !== 3 || image.shape[0] !== height || image.shape[1] !== width || image.shape[2] !== 3)
      throw new GymError(
        'E_SHAPE',
        `grid: picture ${i} has shape [${image.shape.join(', ')}], the first [${height}, ${width}, 3]; all must be uint8 RGB of one size.`,
      );
    const { left, top } = tileAt(layout, i);
    for (let y = 0; y < height * scale; y++)
      for (let x = 0; x < width * scale; x++) {
        const from = (Math.floor(y / scale) * width + Math.floor(x / scale)) * 3;
        const to = ((top + y) * canvas.width + left + x) * 3;
        for (let c = 0; c < 3; c++) data[to + c] = image.data[from + c]!;
      }
  });
  return { data, ...canvas };
}

/**
 * Draws pictures side by side, small ones enlarged.
 * @param images uint8 [h, w, 3], all of one size.
 * @returns the PNG, and where the pictures lie in it.
 * @throws GymError E_VALUE when there are none, E_SHAPE when they differ in size.
 */
export async function gridPng(
  images: readonly NdArray[],
  options: { columns?: number; scale?: number } = {},
): Promise<{ png: Buffer; layout: GridLayout }> {
  const layout = gridLayout(images.length, images[0]?.shape ?? [1, 1], options);
  const { data, width, height } = draw(images, layout);
  return {
    png: await sharp(data, { raw: { width, height, channels: 3 } })
      .png()
      .toBuffer(),
    layout,
  };
}

/** Cuts the PNG of {@link gridPng} into its pictures again: a PNG for each, in its own size. */
export async function cutGrid(png: Buffer, layout: GridLayout): Promise<Buffer[]> {
  const { width, height, scale } = layout;
  const tiles: Buffer[] = [];
  for (let i = 0; i < layout.count; i++) {
    const tile = sharp(png).extract({ ...tileAt(layout, i), width: width * scale, height: height * scale });
    tiles.push(await tile.resize(width, height, { kernel: 'nearest' }).png().toBuffer());
  }
  return tiles;
}

/**
 * The pictures of a PNG that {@link gridPng} drew, as they were: uint8 [h, w, 3] each.
 * @throws GymError E_FILE when it is no picture, or is too small for its layout.
 */
export async function readGrid(png: Buffer, layout: GridLayout): Promise<NdArray<Uint8Array>[]> {
  const { data, info } = await sharp(png)
    .removeAlpha()
    .toColorspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true })
    .catch((error: Error) => {
      throw new GymError('E_FILE', `grid: is no picture (${error.message}); restore it from a copy.`, { cause: error });
    });
  const { width, height, scale, count } = layout;
  const end = tileAt(layout, count - 1);
  if (info.channels !== 3 || end.top + height * scale > info.height || end.left + width * scale > info.width)
    throw new GymError(
      'E_FILE',
      `grid: ${info.width}×${info.height} pixels are too few for its ${count} pictures; restore it from a copy.`,
    );
  return Array.from({ length: count }, (_, index) => {
    const { left, top } = tileAt(layout, index);
    const picture = new Uint8Array(height * width * 3);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        for (let c = 0; c < 3; c++)
          picture[(y * width + x) * 3 + c] = data[((top + y * scale) * info.width + left + x * scale) * 3 + c]!;
    return { data: picture, shape: [height, width, 3] };
  });
}

/**
 * An animated WebP that loops. Each frame is a grid of pictures; the last one is held for longer.
 * @param frames uint8 [h, w, 3], the same number in each frame.
 * @param options those of {@link gridLayout}; `delay` and `hold`: milliseconds that each frame, and the last one, is shown.
 * @throws GymError E_VALUE when there is no picture, E_SHAPE when pictures differ in size.
 */
export async function animationWebp(
  frames: readonly (readonly NdArray[])[],
  options: { columns?: number; scale?: number; delay?: number; hold?: number } = {},
): Promise<Buffer> {
  const first = frames[0]?.[0];
  if (!first) throw new GymError('E_VALUE', 'animation: needs at least one frame with one picture.');
  const { delay = 160, hold = 1600 } = options;
  const layout = gridLayout(frames[0]!.length, first.shape, options);
  const canvases = frames.map((images) => draw(images, layout));
  const { width, height } = canvases[0]!;
  const data = Buffer.concat(canvases.map((canvas) => canvas.data));
  const raw = { width, height: height * frames.length, channels: 3 as const, pageHeight: height };
  return await sharp(data, { raw })
    .webp({
      loop: 0,
      delay: frames.map((_, i) => (i === frames.length - 1 ? hold : delay)),
      // Enlarged pixels must stay square; photographs would be huge that way.
      ...(layout.scale > 1 ? { lossless: true } : { quality: 80 }),
    })
    .toBuffer();
}
