import { describe, expect, it } from 'vitest';
import { NumpyRandom } from '../../../envs/index.js';
import {
  Box,
  Dict,
  Discrete,
  elementToJson,
  MultiBinary,
  MultiDiscrete,
  OneOf,
  type SampleOptions,
  Sequence,
  type Space,
  Text,
  Tuple,
} from '../../../envs/spaces/index.js';

const { POSITIVE_INFINITY: inf } = Number;

/** Samples as plain JSON after `space.seed(seed, 'numpy')`. */
function drawn(space: Space<unknown>, seed: number, n: number, options?: SampleOptions): unknown[] {
  space.seed(seed, 'numpy');
  return Array.from({ length: n }, () => elementToJson(space, space.sample(options)));
}

describe("with NumPy's numbers, samples are Gymnasium 1.4's", () => {
  // space = ...; space.seed(7); [space.sample() for _ in range(2)]
  it.each<[string, Space<unknown>, unknown[]]>([
    [
      'Box(-inf, 3, (4,))',
      new Box(-inf, 3, [4]),
      [
        [2.292470693588257, 1.9747966527938843, 2.4314513206481934, 2.1048901081085205],
        [2.7934672832489014, -0.38363733887672424, 2.990246295928955, 0.19078423082828522],
      ],
    ],
    [
      'Box([-1, -inf, 0, -inf], [1, inf, inf, 3]): all four laws',
      new Box([-1, -inf, 0, -inf], [1, inf, inf, 3]),
      [
        [-0.5495856404304504, 0.001230153371579945, 1.0252033472061157, 2.4314513206481934],
        [0.6424568295478821, -0.454670786857605, 3.3836374282836914, 2.990246295928955],
      ],
    ],
    [
      'Box(0, 255, (2, 3), uint8)',
      new Box(0, 255, [2, 3], 'uint8'),
      [
        [160, 229, 198, 57, 76, 223],
        [1, 210, 204, 119, 77, 71],
      ],
    ],
    [
      'Box(-3, 3, (5,), int8)',
      new Box(-3, 3, [5], 'int8'),
      [
        [1, 3, 2, -2, -1],
        [3, -3, 2, 2, 0],
      ],
    ],
    ['Discrete(5, start=-2)', new Discrete(5, -2), [2, 1]],
    ['Discrete(2**40)', new Discrete(2 ** 40), [687299734001, 986497006767, 852875435924, 247617924053]],
    [
      'MultiBinary(11)',
      new MultiBinary(11),
      [
        [1, 0, 1, 1, 1, 0, 0, 1, 1, 0, 0],
        [1, 1, 1, 1, 0, 1, 0, 1, 0, 0, 1],
      ],
    ],
    [
      'MultiDiscrete([3, 5, 2], start=[0, -1, 4])',
      new MultiDiscrete([3, 5, 2], { start: [0, -1, 4] }),
      [
        [1, 3, 5],
        [0, 0, 5],
      ],
    ],
    ['Text(6)', new Text(6), ['tmDIs0', 'onTI']],
    [
      'Tuple((Discrete(3), Box(0, 1, (2,)), MultiBinary(3)))',
      new Tuple([new Discrete(3), new Box(0, 1, [2]), new MultiBinary(3)]),
      [
        [1, [0.4005138874053955, 0.3715687692165375], [0, 1, 0]],
        [0, [0.4092138111591339, 0.20248453319072723], [0, 1, 1]],
      ],
    ],
    [
      "Dict({'b': Discrete(10), 'a': Box(-1, 1, (2,))})",
      new Dict({ b: new Discrete(10), a: new Box(-1, 1, [2]) }),
      [
        { a: [-0.4791252017021179, 0.4876188337802887], b: 9 },
        { a: [0.21552832424640656, 0.7247722148895264], b: 4 },
      ],
    ],
    [
      'Sequence(Discrete(7))',
      new Sequence(new Discrete(7)),
      [
        [3, 1, 0],
        [5, 6, 4, 2],
      ],
    ],
    [
      'OneOf((Discrete(3), Box(0, 1, (2,))))',
      new OneOf([new Discrete(3), new Box(0, 1, [2])]),
      [
        [1, [0.4005138874053955, 0.3715687692165375]],
        [1, [0.4092138111591339, 0.20248453319072723]],
      ],
    ],
  ])('%s', (_, space, samples) => {
    expect(drawn(space, 7, samples.length)).toEqual(samples);
  });

  it.each<[string, Space<unknown>, number, SampleOptions, unknown[]]>([
    ['Discrete(6) by mask', new Discrete(6), 3, { mask: [0, 1, 0, 1, 1, 0] }, [4, 1, 1, 1, 1, 4]],
    [
      'Discrete(6) by probability',
      new Discrete(6),
      3,
      { probability: [0.1, 0.2, 0.3, 0.2, 0.1, 0.1] },
      [0, 1, 4, 2, 0, 2, 2, 1],
    ],
    [
      'MultiDiscrete([3, 4]) by mask',
      new MultiDiscrete([3, 4]),
      1,
      {
        mask: [
          [0, 1, 1],
          [1, 0, 0, 1],
        ],
      },
      [
        [1, 3],
        [2, 3],
      ],
    ],
    [
      'MultiBinary(6) by mask',
      new MultiBinary(6),
      1,
      { mask: [0, 1, 2, 2, 2, 2] },
      [
        [0, 1, 0, 0, 1, 1],
        [0, 1, 0, 1, 1, 1],
      ],
    ],
    [
      'MultiBinary(6) by probability',
      new MultiBinary(6),
      1,
      { probability: [0, 1, 0.5, 0.2, 0.9, 0.3] },
      [
        [0, 1, 1, 0, 1, 0],
        [0, 1, 0, 1, 1, 0],
      ],
    ],
    ["Text(5, charset='abc') by mask", new Text(5, { charset: 'abc' }), 2, { mask: [4, [1, 0, 1]] }, ['aaca', 'ccaa']],
    [
      'Sequence(Discrete(4)) by lengths and mask',
      new Sequence(new Discrete(4)),
      2,
      {
        mask: [
          [2, 3, 5],
          [0, 1, 1, 0],
        ],
      },
      [
        [2, 2, 1, 1, 2],
        [1, 2],
      ],
    ],
  ])('%s', (_, space, seed, options, samples) => {
    expect(drawn(space, seed, samples.length, options)).toEqual(samples);
  });
});

