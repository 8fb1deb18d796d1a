import { GymError } from '../../core/errors.js';
import { type NdArray, sizeOf } from '../../core/ndarray.js';
import type { Reward, RewardBatch } from '../../core/reward.js';
import { shownJson } from '../../core/shown.js';
import {
  type Colour,
  colours,
  coverage,
  type Description,
  type Kind,
  type Named,
  palette,
  parseCaption,
  type Shape,
  type Side,
  shapes,
  shapesPrompts,
} from './world.js';

/** An object found in a picture. Lengths are fractions of the picture's width and height; y points down. */
export interface FoundObject {
  readonly colour: Colour;
  /** The shape whose drawing at this place with this area covers it best. */
  readonly shape: Shape;
  /** The middle of its bounding box. */
  readonly x: number;
  readonly y: number;
  /** Its share of the picture. */
  readonly area: number;
}

// Grey levels of a pixel's brightest channel: background below the first, part of an object from the second on (nearly
// half of a drawn edge), what is between is a soft edge and is neither.
const dark = 72;
const bright = 112;
/** How far a pixel's hue (RGB over its largest channel) may be from its colour's; the nearest two colours are .59 apart. */
const hueTolerance = 0.45;
/** An object covers at least this share of the picture (5 pixels of 16×16); the smallest drawn one has 9. */
const minimumArea = 0.017;
/** A picture has at least this share of background, and at most that of bright pixels that are in no object. */
const minimumBackground = 0.4;
const maximumClutter = 0.04;

const hues = colours.map((colour) => {
  const rgb = palette[colour];
  const largest = Math.max(...rgb);
  return rgb.map((channel) => channel / largest);
});

/** A shape's area and the height of its centroid at radius 1, measured on a large drawing of it. */
const moments = Object.fromEntries(
  shapes.map((shape) => {
    const mask = coverage(shape, { x: 64, y: 64, radius: 50 }, 128, 128);
    let area = 0;
    let height = 0;
    mask.forEach((share, i) => {
      area += share;
      height += share * (Math.floor(i / 128) + 0.5 - 64);
    });
    return [shape, { area: area / 50 ** 2, height: height / area / 50 }];
  }),
) as Record<Shape, { area: number; height: number }>;

/**
 * Finds the objects of a picture from its pixels alone: connected pixels of one of the six colours on a dark background.
 * Slightly blurred, noisy and off-colour pictures (those of a diffusion model) are read as a person would; a picture
 * without background or with much that is no object is not one of this world and has none.
 *
 * @param pixels height·width·3 values 0..255, row-major RGB, at least 16×16.
 */
export function findObjects(pixels: ArrayLike<number>, height: number, width: number): FoundObject[] {
  const size = width * height;
  // −1 background and soft edges, 0..5 the index of a colour, 6 bright but of no colour.
  const labels = new Int8Array(size).fill(-1);
  let background = 0;
  let lit = 0;
  for (let i = 0; i < size; i++) {
    const r = pixels[3 * i]!;
    const g = pixels[3 * i + 1]!;
    const b = pixels[3 * i + 2]!;
    const largest = Math.max(r, g, b);
    if (largest < dark) background += 1;
    if (largest < bright) continue;
    lit += 1;
    labels[i] = colours.length;
    let nearest = hueTolerance ** 2;
    for (let c = 0; c < hues.length; c++) {
      const hue = hues[c]!;
      const d = (r / largest - hue[0]!) ** 2 + (g / largest - hue[1]!) ** 2 + (b / largest - hue[2]!) ** 2;
      if (d < nearest) {
        nearest = d;
        labels[i] = c;
      }
    }
  }
  if (background < minimumBackground * size) return [];

  const found: FoundObject[] = [];
  const seen = new Uint8Array(size);
  for (let start = 0; start < size; start++) {
    const label = labels[start]!;
    if (seen[start] || label < 0 || label === colours.length) continue;
    const component = flood(labels, seen, start, width);
    if (component.length < minimumArea * size) continue;
    lit -= component.length;
    found.push(measure(pixels, height, width, component, colours[label]!));
  }
  return lit > maximumClutter * size ? [] : found;
}

