import { describe, expect, it } from 'vitest';
import { GymError } from '../../../core/errors.js';
import { ndarray } from '../../../core/ndarray.js';
import {
  Box,
  Dict,
  Discrete,
  flattenSpace,
  Graph,
  MultiBinary,
  MultiDiscrete,
  OneOf,
  Sequence,
  type Space,
  Text,
  Tuple,
} from '../../../envs/spaces/index.js';

const bit = new Discrete(2);
const array = (...shape: number[]) => ndarray(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);

/** The error of a call with arguments that the types forbid too. */
function refused(call: () => unknown): GymError {
  try {
    call();
  } catch (error) {
    if (GymError.is(error)) return error as GymError;
    throw error;
  }
  throw new Error('it was accepted');
}

describe('a constructor refuses', () => {
  const cases: [string, () => unknown, RegExp][] = [
    ['a bound outside float32', () => new Box(-1e39, 1), /low\[0\] = -1e\+39 is outside float32; .* give -Infinity/],
    ['a high bound outside float32', () => new Box(0, [1, 1e39]), /high\[1\] = 1e\+39 is outside float32/],
    ['bounds of another shape', () => new Box(array(2, 3), 1, [3, 2]), /low .* shape \[2, 3\], .* shape \[3, 2\]/],
    ['bounds of two shapes', () => new Box(array(2, 3), array(3, 2)), /high .* shape \[3, 2\], .* shape \[2, 3\]/],
    ['a text for a bound', () => new Box('a' as never, 1), /low.* must be a list, actual value 'a'/],
    ['texts for bounds', () => new Box(['a'] as never, 1), /low\[0\] is 'a'; a bound is a number/],
    ['BigInts for bounds', () => new Box(new BigInt64Array(1) as never, 1), /low\[0\] is 0n/],
    ['no bound', () => new Box(undefined as never, 1), /low.* actual value undefined/],
    ['null for a bound', () => new Box(0, null as never), /high.* actual value null/],
    ['a number for a shape', () => new Box(0, 1, 3 as never), /Box: shape must be a list.* actual value 3/],
    ['a fractional shape', () => new Box(0, 1, [1.5]), /Box: shape must .* at least 0, actual value \[ 1.5 \]/],
    ['a negative shape', () => new MultiDiscrete([2, 3], { shape: [-1, -2] }), /shape must .* at least 1/],
    [
      'a shape of halves',
      () => new MultiDiscrete([2, 3], { shape: [4, 0.5] }),
      /shape must .* actual value \[ 4, 0.5 \]/,
    ],
    [
      'values above int32',
      () => new MultiDiscrete([5], { start: [2147483647] }),
      /element 0, 2147483651, is outside int32/,
    ],
    ['no nvec', () => new MultiDiscrete(undefined as never), /nvec must be a list, actual value undefined/],
    ['no MultiBinary shape', () => new MultiBinary(null as never), /MultiBinary: shape must .* actual value null/],
    ['a number for a charset', () => new Text(3, { charset: 3 as never }), /charset must be text, actual value 3/],
    ['a Tuple of numbers', () => new Tuple([bit, 1] as never), /Tuple: spaces\[1\] must be a space, actual value 1/],
    ['a Tuple of nothing', () => new Tuple(undefined as never), /Tuple: spaces must be a list/],
    ['a OneOf of null', () => new OneOf([null] as never), /OneOf: spaces\[0\] must be a space, actual value null/],
    ['a Dict of numbers', () => new Dict({ a: 3 } as never), /Dict: spaces.a must be a space, actual value 3/],
    [
      'a Dict of nothing',
      () => new Dict(null as never),
      /Dict: spaces must be an object, or a list or Map of \[key, space\], actual value null/,
    ],
    ['a Dict of a key twice', () => new Dict([['a', bit] as const, ['a', bit] as const]), /key `a` is there twice/],
    ['a Dict of pairs without a key', () => new Dict([[3, bit]] as never), /entry of a list must be \[key, space\]/],
    ['a Dict of a list', () => new Dict([bit] as never), /a list of spaces is a Tuple/],
    ['a Sequence of nothing', () => new Sequence(undefined as never), /feature must be a space/],
    [
      'a Graph without a word on edges',
      () => new (Graph as never as new (n: unknown) => Graph)(bit),
      /Graph: edge.*null/,
    ],
    ['a Graph without nodes', () => new Graph(undefined as never, null), /Graph: node must be a space/],
  ];
  it.each(cases)('%s', (_, call, message) => {
    const error = refused(call);
    expect(error.code).toBe('E_SPACE');
    expect(error.message).toMatch(message);
  });
});