describe('NumpyRandom', () => {
  it("draws PCG64's bits", () => {
    // [hex(v) for v in np.random.PCG64(0).random_raw(4)]
    const random = new NumpyRandom(0);
    expect([1, 2, 3, 4].map(() => random.uint64())).toEqual([
      0xa30febcfd9c2825fn,
      0x4510bdf882d9d721n,
      0x0a7d3da94ecde8b8n,
      0x043b27b61342f01dn,
    ]);
  });

  it("draws NumPy's normals and exponentials, in the tails too", () => {
    // x = np.random.default_rng(5).standard_normal(20000); x.sum(), x[[11643, 17069]]
    const normal = new NumpyRandom(5);
    const x = Array.from({ length: 20000 }, () => normal.normal());
    expect(x.reduce((a, b) => a + b)).toBeCloseTo(281.4315167781797, 9);
    expect(x[11643]).toBeCloseTo(-3.7490405530339643, 12);
    expect(x[17069]).toBeCloseTo(-4.023889287038275, 12);
    // x = np.random.default_rng(5).standard_exponential(20000); x.sum(), x[x > 9]
    const exponential = new NumpyRandom(5);
    const y = Array.from({ length: 20000 }, () => exponential.exponential());
    expect(y.reduce((a, b) => a + b)).toBeCloseTo(19861.984242506893, 8);
    expect(y.filter((v) => v > 9).map((v) => v.toFixed(10))).toEqual(['9.4745036994', '9.0540668711']);
  });

  it('goes on from a saved state, in the middle of a 64-bit draw too', () => {
    const random = new NumpyRandom(3);
    random.uint32();
    const copy = NumpyRandom.restore(JSON.parse(JSON.stringify(random.state())));
    expect([copy.uint32(), copy.next(), copy.integer(10)]).toEqual([
      random.uint32(),
      random.next(),
      random.integer(10),
    ]);
  });

  it('takes the seeds that NumPy takes', () => {
    for (const seed of [-1, 1.5, Number.NaN, 'x']) expect(() => new NumpyRandom(seed)).toThrow(/at least 0/);
    expect(new NumpyRandom(2n ** 100n).next()).not.toBe(new NumpyRandom(0).next());
  });
});

