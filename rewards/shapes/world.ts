import { GymError, unknownName } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import type { Random } from '../../core/random.js';
import { shownJson } from '../../core/shown.js';

/** The four shapes of the world. */
export const shapes = ['circle', 'square', 'triangle', 'star'] as const;
export type Shape = (typeof shapes)[number];

/** The six colours and their RGB: far apart in hue, all bright on the black background. */
export const palette = {
  red: [255, 32, 32],
  green: [32, 208, 64],
  blue: [48, 96, 255],
  yellow: [255, 224, 32],
  purple: [192, 48, 255],
  white: [255, 255, 255],
} as const satisfies Record<string, readonly [number, number, number]>;
export type Colour = keyof typeof palette;
export const colours = Object.keys(palette) as Colour[];

/** Where the one object of a location picture may be. */
export const sides = ['left', 'right', 'top', 'bottom'] as const;
export type Side = (typeof sides)[number];

const numerals = ['one', 'two', 'three', 'four'] as const;

/** The four kinds of prompt of DPOK (Fan et al. 2023, §5). */
export const kinds = ['color', 'count', 'composition', 'location'] as const;
export type Kind = (typeof kinds)[number];

/** What a caption says: the attributes that it names, and no others. */
export type Description =
  | { readonly kind: 'color'; readonly colour: Colour; readonly shape: Shape }
  | { readonly kind: 'count'; readonly count: number; readonly shape: Shape }
  | { readonly kind: 'composition'; readonly pair: readonly [Named, Named] }
  | { readonly kind: 'location'; readonly shape: Shape; readonly side: Side };

/** A shape and its colour. */
export interface Named {
  readonly colour: Colour;
  readonly shape: Shape;
}

/** An object of a picture. Lengths are fractions of the picture's side; y points down. */
export interface SceneObject extends Named {
  /** The centre of its bounding box. */
  readonly x: number;
  readonly y: number;
  /** Half of its bounding box's larger side. */
  readonly radius: number;
}

/** A picture before it is drawn. */
export interface Scene {
  readonly description: Description;
  readonly objects: readonly SceneObject[];
}

// ---------------------------------------------------------------------------------------------------------- captions

function words(description: Description): string {
  switch (description.kind) {
    case 'color':
      return `a ${description.colour} ${description.shape}`;
    case 'count':
      return `${numerals[description.count - 1]} ${description.shape}${description.count > 1 ? 's' : ''}`;
    case 'composition': {
      const [a, b] = description.pair;
      return `a ${a.colour} ${a.shape} and a ${b.colour} ${b.shape}`;
    }
    case 'location':
      return `a ${description.shape} on the ${description.side}`;
  }
}

/** The caption of a scene, for example `a red circle and a blue square`. */
export function caption(scene: Scene): string {
  return words(scene.description);
}

const every: Record<Kind, Description[]> = {
  color: shapes.flatMap((shape) => colours.map((colour) => ({ kind: 'color' as const, colour, shape }))),
  count: shapes.flatMap((shape) => numerals.map((_, i) => ({ kind: 'count' as const, count: i + 1, shape }))),
  composition: allPairs(),
  location: shapes.flatMap((shape) => sides.map((side) => ({ kind: 'location' as const, shape, side }))),
};

/** All pairs of two different colours, in both orders, each with any shape. */
function allPairs(): Description[] {
  const all = colours.flatMap((colour) => shapes.map((shape) => ({ colour, shape })));
  return all.flatMap((a) =>
    all.filter((b) => b.colour !== a.colour).map((b) => ({ kind: 'composition' as const, pair: [a, b] as const })),
  );
}

const byCaption = new Map(kinds.flatMap((kind) => every[kind]).map((d) => [words(d), d]));

/** What a caption of this world says (case and surrounding space ignored), or undefined for any other text. */
export function parseCaption(text: string): Description | undefined {
  return byCaption.get(text.trim().toLowerCase());
}

/**
 * All captions of a kind, in a fixed order: 24 of colour, 16 of count, 480 of composition, 16 of location.
 * @throws GymError E_NAME on another kind.
 */
export function shapesPrompts(kind: Kind): string[] {
  checkKind('shapesPrompts', kind);
  return every[kind].map(words);
}

/** Every word that a caption may hold, sorted: what a tokenizer of this world needs. */
export const shapesVocabulary: readonly string[] = [
  ...new Set([...byCaption.keys()].flatMap((text) => text.split(' '))),
].sort();

function checkKind(where: string, kind: string): void {
  if (!(kinds as readonly string[]).includes(kind)) throw unknownName(where, 'kind of caption', kind, kinds);
}

// ------------------------------------------------------------------------------------------------------------ scenes

/**
 * The radius by the number of objects: large enough to recognise the shape at 16×16, small enough that two of the
 * largest fit beside each other with gap and margins.
 */
const radii: readonly (readonly [number, number])[] = [
  [0.2, 0.34],
  [0.17, 0.2],
  [0.16, 0.185],
  [0.155, 0.175],
];
/** Objects keep this distance: at 16×16 nearly two pixels, so that a blurred picture still has a dark line between. */
const gap = 0.11;
/** And this one to the picture's edge. */
const margin = 0.02;

/**
 * A random scene of a kind. What its caption names is uniform over the captions' words; what it does not name is
 * random: places, sizes, and the colour (one for all objects) in count and location. Objects never touch.
 */
export function randomScene(kind: Kind, random: Random): Scene {
  checkKind('randomScene', kind);
  const description = random.choice(every[kind]);
  return { description, objects: arrange(description, random) };
}

/**
 * Another random picture of one caption.
 * @throws GymError E_VALUE when the text is no caption of this world.
 */
