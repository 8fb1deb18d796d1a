import { GymError } from '../../core/errors.js';
import { Random } from '../../core/random.js';
import { digits, type LabelledImages, type Split } from './labelled-images.js';

// Digits drawn by code: ten glyphs of straight lines, bent by chance, in six manners that resemble well-known data sets.

/** Height and width of a picture in pixels. */
const size = 28;

type Point = readonly [x: number, y: number];
/** Lines from point to point, in the unit square: x to the right, y downwards. */
type Polyline = readonly Point[];

/** `n` points of an ellipse, from angle `from` to angle `to` in degrees; 0 is to the right and 90 downwards. */
function arc(cx: number, cy: number, rx: number, ry: number, from: number, to: number, n: number): Polyline {
  return Array.from({ length: n }, (_, i) => {
    const angle = ((from + ((to - from) * i) / (n - 1)) * Math.PI) / 180;
    return [cx + rx * Math.cos(angle), cy + ry * Math.sin(angle)] as const;
  });
}

const glyphs: readonly (readonly Polyline[])[] = [
  [arc(0.5, 0.5, 0.28, 0.42, 0, 360, 13)],
  [
    [
      [0.35, 0.25],
      [0.55, 0.1],
      [0.55, 0.9],
    ],
  ],
  [[...arc(0.5, 0.32, 0.26, 0.22, -170, 40, 8), [0.24, 0.9], [0.78, 0.9]]],
  [arc(0.48, 0.3, 0.25, 0.2, -150, 90, 8), arc(0.48, 0.7, 0.28, 0.2, -90, 150, 8)],
  [
    [
      [0.62, 0.9],
      [0.62, 0.1],
      [0.22, 0.62],
      [0.82, 0.62],
    ],
  ],
  [[[0.75, 0.1], [0.34, 0.1], [0.3, 0.47], ...arc(0.48, 0.66, 0.27, 0.24, -130, 140, 8)]],
  [
    [
      [0.66, 0.1],
      [0.4, 0.35],
      [0.27, 0.62],
    ],
    arc(0.5, 0.69, 0.23, 0.21, 0, 360, 12),
  ],
  [
    [
      [0.22, 0.12],
      [0.78, 0.12],
      [0.42, 0.9],
    ],
  ],
  [arc(0.5, 0.3, 0.21, 0.19, 0, 360, 11), arc(0.5, 0.7, 0.26, 0.2, 0, 360, 11)],
  [
    arc(0.5, 0.31, 0.23, 0.21, 0, 360, 12),
    [
      [0.73, 0.31],
      [0.68, 0.62],
      [0.5, 0.9],
    ],
  ],
];

type Range = readonly [low: number, high: number];

/** How glyphs are bent and placed. */
interface Hand {
  /** Degrees, to either side. */
  readonly rotation: number;
  readonly scale: Range;
  /** Width against height. */
  readonly aspect: Range;
  readonly shear: number;
  /** In widths of the picture, to either side. */
  readonly translation: number;
  /** Half the width of the stroke, in widths of the picture. */
  readonly stroke: Range;
  /** Standard deviation of the warp's coefficients. */
  readonly jitter: number;
}

const clean: Hand = {
  rotation: 15,
  scale: [0.8, 1.05],
  aspect: [0.85, 1.05],
  shear: 0.15,
  translation: 0.06,
  stroke: [0.045, 0.075],
  jitter: 0.02,
};

const street: Hand = {
  ...clean,
  rotation: 8,
  scale: [0.7, 0.95],
  shear: 0.2,
  translation: 0.04,
  stroke: [0.045, 0.08],
};

/** The ink of a glyph, 0..1, [28 · 28]: how much of each pixel it covers. */
function draw(label: number, hand: Hand, random: Random, [shiftX, shiftY]: Point = [0, 0]): Float64Array {
  const between = ([low, high]: Range) => random.uniform(low, high);
  const either = (bound: number) => random.uniform(-bound, bound);
  const warp = Array.from({ length: 8 }, () => hand.jitter * random.normal());
  const angle = (either(hand.rotation) * Math.PI) / 180;
  const [scale, shear, aspect] = [between(hand.scale), either(hand.shear), between(hand.aspect)];
  const [dx, dy, half] = [either(hand.translation), either(hand.translation), between(hand.stroke)];
  const place = ([px, py]: Point): Point => {
    const [u, v] = [px - 0.5, py - 0.5];
    // The bilinear warp has four coefficients an axis; u and v are doubled so that all act alike at the rim.
    const bent = (k: number) => warp[k]! + 2 * (warp[k + 1]! * u + warp[k + 2]! * v) + 4 * warp[k + 3]! * u * v;
    const [x, y] = [aspect * (u + bent(0)), v + bent(4)];
    const sheared = x - shear * y;
    const [c, s] = [scale * Math.cos(angle), scale * Math.sin(angle)];
    return [0.5 + c * sheared - s * y + dx + shiftX, 0.5 + s * sheared + c * y + dy + shiftY];
  };
  const nearest = new Float64Array(size * size).fill(Number.POSITIVE_INFINITY);
  for (const line of glyphs[label]!) {
    const points = line.map(place);
    for (let i = 1; i < points.length; i++) lower(nearest, points[i - 1]!, points[i]!);
  }
  // The edge of the stroke is as soft as a pixel is wide.
  return nearest.map((square) => Math.min(1, Math.max(0, (half + 0.015 - Math.sqrt(square)) / 0.03)));
}