/** The pixels of one label that hang together by their sides with `start`; marks them as seen. */
function flood(labels: Int8Array, seen: Uint8Array, start: number, width: number): number[] {
  const component = [start];
  seen[start] = 1;
  const visit = (i: number) => {
    if (labels[i] !== labels[start] || seen[i]) return;
    seen[i] = 1;
    component.push(i);
  };
  // The list grows while it is walked: a breadth-first search.
  for (let k = 0; k < component.length; k++) {
    const i = component[k]!;
    if (i % width > 0) visit(i - 1);
    if (i % width < width - 1) visit(i + 1);
    visit(i - width);
    visit(i + width);
  }
  return component;
}

/** Place, area and shape of a component. */
function measure(
  pixels: ArrayLike<number>,
  height: number,
  width: number,
  component: readonly number[],
  colour: Colour,
): FoundObject {
  let [left, right, top, bottom] = [width, 0, height, 0];
  for (const i of component) {
    left = Math.min(left, i % width);
    right = Math.max(right, (i % width) + 1);
    top = Math.min(top, Math.floor(i / width));
    bottom = Math.max(bottom, Math.floor(i / width) + 1);
  }
  const place = { x: (left + right) / 2 / width, y: (top + bottom) / 2 / height };

  // The soft mask: how much of its colour each pixel of the bounding box and one pixel around it has.
  const edge = Math.max(1, Math.round(width / 16));
  left = Math.max(0, left - edge);
  top = Math.max(0, top - edge);
  const columns = Math.min(width, right + edge) - left;
  const rows = Math.min(height, bottom + edge) - top;
  const rgb = palette[colour];
  const norm = rgb[0] ** 2 + rgb[1] ** 2 + rgb[2] ** 2;
  const mask = new Float32Array(rows * columns);
  let area = 0;
  let [x, y] = [0, 0];
  for (let i = 0; i < mask.length; i++) {
    const [row, column] = [Math.floor(i / columns), i % columns];
    const at = 3 * ((top + row) * width + left + column);
    const share = (rgb[0] * pixels[at]! + rgb[1] * pixels[at + 1]! + rgb[2] * pixels[at + 2]!) / norm;
    // Below a tenth is the noise of the background.
    if (share < 0.1) continue;
    mask[i] = Math.min(1, share);
    area += mask[i]!;
    x += mask[i]! * (column + 0.5);
    y += mask[i]! * (row + 0.5);
  }

  // The template of the same area and centroid that overlaps most (intersection over union of soft masks).
  let shape: Shape = shapes[0];
  let best = -1;
  for (const candidate of shapes) {
    const radius = Math.sqrt(area / moments[candidate].area);
    const centre = { x: x / area, y: y / area - moments[candidate].height * radius, radius };
    const template = coverage(candidate, centre, columns, rows);
    let [both, either] = [0, 0];
    for (let i = 0; i < mask.length; i++) {
      both += Math.min(mask[i]!, template[i]!);
      either += Math.max(mask[i]!, template[i]!);
    }
    if (both / either > best) {
      best = both / either;
      shape = candidate;
    }
  }
  return { colour, shape, ...place, area: component.length / (width * height) };
}

/** The side of the picture that an object is on: the direction in which it is farthest off the middle, if it clearly is. */
function sideOf({ x, y }: FoundObject): Side | undefined {
  const [dx, dy] = [x - 0.5, y - 0.5];
  if (Math.max(Math.abs(dx), Math.abs(dy)) < 0.08) return undefined;
  if (Math.abs(dx) > Math.abs(dy)) return dx < 0 ? 'left' : 'right';
  return dy < 0 ? 'top' : 'bottom';
}