it('a Box takes lists in row-major order, and what a float32 rounds to its largest', () => {
  expect(new Box([1, 2, 3, 4], 5, [2, 2]).shape).toEqual([2, 2]);
  const largest = new Box(-3.4028235e38, 3.4028235e38);
  expect(largest.isBounded()).toBe(true);
  expect(largest.contains(largest.sample())).toBe(true);
});

it('a Box as wide as its type has finite samples of both signs', () => {
  const space = new Box(-Number.MAX_VALUE, Number.MAX_VALUE, [64], 'float64');
  space.seed(1);
  const { data } = space.sample();
  expect(data.every(Number.isFinite)).toBe(true);
  expect(data.some((x) => x > 1e307) && data.some((x) => x < -1e307)).toBe(true);
});

it('a MultiDiscrete goes up to the largest int32, and flattens into more numbers than an int32 counts', () => {
  const space = new MultiDiscrete([2], { start: [2147483646] });
  for (let i = 0; i < 20; i++) expect(space.contains(space.sample())).toBe(true);
  expect(new MultiDiscrete([2147483647, 2147483647]).flat.size).toBe(4294967294);
});

it('contains is false for arrays of types that no space has, and true for subclasses of those it has', () => {
  const big = { data: new BigInt64Array(1), shape: [1] };
  const spaces: Space<unknown>[] = [new Box(0, 1), new Box(0, 1, [1], 'int32'), new MultiDiscrete([2])];
  spaces.push(new MultiBinary(1), new Tuple(spaces), new Graph(bit, bit));
  for (const space of spaces) {
    expect(space.contains(big), String(space)).toBe(false);
    expect(space.contains([big, big, big]), String(space)).toBe(false);
    expect(space.contains({ nodes: [0], edges: [0], edgeLinks: big }), String(space)).toBe(false);
  }
  class Floats extends Float32Array {}
  expect(new Box(0, 1, [2]).contains({ data: new Floats(2), shape: [2] })).toBe(true);
  expect(new Box(0, 255, [2], 'uint8').contains({ data: Buffer.from([1, 2]), shape: [2] })).toBe(true);
});

it('a OneOf flattens boxes of any size', () => {
  const size = 200_000;
  expect(String(flattenSpace(new OneOf([bit, new Box(-2, 3, [size])])))).toBe(`Box(-2, 3, (${size + 1},), float64)`);
});

describe('masks that are none are named', () => {
  const cases: [string, Space<unknown>][] = [
    ['Discrete', bit],
    ['MultiBinary', new MultiBinary(2)],
    ['MultiDiscrete', new MultiDiscrete([2])],
    ['Text', new Text(2)],
    ['Tuple', new Tuple([bit])],
    ['Dict', new Dict({ a: bit })],
    ['OneOf', new OneOf([bit])],
    ['Sequence', new Sequence(bit)],
    ['Graph', new Graph(bit, null)],
  ];
  it.each(cases)('%s', (kind, space) => {
    const error = refused(() => space.sample({ mask: null }));
    expect(error.message).toContain(`${kind}.sample: mask must be a list, or an object for a Dict, actual value null`);
    expect(refused(() => space.sample({ probability: 3 })).message).toMatch(/probability must .* actual value 3/);
  });

  it('inside of others too', () => {
    expect(refused(() => new MultiDiscrete([2]).sample({ mask: [null] as never })).message).toMatch(
      /undefined entries/,
    );
    expect(refused(() => new Tuple([bit]).sample({ mask: [null] as never })).message).toMatch(/Discrete.sample/);
  });
});

it('a seed is needed', () => {
  for (const seed of [undefined, null, true])
    expect(refused(() => new Discrete(2).seed(seed as never)).message).toBe(
      `Discrete.seed: needs a number or text, actual value ${seed}.`,
    );
});
