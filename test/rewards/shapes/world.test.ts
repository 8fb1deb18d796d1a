import { describe, expect, it } from 'vitest';
import { Random } from '../../../core/random.js';
import {
  caption,
  colours,
  drawScene,
  type Kind,
  kinds,
  palette,
  parseCaption,
  randomScene,
  type Scene,
  sceneOf,
  shapes,
  shapesPrompts,
  shapesVocabulary,
} from '../../../rewards/shapes/world.js';

describe('captions', () => {
  it('lists all captions of a kind, each once, and reads each back', () => {
    const sizes = { color: 24, count: 16, composition: 480, location: 16 };
    for (const kind of kinds) {
      const prompts = shapesPrompts(kind);
      expect(new Set(prompts).size).toBe(sizes[kind]);
      expect(prompts.length).toBe(sizes[kind]);
      for (const prompt of prompts) expect(parseCaption(prompt)?.kind).toBe(kind);
    }
    expect(shapesPrompts('color')).toContain('a green circle');
    expect(shapesPrompts('count')).toEqual(expect.arrayContaining(['one star', 'three squares']));
    expect(shapesPrompts('composition')).toContain('a red circle and a blue square');
    expect(shapesPrompts('location')).toContain('a triangle on the left');
  });

  it('knows what a caption says and what is none', () => {
    expect(parseCaption(' Three Squares ')).toEqual({ kind: 'count', count: 3, shape: 'square' });
    expect(parseCaption('a triangle on the left')).toEqual({ kind: 'location', shape: 'triangle', side: 'left' });
    for (const text of ['', 'a cat', 'three square', 'a red circle and a red square', 'five stars', 'constructor'])
      expect(parseCaption(text)).toBeUndefined();
    expect(() => shapesPrompts('colour' as Kind)).toThrow(/Did you mean `color`/);
    expect(() => sceneOf('a cat', new Random(0))).toThrow(/"a cat" is no caption/);
  });

  it('has a vocabulary of exactly the words in use', () => {
    const words = new Set(kinds.flatMap(shapesPrompts).flatMap((text) => text.split(' ')));
    expect(shapesVocabulary).toEqual([...words].sort());
  });
});

describe('scenes', () => {
  it('shows what the caption says: colour, number, pair, side', () => {
    const random = new Random(1);
    for (let i = 0; i < 400; i++) {
      const scene = randomScene(kinds[i % 4]!, random);
      const { description, objects } = scene;
      expect(parseCaption(caption(scene))).toEqual(description);
      if (description.kind === 'composition')
        expect(objects.map(({ colour, shape }) => ({ colour, shape }))).toEqual(description.pair);
      else {
        expect(objects.length).toBe(description.kind === 'count' ? description.count : 1);
        for (const { shape } of objects) expect(shape).toBe(description.shape);
      }
      if (description.kind === 'color') expect(objects[0]!.colour).toBe(description.colour);
      if (description.kind === 'location') {
        const { x, y } = objects[0]!;
        const offset = { left: 0.5 - x, right: x - 0.5, top: 0.5 - y, bottom: y - 0.5 };
        for (const [side, value] of Object.entries(offset)) expect(value > 0.15).toBe(side === description.side);
      }
    }
  });

  it('keeps objects inside the picture and apart', () => {
    const random = new Random(2);
    for (let i = 0; i < 400; i++) {
      const { objects } = randomScene(i % 2 ? 'count' : 'composition', random);
      for (const [k, a] of objects.entries()) {
        expect(Math.min(a.x, a.y, 1 - a.x, 1 - a.y) - a.radius).toBeGreaterThan(0);
        // More than one pixel and a half of 16 between the bounding boxes.
        for (const b of objects.slice(k + 1))
          expect(Math.max(Math.abs(a.x - b.x), Math.abs(a.y - b.y)) - a.radius - b.radius).toBeGreaterThan(1.5 / 16);
      }
    }
  });

  it('draws every caption of a kind about equally often, and the same for the same seed', () => {
    const random = new Random(3);
    const counts = new Map<string, number>();
    for (let i = 0; i < 3200; i++) {
      const text = caption(randomScene('count', random));
      counts.set(text, (counts.get(text) ?? 0) + 1);
    }
    expect(counts.size).toBe(16);
    for (const n of counts.values()) expect(Math.abs(n - 200)).toBeLessThan(70);
    expect(randomScene('color', new Random(5))).toEqual(randomScene('color', new Random(5)));
    expect(caption(sceneOf('four stars', random))).toBe('four stars');
  });
});

describe('drawing', () => {
  const one = (shape: (typeof shapes)[number], radius = 0.25): Scene => ({
    description: { kind: 'color', colour: 'white', shape },
    objects: [{ colour: 'white', shape, x: 0.5, y: 0.5, radius }],
  });
  const area = ({ data }: { data: Uint8Array }, size: number) => data.reduce((a, b) => a + b, 0) / 255 / 3 / size ** 2;

  it('covers the area of the ideal shape at any size', () => {
    // Circle pi r^2, square (1.8 r)^2, triangle (2 r)(1.8 r)/2, star 5 R r sin 36 degrees with R = 1.08, r = 0.5.
    const ideal = { circle: Math.PI, square: 3.24, triangle: 1.8, star: 5 * 1.08 * 0.5 * Math.sin(Math.PI / 5) };
    for (const shape of shapes)
      for (const size of [16, 33, 128])
        expect(area(drawScene(one(shape), size), size), `${shape} ${size}`).toBeCloseTo(ideal[shape] * 0.25 ** 2, 2);
  });

  it('is black around, of the exact colour inside, soft at the edge', () => {
    for (const colour of colours) {
      const scene: Scene = { ...one('circle'), objects: [{ ...one('circle').objects[0]!, colour }] };
      const { data, shape } = drawScene(scene);
      expect(shape).toEqual([16, 16, 3]);
      expect([...data.subarray(0, 3)]).toEqual([0, 0, 0]);
      const middle = (8 * 16 + 8) * 3;
      expect([...data.subarray(middle, middle + 3)]).toEqual([...palette[colour]]);
    }
    const levels = new Set(drawScene(one('circle')).data);
    expect(levels.size).toBeGreaterThan(4);
  });
});
