import { describe, expect, it } from 'vitest';
import { ndarray } from '../../../core/ndarray.js';
import { Random } from '../../../core/random.js';
import { scoreImages } from '../../../core/score.js';
import { findObjects, scoreShapes, shapesReward } from '../../../rewards/shapes/scorers.js';
import {
  caption,
  colours,
  type Description,
  drawScene,
  kinds,
  palette,
  parseCaption,
  randomScene,
  shapesPrompts,
} from '../../../rewards/shapes/world.js';

const random = new Random('scorers');
const n = 16;

function noisy(data: Uint8Array, deviation: number): Uint8Array {
  return Uint8Array.from(data, (v) => Math.min(255, Math.max(0, Math.round(v + deviation * random.normal()))));
}

/** Mixes each pixel with its eight neighbours: weights `k` beside and k² across the corner, for 1 in the middle. */
function blurred(data: Uint8Array, k: number): Uint8Array {
  return data.map((_, i) => {
    const [c, x, y] = [i % 3, Math.floor(i / 3) % n, Math.floor(i / 3 / n)];
    let [sum, weights] = [0, 0];
    for (let dy = -1; dy <= 1; dy++)
      for (let dx = -1; dx <= 1; dx++) {
        if (x + dx < 0 || y + dy < 0 || x + dx >= n || y + dy >= n) continue;
        const weight = k ** (Math.abs(dx) + Math.abs(dy));
        sum += weight * data[((y + dy) * n + x + dx) * 3 + c]!;
        weights += weight;
      }
    return Math.round(sum / weights);
  });
}

/** What a kind's score is about. */
function judged(d: Description): (string | number)[] {
  if (d.kind === 'color') return [d.colour];
  if (d.kind === 'count') return [d.count];
  return d.kind === 'location' ? [d.side] : d.pair.map(({ colour }) => colour);
}

/** A caption of the same kind that differs in one of the attributes that are scored. */
function wrongCaption(d: Description): string {
  const right = judged(d);
  return random.choice(
    shapesPrompts(d.kind).filter((text) => judged(parseCaption(text)!).filter((a) => !right.includes(a)).length === 1),
  );
}

const changes: Record<string, { change: (data: Uint8Array) => Uint8Array; right: number; shape: number }> = {
  'as drawn': { change: (data) => data, right: 0.97, shape: 0.97 },
  noisy: { change: (data) => noisy(data, 12), right: 0.95, shape: 0.95 },
  'slightly blurred': { change: (data) => blurred(data, 0.25), right: 0.95, shape: 0.8 },
  'slightly blurred and noisy': { change: (data) => noisy(blurred(data, 0.25), 12), right: 0.95, shape: 0.8 },
};

describe.each(kinds)('the score of %s', (kind) => {
  it.each(Object.keys(changes))('is 1 with the right caption and 0 with a wrong one: %s', (name) => {
    const { change, right: bar, shape: shapeBar } = changes[name]!;
    const pictures = 300;
    let [right, wrong, shape] = [0, 0, 0];
    for (let i = 0; i < pictures; i++) {
      const scene = randomScene(kind, random);
      const image = ndarray(change(drawScene(scene, n).data), [n, n, 3]);
      const score = scoreShapes(image, caption(scene));
      right += Number(score.right) / pictures;
      shape += Number(score.shape) / pictures;
      wrong += Number(scoreShapes(image, wrongCaption(scene.description)).right) / pictures;
    }
    expect(right).toBeGreaterThanOrEqual(bar);
    expect(shape).toBeGreaterThanOrEqual(shapeBar);
    expect(wrong).toBeLessThanOrEqual(0.03);
  });

  it('reads larger pictures too', () => {
    for (let i = 0; i < 40; i++) {
      const scene = randomScene(kind, random);
      for (const size of [24, 64])
        expect(scoreShapes(drawScene(scene, size), caption(scene))).toEqual({ right: true, shape: true });
    }
  });

  it('is 0 on blank pictures and on noise', () => {
    const blanks = [...Object.values(palette), [0, 0, 0], [128, 128, 128], [90, 90, 90], [60, 0, 120]];
    const empty: Uint8Array[] = blanks.map((rgb) => Uint8Array.from({ length: n * n * 3 }, (_, i) => rgb[i % 3]!));
    for (const blank of empty.slice()) for (const deviation of [5, 12, 40, 80]) empty.push(noisy(blank, deviation));
    for (let i = 0; i < 50; i++) {
      empty.push(Uint8Array.from({ length: n * n * 3 }, () => random.integer(256)));
      // What a denoiser starts from: a standard normal where −1..1 is 0..255.
      empty.push(noisy(new Uint8Array(n * n * 3).fill(128), 128));
    }
    const prompts = shapesPrompts(kind);
    empty.forEach((data, i) => {
      const image = ndarray(data, [n, n, 3]);
      for (let k = 0; k < 8; k++)
        expect(scoreShapes(image, prompts[(7 * i + k) % prompts.length]!), `picture ${i}`).toEqual({
          right: false,
          shape: false,
        });
    });
  });
});