/** Whether a picture shows what a caption names, the shape aside. */
function isRight(objects: readonly FoundObject[], description: Description): boolean {
  switch (description.kind) {
    case 'color':
      return objects.length === 1 && objects[0]!.colour === description.colour;
    case 'count':
      return objects.length === description.count;
    case 'composition':
      return matches(objects, description.pair, (a, b) => a.colour === b.colour);
    case 'location':
      return objects.length === 1 && sideOf(objects[0]!) === description.side;
  }
}

/** Whether the objects of a picture have the shapes that a caption names; never so for a picture without objects. */
function hasShapes(objects: readonly FoundObject[], description: Description): boolean {
  if (description.kind === 'composition')
    return matches(objects, description.pair, (a, b) => a.colour === b.colour && a.shape === b.shape);
  return objects.length > 0 && objects.every(({ shape }) => shape === description.shape);
}

function matches(objects: readonly Named[], [a, b]: readonly [Named, Named], same: (a: Named, b: Named) => boolean) {
  const [first, second] = objects;
  if (!first || !second || objects.length > 2) return false;
  return (same(first, a) && same(second, b)) || (same(first, b) && same(second, a));
}

/** What one picture is worth for one caption. */
export interface ShapesScore {
  /** Whether it shows what the caption's kind is about: the one object's colour; the number; the two colours; the side. */
  readonly right: boolean;
  /** Whether what is there has the caption's shape (in a composition: each colour its own). */
  readonly shape: boolean;
}

/**
 * Scores one picture.
 * @param image uint8 [height, width, 3], at least 16×16.
 * @throws GymError E_VALUE when the text is no caption of the world of shapes, E_SHAPE when the image is not of that form.
 */
export function scoreShapes(image: NdArray, text: string): ShapesScore {
  const [height = 0, width = 0, channels = 0] = image.shape;
  if (image.shape.length !== 3 || channels !== 3 || height < 16 || width < 16)
    throw new GymError(
      'E_SHAPE',
      `shapes: images must be [height, width, 3] of at least 16×16 pixels, actual [${image.shape.join(', ')}].`,
    );
  const description = parseCaption(text);
  if (!description)
    throw new GymError(
      'E_VALUE',
      `shapes: ${shownJson(text)} is no caption of the world of shapes, for example ${JSON.stringify(shapesPrompts('color')[0])}, ${JSON.stringify(shapesPrompts('count')[2])}; use its prompts or another reward.`,
    );
  const objects = findObjects(image.data, height, width);
  return { right: isRight(objects, description), shape: hasShapes(objects, description) };
}

/**
 * The exact reward of the world of shapes, 1 or 0 for each picture, with the detail `shape`:
 * `shapes` judges by each prompt's own kind, `shapes-KIND` takes prompts of that kind only, and `shapes-shape` is the
 * detail itself.
 */
export function shapesReward(what?: Kind | 'shape'): Reward {
  const name = what ? `shapes-${what}` : 'shapes';
  return {
    name,
    score({ images, prompts }: RewardBatch) {
      const shape = images.shape.slice(1);
      const size = sizeOf(shape);
      const results = prompts.map((prompt, i) => {
        const actual = parseCaption(prompt)?.kind;
        if (what && what !== 'shape' && actual && actual !== what)
          throw new GymError(
            'E_VALUE',
            `${name}: sample ${i} has a prompt of kind ${actual}, ${shownJson(prompt)}; use prompts of kind ${what}, or the reward \`shapes\`, which goes by each prompt's own kind.`,
          );
        return scoreShapes({ data: images.data.subarray(i * size, (i + 1) * size), shape }, prompt);
      });
      const shapeScores = results.map((result) => Number(result.shape));
      if (what === 'shape') return shapeScores;
      return { scores: results.map(({ right }) => Number(right)), details: { shape: shapeScores } };
    },
  };
}
