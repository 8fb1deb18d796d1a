import { describe, expect, expectTypeOf, it } from 'vitest';
import { type NdArray, ndarray } from '../../../core/ndarray.js';
import {
  Box,
  Dict,
  Discrete,
  type ElementOf,
  elementFromJson,
  elementToJson,
  flatdim,
  flatten,
  flattenInto,
  flattenSpace,
  Graph,
  type GraphElement,
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

const { POSITIVE_INFINITY: inf } = Number;
const f32 = (...values: number[]) => ndarray(Float32Array.from(values), [values.length]);

const every: [string, () => Space<unknown>][] = [
  ['Box', () => new Box([-1, -inf], [1, 5])],
  ['Box of integers', () => new Box(-3, 4, [2, 2], 'int16')],
  ['Discrete', () => new Discrete(4, -2)],
  ['MultiBinary', () => new MultiBinary([2, 3])],
  ['MultiDiscrete', () => new MultiDiscrete([2, 3, 4, 5], { start: [0, 1, 0, -7], shape: [2, 2] })],
  ['Text', () => new Text(5, { minLength: 0, charset: 'abcÄ😀' })],
  ['Tuple', () => new Tuple([new Discrete(3), new Box(0, 1, [2])])],
  ['Dict', () => new Dict({ z: new Discrete(3), a: new Tuple([new MultiBinary(2), new Box(0, 1, [1], 'float64')]) })],
  // in sorted order the keys are '10', '2', while JavaScript orders the properties of an object 2, 10
  ['Dict with keys like integers', () => new Dict({ 2: new Discrete(2), 10: new Discrete(3), a: new Discrete(4) })],
  ['Dict of a list', () => new Dict([['b', new Discrete(2)] as const, ['2', new Box(0, 1)], ['10', new Text(2)]])],
  [
    'Dict that does not flatten, with keys like integers',
    () => new Dict({ 2: new Sequence(new Discrete(2)), 10: new Discrete(3) }),
  ],
  ['Sequence', () => new Sequence(new Dict({ x: new Box(0, 1), y: new Text(3) }))],
  ['Graph', () => new Graph(new Box(0, 1, [2]), new Discrete(3))],
  ['Graph without edges', () => new Graph(new Discrete(3), null)],
  ['OneOf', () => new OneOf([new Discrete(3), new Box(0, 1, [2]), new Text(4)])],
];

describe.each(every)('%s', (kind, make) => {
  it('contains its samples', () => {
    const space = make();
    space.seed(3);
    for (let i = 0; i < 50; i++) expect(space.contains(space.sample())).toBe(true);
  });

  it('contains nothing else, and never throws', () => {
    const space = make();
    const others = [undefined, null, Number.NaN, 1.5, -99, '§', [], {}, [0], f32(9, 9, 9), () => 0, { nodes: 1 }];
    for (const other of others)
      if (!(space instanceof Sequence && Array.isArray(other) && other.length === 0))
        expect(space.contains(other), JSON.stringify(other)).toBe(false);
  });

  it('comes back from JSON equal, and differs from all others', () => {
    const space = make();
    const copy = spaceFromJson(JSON.parse(JSON.stringify(spaceToJson(space))));
    expect(copy.equals(space) && space.equals(copy)).toBe(true);
    expect(String(copy)).toBe(String(space));
    space.seed(1);
    copy.seed(1);
    expect(copy.sample()).toEqual(space.sample());
    for (const [name, other] of every) if (name !== kind) expect(space.equals(other()), name).toBe(false);
  });

  it('unflattens what it flattened into a member of the flat space', () => {
    const space = make();
    space.seed(4);
    const flat = flattenSpace(space);
    for (let i = 0; i < 20; i++) {
      const sample = space.sample();
      const flattened = flatten(space, sample);
      expect(flat.contains(flattened)).toBe(true);
      expect(unflatten(space, flattened)).toEqual(sample);
    }
  });

  it('takes elements to JSON and back', () => {
    const space = make();
    space.seed(5);
    for (let i = 0; i < 10; i++) {
      const sample = space.sample();
      expect(elementFromJson(space, JSON.parse(JSON.stringify(elementToJson(space, sample))))).toEqual(sample);
    }
  });
});

describe('Box', () => {
  it('has the shape of its bounds, and [1] for two numbers', () => {
    expect(new Box(0, 1).shape).toEqual([1]);
    expect(new Box([0, 0, 0], 1).shape).toEqual([3]);
    expect(new Box(0, 1, []).sample().data.length).toBe(1);
    expect(new Box(ndarray(new Float64Array(6), [2, 3]), 1).shape).toEqual([2, 3]);
  });

  it('refuses bounds that make no space', () => {
    expect(() => new Box(Number.NaN, 1)).toThrow(/low\[0\] is NaN/);
    expect(() => new Box([0, 2], 1)).toThrow(/low\[1\] = 2 is above high\[1\] = 1/);
    expect(() => new Box(0, 256, [1], 'uint8')).toThrow(/outside uint8/);
    expect(() => new Box(-1, 5, [1], 'uint8')).toThrow(/outside uint8/);
    expect(() => new Box(0, inf, [1], 'uint8')).toThrow(/finite/);
    expect(() => new Box(0, 0.5, [1], 'int8')).toThrow(/not an integer/);
    expect(() => new Box(inf, inf)).toThrow(/no element/);
    expect(() => new Box([0, 0], [1, 1], [3])).toThrow(/needs 3/);
    expect(() => new Box(0, 1, [1], 'float16' as 'float32')).toThrow(/dtype/);
  });

  it('takes types that cast safely, and no NaN', () => {
    const space = new Box(-1, 200, [2]);
    const of = (type: { from(values: number[]): NdArray['data'] }, values = [0, 1]) =>
      space.contains({ data: type.from(values), shape: [2] });
    // np.can_cast(..., np.float32)
    expect([of(Float32Array), of(Int8Array), of(Uint8Array), of(Int16Array), of(Uint16Array)]).toEqual([
      true,
      true,
      true,
      true,
      true,
    ]);
    expect([of(Float64Array), of(Int32Array), of(Uint32Array)]).toEqual([false, false, false]);
    expect(of(Float32Array, [Number.NaN, 0])).toBe(false);
    expect(of(Float32Array, [201, 0])).toBe(false);
    expect(new Box(-inf, inf, [2]).contains(f32(inf, -inf))).toBe(true);
    expect(space.contains(ndarray(Float32Array.of(0, 1), [1, 2]))).toBe(false);
  });

  it('knows where it is bounded', () => {
    const space = new Box([0, -inf], [inf, inf]);
    expect([...space.boundedBelow, ...space.boundedAbove]).toEqual([1, 0, 0, 0]);
    expect(new Box(0, inf).isBounded('below')).toBe(true);
    expect(new Box(0, inf).isBounded()).toBe(false);
    expect(new Box(-inf, 5, [1], 'int8').low[0]).toBe(-128);
  });

  it('is written like Gymnasium writes it', () => {
    expect(String(new Box(0, 1, [3, 4]))).toBe('Box(0, 1, (3, 4), float32)');
    expect(String(new Box([0, -inf], 2))).toBe('Box([0 -inf], 2, (2,), float32)');
  });
});

describe('Discrete and its kin', () => {
  it('have the bounds of start', () => {
    const space = new Discrete(3, -1);
    expect([-2, -1, 1, 2, 0.5, '0', true].map((x) => space.contains(x))).toEqual([
      false,
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
    const multi = new MultiDiscrete([2, 3], { start: [5, 0] });
    expect(multi.contains(ndarray(Int32Array.of(6, 2), [2]))).toBe(true);
    expect(multi.contains(ndarray(Int32Array.of(7, 2), [2]))).toBe(false);
    expect(multi.contains(f32(6, 2))).toBe(false);
    expect(new MultiBinary(2).contains(f32(0, 1))).toBe(true);
  });

  it('refuse sizes that are none', () => {
    for (const n of [0, -1, 1.5, Number.NaN]) {
      expect(() => new Discrete(n)).toThrow(/Discrete: n/);
      expect(() => new MultiBinary(n)).toThrow(/MultiBinary/);
      expect(() => new MultiDiscrete([n])).toThrow(/nvec\[0\]/);
    }
    expect(() => new Discrete(2, 0.5)).toThrow(/start/);
    expect(() => new MultiDiscrete([2, 2], { start: [0] })).toThrow(/start has 1/);
  });
});

describe('Text', () => {
  it('counts code points of its set', () => {
    const space = new Text(2, { charset: 'a😀' });
    expect(['a', '😀😀', '', 'aaa', 'b'].map((x) => space.contains(x))).toEqual([true, true, false, false, false]);
    expect(new Text(9, { minLength: 0, charset: 'any' }).contains('ÄÖ 漢字')).toBe(true);
  });

  it('keeps the order of a set and drops what is twice', () => {
    expect([...(flatten(new Text(3, { charset: 'cabca' }), 'abc') as NdArray).data]).toEqual([1, 2, 0]);
    expect(() => new Text(3, { charset: '' })).toThrow(/no character/);
    expect(() => new Text(2, { minLength: 3 })).toThrow(/at least minLength/);
  });
});

describe('flatten', () => {
  // from gymnasium.spaces.utils import flatten, flatten_space; flatten(space, x).tolist()
  const dict = new Dict({ b: new Discrete(10), a: new Box(-1, 1, [2]) });
  const tuple = new Tuple([new Discrete(3), new Box(0, 1, [2]), new MultiBinary(3)]);
  const oneOf = new OneOf([new Discrete(3), new Box(0, 1, [2])]);
  const cases: [Space<unknown>, unknown, number[], string][] = [
    [
      dict,
      { b: 3, a: f32(0.5, 0.25) },
      [0.5, 0.25, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
      'Box([-1 -1 0 0 0 0 0 0 0 0 0 0], 1, (12,), float64)',
    ],
    [
      tuple,
      [1, f32(0.5, 0.25), ndarray(Int8Array.of(1, 0, 1), [3])],
      [0, 1, 0, 0.5, 0.25, 1, 0, 1],
      'Box(0, 1, (8,), float64)',
    ],
    [oneOf, [1, f32(0.25, 0.5)], [1, 0.25, 0.5, 0.25], 'Box(0, 1, (4,), float64)'],
    [oneOf, [0, 2], [0, 0, 0, 1], 'Box(0, 1, (4,), float64)'],
    [
      new MultiDiscrete([3, 5, 2], { start: [0, -1, 4] }),
      ndarray(Int32Array.of(2, 3, 5), [3]),
      [0, 0, 1, 0, 0, 0, 0, 1, 0, 1],
      'Box(0, 1, (10,), int32)',
    ],
    [new Text(4, { charset: 'abc' }), 'cab', [2, 0, 1, 3], 'Box(0, 3, (4,), int32)'],
  ];
  it.each(cases)('%s', (space, value, flat, flatSpace) => {
    expect([...(flatten(space, value) as NdArray).data]).toEqual(flat);
    expect(String(flattenSpace(space))).toBe(flatSpace);
    expect(flatdim(space)).toBe(flat.length);
    const batch = new Float32Array(2 * flat.length).fill(9);
    flattenInto(space, value, batch, flat.length);
    expect([...batch]).toEqual([...flat.map(() => 9), ...flat]);
  });

  it('keeps the tree where lengths differ', () => {
    const space = new Dict({ n: new Discrete(2), s: new Sequence(new Discrete(3)) });
    expect(isFlattenable(space)).toBe(false);
    expect(() => flatdim(space)).toThrow(/no fixed number/);
    expect(flatten(space, { n: 1, s: [2, 0] })).toEqual({
      n: ndarray(Int32Array.of(0, 1), [2]),
      s: [ndarray(Int32Array.of(0, 0, 1), [3]), ndarray(Int32Array.of(1, 0, 0), [3])],
    });
  });

  it('refuses to unflatten what nothing flattens into', () => {
    expect(() => unflatten(new Discrete(3), f32(0, 0, 0))).toThrow(/all 0/);
    expect(() => unflatten(new Discrete(3), f32(0, 1))).toThrow(/3 numbers.*has 2/);
    expect(() => unflatten(oneOf, f32(7, 0, 0, 0))).toThrow(/below 2, actual value 7/);
  });
});

describe('composite spaces', () => {
  it('of Dict sort keys, unless told not to', () => {
    expect(new Dict({ b: new Discrete(2), a: new Discrete(2) }).keys).toEqual(['a', 'b']);
    expect(new Dict({ b: new Discrete(2), a: new Discrete(2) }, { sortKeys: false }).keys).toEqual(['b', 'a']);
    expect(new Dict({ a: new Discrete(2) }).contains({ a: 1, b: 0 })).toBe(false);
    const list = [['10', new Discrete(3)] as const, ['2', new Discrete(2)] as const];
    expect(new Dict(list).keys).toEqual(['10', '2']);
    expect(new Dict(new Map([...list].reverse())).keys).toEqual(['2', '10']);
    expect(new Dict([...list].reverse(), { sortKeys: true }).keys).toEqual(['10', '2']);
  });

  it.each([
    false,
    true,
  ])('of Dict keep the order of keys like integers when they are flattened (nested: %s)', (nested) => {
    const inner = new Dict({ 2: new Discrete(2), 10: new Discrete(3) });
    const space: Space<unknown> = nested ? new Tuple([inner]) : inner;
    const value = { 2: 1, 10: 0 };
    const copy = spaceFromJson(JSON.parse(JSON.stringify(spaceToJson(space))));
    // one-hot of '10', then of '2'
    for (const each of [space, copy])
      expect([...(flatten(each, nested ? [value] : value) as NdArray).data]).toEqual([1, 0, 0, 0, 1]);
  });

  it('of Dict have any key, also those that JavaScript gives a meaning', () => {
    const space = new Dict([['__proto__', new Discrete(2)] as const, ['toString', new Discrete(3)] as const]);
    const sample = space.sample();
    expect(space.contains(sample)).toBe(true);
    expect(Object.keys(sample)).toEqual(['__proto__', 'toString']);
    const copy = spaceFromJson(JSON.parse(JSON.stringify(spaceToJson(space))));
    expect(copy.equals(space)).toBe(true);
    expect(elementFromJson(space, JSON.parse(JSON.stringify(elementToJson(space, sample))))).toEqual(sample);
    expect(() => new Dict({ toString: new Discrete(2) }).sample({ mask: { a: [1, 1] } as never })).toThrow(/keys a/);
  });

  it('of Graph check the links', () => {
    const space = new Graph(new Discrete(2), new Discrete(2));
    const graph = (links: Int32Array): GraphElement<number, number> => ({
      nodes: [0, 1],
      edges: [1],
      edgeLinks: ndarray(links, [1, 2]),
    });
    expect(space.contains(graph(Int32Array.of(0, 1)))).toBe(true);
    expect(space.contains(graph(Int32Array.of(0, 2)))).toBe(false);
    expect(space.contains({ nodes: [0], edges: [1], edgeLinks: null })).toBe(false);
    expect(space.sample({ numNodes: 3, numEdges: 4 }).edges).toHaveLength(4);
    expect(space.sample({ numNodes: 1 }).edges).toBe(null);
    expect(() => new Graph(new Discrete(2), null).sample({ numEdges: 1 })).toThrow(/has none/);
    expect(() => space.sample({ numNodes: 0 })).toThrow(/numNodes/);
  });
});

it('spaceFromJson names what it does not know', () => {
  expect(() => spaceFromJson({ kind: 'Bax' })).toThrow(/`Bax`.*Did you mean `Box`/);
  expect(() => spaceFromJson(3)).toThrow(/kind/);
});

it('elements have the types that their spaces say', () => {
  const space = new Dict({
    position: new Box(-1, 1, [2]),
    picture: new Box(0, 255, [8, 8, 3], 'uint8'),
    gear: new Discrete(5),
    pair: new Tuple([new Text(3), new MultiDiscrete([2, 2])]),
    moves: new Sequence(new Discrete(3)),
    either: new OneOf([new Discrete(2), new Text(2)]),
    net: new Graph(new Discrete(2), null),
  });
  type Element = ElementOf<typeof space>;
  expectTypeOf<Element['position']>().toEqualTypeOf<NdArray<Float32Array>>();
  expectTypeOf<Element['picture']>().toEqualTypeOf<NdArray<Uint8Array>>();
  expectTypeOf<Element['gear']>().toEqualTypeOf<number>();
  expectTypeOf<Element['pair']>().toEqualTypeOf<readonly [string, NdArray<Int32Array>]>();
  expectTypeOf<Element['moves']>().toEqualTypeOf<number[]>();
  expectTypeOf<Element['either']>().toEqualTypeOf<
    readonly [index: number, element: number] | readonly [index: number, element: string]
  >();
  expectTypeOf<Element['net']['nodes']>().toEqualTypeOf<readonly number[]>();
  expectTypeOf(space.sample()).toEqualTypeOf<Element>();
  // @ts-expect-error a mask of another space
  expect(() => space.spaces.gear.sample({ mask: 'no' })).toThrow();
  const value: unknown = 3;
  if (space.spaces.gear.contains(value)) expectTypeOf(value).toEqualTypeOf<number>();
});