describe('findObjects', () => {
  it('says colour, shape and place of each object', () => {
    for (let i = 0; i < 200; i++) {
      const { objects } = randomScene('composition', random);
      const found = findObjects(drawScene({ description: parseCaption('one star')!, objects }, 32).data, 32, 32);
      const byColour = (a: { colour: string }, b: { colour: string }) =>
        colours.indexOf(a.colour as never) - colours.indexOf(b.colour as never);
      const [expected, actual] = [objects.toSorted(byColour), found.toSorted(byColour)];
      expect(actual.map((o) => [o.colour, o.shape])).toEqual(expected.map((o) => [o.colour, o.shape]));
      actual.forEach((o, k) => {
        expect(Math.hypot(o.x - expected[k]!.x, o.y - expected[k]!.y)).toBeLessThan(0.05);
      });
    }
  });

  it('does not count a colour of another hue, nor specks', () => {
    const { data } = drawScene({ description: parseCaption('one star')!, objects: [] });
    const paint = (x: number, y: number, size: number, rgb: number[]) => {
      const copy = data.slice();
      for (let j = 0; j < size; j++) for (let i = 0; i < size; i++) copy.set(rgb, ((y + j) * n + x + i) * 3);
      return findObjects(copy, n, n);
    };
    expect(paint(5, 5, 5, [...palette.red])).toMatchObject([{ colour: 'red', shape: 'square' }]);
    expect(paint(5, 5, 5, [0, 255, 255])).toEqual([]);
    expect(paint(5, 5, 5, [255, 160, 150])).toEqual([]);
    expect(paint(5, 5, 2, [...palette.red])).toEqual([]);
  });
});

describe('shapesReward', () => {
  const batch = (prompts: string[]) => ({
    images: ndarray(new Uint8Array(prompts.length * 768), [prompts.length, 16, 16, 3]),
    prompts,
  });

  it('refuses prompts of other kinds, other texts and other images, naming them', async () => {
    await expect(scoreImages(shapesReward('count'), batch(['two stars', 'a red star']))).rejects.toThrow(
      /`shapes-count`: .*sample 1 has a prompt of kind color, "a red star"; use prompts of kind count, or the reward `shapes`/,
    );
    for (const reward of [shapesReward(), shapesReward('count'), shapesReward('shape')])
      await expect(scoreImages(reward, batch(['a cat']))).rejects.toThrow(
        /"a cat" is no caption of the world of shapes/,
      );
    const grey = { images: ndarray(new Uint8Array(256), [1, 16, 16, 1]), prompts: ['two stars'] };
    await expect(scoreImages(shapesReward(), grey)).rejects.toThrow(/actual \[16, 16, 1\]/);
  });

  it('judges by each prompt of its own kind', async () => {
    const scenes = Array.from({ length: 40 }, (_, i) => randomScene(kinds[i % 4]!, random));
    const images = ndarray(Uint8Array.from(scenes.flatMap((s) => [...drawScene(s).data])), [40, 16, 16, 3]);
    const { scores, details } = await scoreImages(shapesReward(), { images, prompts: scenes.map(caption) });
    expect(scores).toEqual(new Float64Array(40).fill(1));
    expect(details).toEqual({ shape: new Float64Array(40).fill(1) });
    const turned = [...scenes.slice(1), scenes[0]!].map(caption);
    expect(
      (await scoreImages(shapesReward(), { images, prompts: turned })).scores.reduce((a, b) => a + b),
    ).toBeLessThan(10);
  });
});