/** Lowers the squared distances of all pixels to that to a segment, where it is nearer. */
function lower(nearest: Float64Array, [ax, ay]: Point, [bx, by]: Point): void {
  const [vx, vy] = [bx - ax, by - ay];
  const square = Math.max(vx * vx + vy * vy, 1e-12);
  for (let row = 0; row < size; row++)
    for (let column = 0; column < size; column++) {
      const [x, y] = [(column + 0.5) / size - ax, (row + 0.5) / size - ay];
      const along = Math.min(1, Math.max(0, (x * vx + y * vy) / square));
      const distance = (x - along * vx) ** 2 + (y - along * vy) ** 2;
      if (distance < nearest[row * size + column]!) nearest[row * size + column] = distance;
    }
}

/** A Gaussian blur with a standard deviation in pixels; beyond the rim are copies of it. */
function blur(plane: Float64Array, sigma: number): Float64Array {
  const radius = Math.ceil(3 * sigma);
  const kernel = Array.from({ length: 2 * radius + 1 }, (_, i) => Math.exp(-((i - radius) ** 2) / (2 * sigma * sigma)));
  const sum = kernel.reduce((a, b) => a + b, 0);
  const inside = (i: number) => Math.min(size - 1, Math.max(0, i));
  const pass = (from: Float64Array, at: (row: number, column: number, offset: number) => number) =>
    from.map((_, i) => {
      const [row, column] = [Math.floor(i / size), i % size];
      return kernel.reduce((total, weight, k) => total + weight * from[at(row, column, k - radius)]!, 0) / sum;
    });
  const rows = pass(plane, (row, column, offset) => row * size + inside(column + offset));
  return pass(rows, (row, column, offset) => inside(row + offset) * size + column);
}

/** Enlarges or shrinks a square plane by bilinear interpolation between the centres of its pixels. */
function resize(plane: Float64Array, from: number, to: number): Float64Array {
  const at = (i: number) => Math.min(from - 1, Math.max(0, ((i + 0.5) * from) / to - 0.5));
  return Float64Array.from({ length: to * to }, (_, i) => {
    const [y, x] = [at(Math.floor(i / to)), at(i % to)];
    const [top, left] = [Math.floor(y), Math.floor(x)];
    const [bottom, right] = [Math.min(from - 1, top + 1), Math.min(from - 1, left + 1)];
    const mixed = (row: number) =>
      plane[row * from + left]! * (1 - (x - left)) + plane[row * from + right]! * (x - left);
    return mixed(top) * (1 - (y - top)) + mixed(bottom) * (y - top);
  });
}

type Color = readonly number[];
const color = (random: Random, [low, high]: Range = [0, 1]): Color =>
  Array.from({ length: 3 }, () => random.uniform(low, high));

/** A picture as the value of each of its numbers, 0..1: [28, 28, 3] in row-major order. */
type Picture = (pixel: number, channel: number) => number;