describe("with the package's own numbers, samples follow Gymnasium's laws", () => {
  const moments = (draw: () => number, n = 20000) => {
    const x = Array.from({ length: n }, draw);
    const mean = x.reduce((a, b) => a + b) / n;
    return {
      mean,
      std: Math.sqrt(x.reduce((a, b) => a + (b - mean) ** 2, 0) / n),
      min: Math.min(...x),
      max: Math.max(...x),
    };
  };
  const of = (space: Box) => {
    space.seed(1);
    return moments(() => space.sample().data[0]!);
  };

  it('of a Box: normal, exponential from either bound, uniform', () => {
    const free = of(new Box(-inf, inf));
    expect(free.mean).toBeCloseTo(0, 1);
    expect(free.std).toBeCloseTo(1, 1);
    const above = of(new Box(2, inf));
    expect([above.mean, above.std].map((v) => v.toFixed(0))).toEqual(['3', '1']);
    expect(above.min).toBeGreaterThanOrEqual(2);
    const below = of(new Box(-inf, 3));
    expect(below.mean).toBeCloseTo(2, 1);
    expect(below.max).toBeLessThanOrEqual(3);
    const between = of(new Box(-1, 3));
    expect(between.mean).toBeCloseTo(1, 1);
    expect(between.std).toBeCloseTo(4 / Math.sqrt(12), 1);
  });

  it('of integers: both bounds inside', () => {
    const space = new Box(-1, 1, [1], 'int8');
    space.seed(1);
    const counts = new Map<number, number>();
    for (let i = 0; i < 3000; i++) {
      const v = space.sample().data[0]!;
      counts.set(v, (counts.get(v) ?? 0) + 1);
    }
    expect([...counts.keys()].sort((a, b) => a - b)).toEqual([-1, 0, 1]);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(120);
  });

  it('of a Sequence: 4 elements in the mean, at least 1', () => {
    const space = new Sequence(new Discrete(2));
    space.seed(1);
    const { mean, min } = moments(() => space.sample().length, 5000);
    expect(mean).toBeCloseTo(4, 0);
    expect(min).toBe(1);
  });
});

describe('masks', () => {
  it('that leave nothing give the first value', () => {
    expect(new Discrete(3, 5).sample({ mask: [0, 0, 0] })).toBe(5);
    expect([
      ...new MultiDiscrete([2, 2], { start: [4, 7] }).sample({
        mask: [
          [0, 0],
          [0, 1],
        ],
      }).data,
    ]).toEqual([4, 8]);
    expect(new Text(3, { minLength: 0, charset: 'ab' }).sample({ mask: [undefined, [0, 0]] })).toBe('');
    expect(() => new Text(3, { charset: 'ab' }).sample({ mask: [undefined, [0, 0]] })).toThrow(/no character/);
  });

  it('reach into composite spaces, and undefined means none', () => {
    const space = new Dict({ a: new Discrete(3), b: new Tuple([new Discrete(2), new Box(0, 1)]) });
    space.seed(0);
    for (let i = 0; i < 20; i++) {
      const { a, b } = space.sample({ mask: { a: [0, 0, 1], b: [[1, 0], undefined] } });
      expect([a, b[0]]).toEqual([2, 0]);
    }
    expect(() => space.sample({ mask: { a: [0, 0, 1] } as never })).toThrow(/keys a; the space has a, b/);
  });

  it('count even where only the length of a text is random (Gymnasium forgets them)', () => {
    const space = new Text(8, { charset: 'abc' });
    space.seed(0);
    for (let i = 0; i < 20; i++) expect(space.sample({ mask: [undefined, [0, 1, 0]] })).toMatch(/^b+$/);
  });

  it('and probabilities that are wrong are named', () => {
    const space = new Discrete(2);
    expect(() => space.sample({ mask: [1, 1], probability: [1, 0] })).toThrow(/one of the two/);
    expect(() => space.sample({ mask: [1] })).toThrow(/1 entries, it needs 2/);
    expect(() => space.sample({ mask: [1, 2] })).toThrow(/mask\[1\].*actual value 2/);
    expect(() => space.sample({ probability: [0.5, 0.6] })).toThrow(/sum to 1.1/);
    expect(() => space.sample({ probability: [-0.5, 1.5] })).toThrow(/probability\[0\].*-0.5/);
    expect(() => new Box(0, 1).sample({ mask: [1] } as never)).toThrow(/takes no mask/);
    expect(() => new MultiBinary(2).sample({ mask: [3, 0] })).toThrow(/actual value 3/);
    expect(() => new OneOf([space]).sample({ mask: [] as never })).toThrow(/0 entries/);
    expect(() => new Sequence(space).sample({ mask: [-1, undefined] })).toThrow(/-1/);
  });
});

describe('seeds', () => {
  it('give the same samples again, and a saved state the ones after it', () => {
    const make = () => new Dict({ a: new Discrete(1000), b: new Sequence(new Box(0, 1)) });
    const [one, two] = [make(), make()];
    one.seed(5);
    two.seed(5);
    expect(one.sample()).toEqual(two.sample());
    const state = JSON.parse(JSON.stringify(one.randomState()));
    const next = one.sample();
    const three = make();
    three.restoreRandomState(state);
    expect(three.sample()).toEqual(next);
    two.seed(6);
    expect(two.sample()).not.toEqual(next);
  });

  it('that are none are errors', () => {
    for (const seed of [-1, 1.5]) expect(() => new Discrete(2).seed(seed)).toThrow(/seed/);
  });
});
