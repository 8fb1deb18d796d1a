import { describe, expect, it } from 'vitest';
import { type NdArray, ndarray } from '../../../core/ndarray.js';
import {
  Box,
  Dict,
  Discrete,
  elementFromJson,
  elementToJson,
  type Flat,
  flatten,
  flattenInto,
  Graph,
  isFlattenable,
  MultiBinary,
  MultiDiscrete,
  OneOf,
  Sequence,
  type Space,
  spaceFromJson,
  spaceToJson,
  Text,
  Tuple,
  unflatten,
} from '../../../envs/spaces/index.js';

const f32 = (...values: number[]) => ndarray(Float32Array.from(values), [values.length]);
const throughJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

const spaces: Space<unknown>[] = [
  new Box(0, 1, [2]),
  new Discrete(3),
  new MultiBinary(2),
  new MultiDiscrete([2, 3]),
  new Text(3),
  new Tuple([new Discrete(3), new Box(0, 1)]),
  new Dict({ a: new Discrete(3), b: new Box(0, 1) }),
  new OneOf([new Discrete(3), new Box(0, 1)]),
  new Sequence(new Discrete(3)),
  new Graph(new Discrete(3), new Discrete(2)),
];
const strangers: unknown[] = [
  undefined,
  null,
  7,
  Number.NaN,
  '§',
  'zzzzz',
  { z: 1 },
  [1, 2, 3, 4],
  [7, 7],
  f32(1, 2, 3),
];
strangers.push(Symbol('odd'), { nodes: [9] }, { nodes: 1, edges: [0], edgeLinks: [0, 0] });

describe.each(spaces.map((space) => [String(space), space] as const))('%s', (_, space) => {
  it('is not left by flatten, flattenInto or elementFromJson', () => {
    for (const stranger of strangers) {
      expect(() => flatten(space, stranger)).toThrow(/flatten: .* is no element of/);
      if (isFlattenable(space))
        expect(() => flattenInto(space, stranger, new Float64Array(99))).toThrow(/is no element of/);
      if (space instanceof Box && Array.isArray(stranger) && stranger.length === 2) continue; // its JSON, out of bounds
      expect(() => elementFromJson(space, stranger), String(stranger)).toThrow(/^elementFromJson: /);
    }
  });
});

describe('flatten', () => {
  it('refuses an array too short to hold the numbers, which it would lose', () => {
    const into = new Float32Array(4);
    expect(() => flattenInto(new Discrete(3), 2, into, 2)).toThrow(/3 numbers from offset 2 .* array of 4/);
    expect(() => flattenInto(new Discrete(3), 2, into, -1)).toThrow(/offset -1/);
    expect(into).toEqual(new Float32Array(4));
  });

  it('keeps numbers of a Box that are outside its bounds', () => {
    const space = new Dict({ a: new Box(0, 1, [2]), b: new Discrete(2) });
    expect([...(flatten(space, { a: f32(5, Number.NaN), b: 1 }) as NdArray).data]).toEqual([5, Number.NaN, 0, 1]);
  });

  it('has no element for numbers that a type does not hold', () => {
    const flat = (...values: number[]): Flat => ndarray(Float64Array.from(values), [values.length]);
    const bytes = new Box(0, 255, [2], 'uint8');
    expect(() => unflatten(bytes, flat(1, 300))).toThrow('unflatten: number 1, 300, is no uint8');
    expect(() => unflatten(bytes, flat(-1, 0))).toThrow(/-1, is no uint8/);
    expect(() => unflatten(bytes, flat(0.5, 0))).toThrow(/0.5, is no uint8/);
    expect(() => unflatten(new MultiBinary(2), flat(0, 0.5))).toThrow(/no int8/);
    expect(() => unflatten(new MultiBinary(2), flat(0, 7))).toThrow(/no element of MultiBinary\(2\)/);
    expect(() => unflatten(new Text(2, { charset: 'ab' }), flat(0, 9))).toThrow(/none with index 9/);
    expect(unflatten(bytes, flat(3, 255))).toEqual(ndarray(Uint8Array.of(3, 255), [2]));
  });
});

describe('elements in JSON', () => {
  it('come back bit for bit, outside the bounds too', () => {
    const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
    const space = new Tuple([new Box(-inf, inf, [4]), new Dict({ x: new Box(0, 1, [2], 'float64') })]);
    const element = [f32(nan, -0, inf, -inf), { x: ndarray(Float64Array.of(-0, 1e300), [2]) }] as const;
    const back = elementFromJson(space, throughJson(elementToJson(space, element)));
    expect(back).toStrictEqual(element); // toStrictEqual tells -0 from 0
  });

  it('are numbers that the type holds, and no other text', () => {
    expect(() => elementFromJson(new Box(0, 255, [1], 'uint8'), [300])).toThrow(/300, is no uint8/);
    expect(() => elementFromJson(new MultiDiscrete([3]), [1.5])).toThrow(/1.5, is no int32/);
    expect(() => elementFromJson(new Box(0, 1), ['x'])).toThrow(/no element/);
    expect(() => elementFromJson(new Box(0, 1), [null])).toThrow(/no element/);
    expect(() => elementFromJson(new Tuple([new Discrete(2)]), [1, 1])).toThrow(/no element/);
  });
});

describe('spaces in JSON', () => {
  it('of integers keep which bounds are none', () => {
    const space = new Box([-Infinity, -2147483648], [5, 5], [2], 'int32');
    const back = spaceFromJson(throughJson(spaceToJson(space))) as Box;
    expect(back.equals(space)).toBe(true);
    expect([...back.boundedBelow]).toEqual([0, 1]);
  });

  it('lack nothing: a default would make another space', () => {
    for (const space of spaces) {
      const json = spaceToJson(space) as Record<string, unknown>;
      for (const key of Object.keys(json).filter((name) => name !== 'kind')) {
        const { [key]: _, ...rest } = json;
        expect(() => spaceFromJson(rest), `${space} without ${key}`).toThrow(`${json.kind} needs \`${key}\``);
      }
    }
  });

  it('have fields of the right types', () => {
    expect(() => spaceFromJson({ kind: 'Box', low: 0, high: 1, shape: 3, dtype: 'int8' })).toThrow(/Box.shape.* 3/);
    expect(() => spaceFromJson({ kind: 'Box', low: 'a', high: 1, shape: [1], dtype: 'int8' })).toThrow(/low.*'a'/);
    expect(() => spaceFromJson({ kind: 'Tuple', spaces: 3 })).toThrow(/Tuple.spaces must be a list, actual value 3/);
    expect(() => spaceFromJson({ kind: 'Dict', spaces: [3] })).toThrow(/needs \[key, space\], actual value 3/);
    expect(() => spaceFromJson({ kind: 'Sequence', feature: 3 })).toThrow(/needs an object with `kind`.* 3/);
  });
});