export function sceneOf(text: string, random: Random): Scene {
  const description = parseCaption(text);
  if (!description) throw new GymError('E_VALUE', `sceneOf: ${shownJson(text)} is no caption of the world of shapes.`);
  return { description, objects: arrange(description, random) };
}

function arrange(description: Description, random: Random): SceneObject[] {
  const colour = random.choice(colours);
  switch (description.kind) {
    case 'color':
      return place([description], random);
    case 'count':
      return place(
        Array.from({ length: description.count }, () => ({ colour, shape: description.shape })),
        random,
      );
    case 'composition':
      return place(description.pair, random);
    case 'location': {
      // Clearly off the middle towards the side, and near the middle across it: no place is on two sides.
      const radius = random.uniform(0.18, 0.24);
      const along =
        random.uniform(0.2, 0.47 - radius) * (description.side === 'left' || description.side === 'top' ? -1 : 1);
      const across = random.uniform(-0.1, 0.1);
      const [dx, dy] = description.side === 'left' || description.side === 'right' ? [along, across] : [across, along];
      return [{ colour, shape: description.shape, radius, x: 0.5 + dx, y: 0.5 + dy }];
    }
  }
}

/** Draws sizes, then places until all bounding boxes are inside the picture and apart. */
function place(objects: readonly Named[], random: Random): SceneObject[] {
  const [low, high] = radii[objects.length - 1]!;
  const sizes = objects.map(() => random.uniform(low, high));
  for (;;) {
    const placed: SceneObject[] = [];
    for (const [i, { colour, shape }] of objects.entries()) {
      const radius = sizes[i]!;
      // A few tries each before all is begun anew: four objects seldom fit at the first.
      for (let attempt = 0; attempt < 8 && placed.length === i; attempt++) {
        const x = random.uniform(radius + margin, 1 - margin - radius);
        const y = random.uniform(radius + margin, 1 - margin - radius);
        if (placed.every((o) => Math.max(Math.abs(o.x - x), Math.abs(o.y - y)) >= o.radius + radius + gap))
          placed.push({ colour, shape, radius, x, y });
      }
      if (placed.length === i) break;
    }
    if (placed.length === objects.length) return placed;
  }
}

// ----------------------------------------------------------------------------------------------------------- drawing

const sin = (degrees: number) => Math.sin((degrees * Math.PI) / 180);
const cos = (degrees: number) => Math.cos((degrees * Math.PI) / 180);

/** A five-pointed star's corners, clockwise from the top; plump enough that its points survive at six pixels. */
const starCorners = Array.from({ length: 10 }, (_, i) => {
  const r = i % 2 === 0 ? 1.08 : 0.5;
  return [r * sin(36 * i), 0.08 - r * cos(36 * i)] as const;
});

/**
 * Where the horizontal line at height `y` crosses a shape's outline, sorted: it is inside between the first and the
 * second crossing, the third and the fourth. In units of the radius from the centre of the bounding box.
 */
const crossings: Record<Shape, (y: number) => number[]> = {
  circle(y) {
    const half = Math.sqrt(1 - y * y);
    return Math.abs(y) < 1 ? [-half, half] : [];
  },
  square: (y) => (Math.abs(y) < 0.9 ? [-0.9, 0.9] : []),
  triangle: (y) => (Math.abs(y) < 0.9 ? [-(y + 0.9) / 1.8, (y + 0.9) / 1.8] : []),
  star(y) {
    const xs: number[] = [];
    for (let i = 0, j = 9; i < 10; j = i++) {
      const [xi, yi] = starCorners[i]!;
      const [xj, yj] = starCorners[j]!;
      if (yi > y !== yj > y) xs.push(((xj - xi) * (y - yi)) / (yj - yi) + xi);
    }
    return xs.sort((a, b) => a - b);
  },
};

/** Lines drawn through each row of pixels; along a line the covered share is exact. */
const linesPerRow = 8;

/**
 * The share of each pixel that a shape covers, 0..1, row-major: `height`×`width` values. Centre and radius are in
 * pixels; (0, 0) is the upper left corner of the first pixel.
 */
export function coverage(
  shape: Shape,
  { x, y, radius }: { x: number; y: number; radius: number },
  width: number,
  height: number,
): Float32Array {
  const mask = new Float32Array(width * height);
  const top = Math.max(0, Math.floor(y - 1.1 * radius));
  const bottom = Math.min(height, Math.ceil(y + 1.1 * radius));
  for (let line = top * linesPerRow; line < bottom * linesPerRow; line++) {
    const row = Math.floor(line / linesPerRow);
    const xs = crossings[shape](((line + 0.5) / linesPerRow - y) / radius);
    for (let k = 0; k + 1 < xs.length; k += 2) {
      const from = Math.max(0, x + radius * xs[k]!);
      const to = Math.min(width, x + radius * xs[k + 1]!);
      for (let column = Math.floor(from); column < to; column++)
        mask[row * width + column]! += (Math.min(to, column + 1) - Math.max(from, column)) / linesPerRow;
    }
  }
  return mask;
}

/**
 * Draws a scene on a black background, anti-aliased.
 * @param size pixels of a side.
 * @returns uint8 [size, size, 3].
 */
export function drawScene(scene: Scene, size = 16): NdArray<Uint8Array> {
  const data = new Uint8Array(size * size * 3);
  for (const { shape, colour, x, y, radius } of scene.objects) {
    const mask = coverage(shape, { x: x * size, y: y * size, radius: radius * size }, size, size);
    const rgb = palette[colour];
    for (let i = 0; i < mask.length; i++) {
      const share = mask[i]!;
      if (share > 0)
        for (let c = 0; c < 3; c++) data[3 * i + c] = Math.round(share * rgb[c]! + (1 - share) * data[3 * i + c]!);
    }
  }
  return { data, shape: [size, size, 3] };
}