/** How each domain is drawn. */
const painters = {
  /** White on black, like MNIST. */
  clean: (label: number, random: Random): Picture => {
    const ink = draw(label, clean, random);
    return (pixel) => ink[pixel]!;
  },
  /** Few grey pixels, enlarged, like USPS. */
  lowres: (label: number, random: Random): Picture => {
    const hand = { ...clean, rotation: 10, stroke: [0.06, 0.1], aspect: [0.65, 0.85] } as const;
    const coarse = resize(blur(draw(label, hand, random), size / 9 / 2.5), size, 9);
    const ink = resize(coarse, 9, size);
    const gain = random.uniform(0.7, 1.1);
    return (pixel) => gain * ink[pixel]!;
  },
  /** On waves of two colours, like synthetic digits. */
  texture: (label: number, random: Random): Picture => {
    const ink = draw(label, { ...clean, rotation: 20, stroke: [0.04, 0.07], jitter: 0.03 }, random);
    const waves = Array.from({ length: 4 }, () => {
      const [angle, frequency] = [random.uniform(0, 2 * Math.PI), random.uniform(0.5, 4)];
      return [frequency * Math.cos(angle), frequency * Math.sin(angle), random.uniform()] as const;
    });
    const heights = Float64Array.from({ length: size * size }, (_, i) => {
      const [x, y] = [(i % size) / size, Math.floor(i / size) / size];
      return waves.reduce((sum, [fx, fy, phase]) => sum + Math.sin(2 * Math.PI * (fx * x + fy * y + phase)), 0);
    });
    const mixing = heights.map((height) => 0.5 + height / 8);
    const [first, second] = [color(random), color(random)];
    const background = (pixel: number, channel: number) =>
      first[channel]! + (second[channel]! - first[channel]!) * mixing[pixel]!;
    const brightness = first.reduce((sum, value, channel) => sum + value + second[channel]!, 0) / 6;
    const pen = color(random, brightness < 0.5 ? [0.75, 1] : [0, 0.25]);
    const noise = random.normals(size * size * 3);
    return (pixel, channel) =>
      mix(background(pixel, channel), pen[channel]!, ink[pixel]!) + 0.03 * noise[pixel * 3 + channel]!;
  },
  /** One of several digits on a plain colour, like street numbers. */
  street: (label: number, random: Random): Picture => onStreet(label, random, [0.25, 0.6], [17, 18], 0.04),
  /** The same with less contrast, a nearer neighbour and more noise. */
  street_hard: (label: number, random: Random): Picture => onStreet(label, random, [0.13, 0.35], [14, 15], 0.07),
  /** Thin, black on white. */
  invert: (label: number, random: Random): Picture => {
    const ink = draw(label, { ...clean, stroke: [0.03, 0.06] }, random);
    return (pixel) => 1 - ink[pixel]!;
  },
};

function mix(background: number, pen: number, ink: number): number {
  return background + (pen - background) * ink;
}

function onStreet(label: number, random: Random, contrast: Range, shifts: readonly number[], noisy: number): Picture {
  let ink = draw(label, street, random);
  if (random.uniform() < 0.8) {
    const shift = (random.choice(shifts) * random.choice([-1, 1])) / size;
    const other = draw(random.integer(10), street, random, [shift, 0]);
    ink = ink.map((value, i) => Math.max(value, other[i]!));
  }
  ink = blur(ink, random.uniform(0.3, 0.9));
  const background = color(random);
  // Lighter or darker than the background; where that would leave little of the difference, the other of the two.
  const brightness = background.reduce((sum, value) => sum + value, 0) / 3;
  const difference = random.uniform(...contrast) * random.choice([-1, 1]);
  const sign = brightness + difference > 1 || brightness + difference < 0 ? -1 : 1;
  const pen = background.map((value) => value + sign * difference + 0.08 * random.normal());
  const [angle, slope] = [random.uniform(0, 2 * Math.PI), random.uniform(-0.25, 0.25)];
  const gradient = (pixel: number) => {
    const [x, y] = [(pixel % size) / size - 0.5, Math.floor(pixel / size) / size - 0.5];
    return slope * (Math.cos(angle) * x + Math.sin(angle) * y);
  };
  const noise = random.normals(size * size * 3);
  return (pixel, channel) =>
    mix(background[channel]!, pen[channel]!, ink[pixel]!) + gradient(pixel) + noisy * noise[pixel * 3 + channel]!;
}

/** A domain of digits that are drawn by code. */
export type DrawnDomain = keyof typeof painters;

/** The domains of digits that are drawn by code. */
export const drawnDomains = Object.keys(painters) as readonly DrawnDomain[];

/**
 * Draws digits: 28×28 pixels, as many of each class as of the others, more or less one. A picture depends on the domain,
 * the split, the seed and its own number alone, so that fewer of them are the first of more, and no picture of one split
 * is one of the other.
 * @param count how many, at least 1.
 * @throws GymError E_VALUE on another count.
 */
export function drawDigits(domain: DrawnDomain, split: Split, count: number, seed: number): LabelledImages {
  if (!(Number.isInteger(count) && count >= 1))
    throw new GymError('E_VALUE', `drawDigits: count must be an integer of at least 1, actual value ${count}.`);
  const random = new Random(seed).child(`${domain}/${split}`);
  const data = new Uint8Array(count * size * size * 3);
  const labels = Int32Array.from({ length: count }, (_, i) => i % digits.length);
  for (let i = 0; i < count; i++) {
    const picture = painters[domain](labels[i]!, random.child(i));
    for (let pixel = 0, at = i * size * size * 3; pixel < size * size; pixel++)
      for (let channel = 0; channel < 3; channel++)
        data[at++] = Math.round(255 * Math.min(1, Math.max(0, picture(pixel, channel))));
  }
  return { images: { data, shape: [count, size, size, 3] }, labels, classes: digits, domain, split };
}
