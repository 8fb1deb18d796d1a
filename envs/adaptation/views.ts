import type { Random } from '../../core/random.js';

/** Pictures of one size: uint8 [N, height, width, 3]. */
interface Pictures {
  readonly data: Uint8Array;
  readonly shape: readonly number[];
}

/** How far views are moved, in widths of the picture: 1.4 of 28 pixels. */
const shift = 0.05;

/**
 * A small copy of each chosen picture, moved by a fraction of a pixel or two: what labels are made on.
 * @returns float32 [indices, height, width, 3], −1..1
 */
export function weakViews(pictures: Pictures, indices: ArrayLike<number>, random: Random): Float32Array {
  return views(pictures, indices, (at) => place(at, 1, random));
}

/**
 * Changed copies, on which is learned: zoomed by .75..1.05 and moved; brighter or darker by up to .32, with up to .4 more or
 * less contrast and each channel moved by up to .2, in a range of −1..1; one in five grey; half of them blurred.
 * @returns float32 [indices, height, width, 3], about −1..1
 */
export function strongViews(pictures: Pictures, indices: ArrayLike<number>, random: Random): Float32Array {
  return views(pictures, indices, (at) => {
    place(at, random.uniform(0.75, 1.05), random);
    const { view } = at;
    const brightness = random.uniform(-0.32, 0.32);
    const contrast = 1 + random.uniform(-0.4, 0.4);
    const channel = () => brightness + random.uniform(-0.2, 0.2);
    const [red, green, blue] = [channel(), channel(), channel()];
    let mean = 0;
    for (let i = 0; i < view.length; i++) mean += view[i]! / view.length;
    for (let i = 0; i < view.length; i += 3) {
      view[i] = (view[i]! - mean) * contrast + mean + red;
      view[i + 1] = (view[i + 1]! - mean) * contrast + mean + green;
      view[i + 2] = (view[i + 2]! - mean) * contrast + mean + blue;
    }
    if (random.next() < 0.2)
      for (let i = 0; i < view.length; i += 3) view.fill((view[i]! + view[i + 1]! + view[i + 2]!) / 3, i, i + 3);
    if (random.next() < 0.5) blur(at);
  });
}

interface At {
  readonly picture: Uint8Array;
  readonly view: Float32Array;
  readonly height: number;
  readonly width: number;
}

function views({ data, shape }: Pictures, indices: ArrayLike<number>, make: (at: At) => void): Float32Array {
  const [, height, width] = shape as [number, number, number];
  const size = height * width * 3;
  const all = new Float32Array(indices.length * size);
  for (let i = 0; i < indices.length; i++)
    make({
      picture: data.subarray(indices[i]! * size, (indices[i]! + 1) * size),
      view: all.subarray(i * size, (i + 1) * size),
      height,
      width,
    });
  return all;
}

/** For each place along a side of a view the two pixels of the picture that it lies between, and the share of the second. */
function taps(size: number, zoom: number, moved: number) {
  const [first, second, share] = [new Int32Array(size), new Int32Array(size), new Float64Array(size)];
  for (let i = 0; i < size; i++) {
    const at = Math.min(size - 1, Math.max(0, (i - (size - 1) / 2) * zoom + (size - 1) / 2 + moved));
    first[i] = Math.floor(at);
    second[i] = Math.min(size - 1, first[i]! + 1);
    share[i] = at - first[i]!;
  }
  return { first, second, share };
}

/** The picture, of which the share `zoom` of each side is seen, moved by chance; beyond the rim are copies of it. */
function place({ picture, view, height, width }: At, zoom: number, random: Random): void {
  const [dy, dx] = [random.uniform(-shift, shift) * height, random.uniform(-shift, shift) * width];
  const [rows, columns] = [taps(height, zoom, dy), taps(width, zoom, dx)];
  const line = new Float64Array(width * 3);
  for (let y = 0, to = 0; y < height; y++) {
    const [top, bottom, v] = [rows.first[y]! * line.length, rows.second[y]! * line.length, rows.share[y]!];
    for (let j = 0; j < line.length; j++)
      line[j] = (picture[top + j]! * (1 - v) + picture[bottom + j]! * v) / 127.5 - 1;
    for (let x = 0; x < width; x++) {
      const [left, right, u] = [columns.first[x]! * 3, columns.second[x]! * 3, columns.share[x]!];
      for (let k = 0; k < 3; k++) view[to++] = line[left + k]! * (1 - u) + line[right + k]! * u;
    }
  }
}

/** A blur over 3×3 pixels with the weights 1, 2, 1 in each direction. */
function blur({ view, height, width }: At): void {
  const pass = (count: number, step: number, lines: number, next: number) => {
    for (let line = 0; line < lines; line++)
      for (let k = 0; k < 3; k++) {
        const start = line * next + k;
        let before = view[start]!;
        for (let i = 0; i < count; i++) {
          const at = start + i * step;
          const here = view[at]!;
          const after = i + 1 < count ? view[at + step]! : here;
          view[at] = (before + 2 * here + after) / 4;
          before = here;
        }
      }
  };
  pass(width, 3, height, width * 3);
  pass(height, width * 3, width, 3);
}
