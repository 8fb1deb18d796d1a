import { describe, expect, it } from 'vitest';
import { Random } from '../../../core/random.js';
import { clusterMeans, finch } from '../../../envs/federated/finch.js';

/** Unit vectors at these degrees. */
const angles = (...degrees: number[]) =>
  degrees.map((d) => [Math.cos((d / 180) * Math.PI), Math.sin((d / 180) * Math.PI)]);
const identity = (n: number) =>
  Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => Number(i === j)));
const rows = (points: readonly (readonly number[])[]) => ({
  data: Float64Array.from(points.flat()),
  shape: [points.length, points[0]!.length],
});
const partitionsOf = (points: number[][], distance: 'cosine' | 'euclidean' = 'cosine') =>
  finch(rows(points), { distance }).partitions.map((labels) => [...labels]);
const repeated = (lengths: number[]) => lengths.flatMap((n, i) => new Array<number>(n).fill(i));

const eight = angles(0, 2, 10, 12.5, 90, 92, 100, 102.5);
const sixteen = angles(0, 1, 4, 5.1, 20, 21.2, 25, 26.3, 90, 91, 94, 95.1, 110, 111.2, 115, 116.3);

// finch-clust 0.2.3: FINCH(data, distance='cosine', ensure_early_exit=False).
const cases: [string, number[][], number[][]][] = [
  ['one point', [[1, 0]], [[0]]],
  [
    'two points',
    [
      [1, 0],
      [0, 1],
    ],
    [[0, 0]],
  ],
  [
    'two opposite points',
    [
      [1, 0],
      [-1, 0],
    ],
    [[0, 0]],
  ],
  ['three points', angles(0, 10, 90), [[0, 0, 0]]],
  ['two pairs', angles(0, 5, 90, 97), [[0, 0, 1, 1]]],
  ['three pairs, whose means would be one cluster', angles(0, 5, 60, 66, 150, 157), [[0, 0, 1, 1, 2, 2]]],
  [
    'two levels',
    eight,
    [
      [0, 0, 1, 1, 2, 2, 3, 3],
      [0, 0, 0, 0, 1, 1, 1, 1],
    ],
  ],
  ['three levels', sixteen, [repeated([2, 2, 2, 2, 2, 2, 2, 2]), repeated([4, 4, 4, 4]), repeated([8, 8])]],
  ['ties of three', identity(3), [[0, 0, 0]]],
  ['ties of six', identity(6), [[0, 0, 0, 0, 0, 0]]],
  [
    'equal points',
    [
      [1, 1],
      [1, 1],
      [1, 1],
      [1, 1],
    ],
    [[0, 0, 0, 0]],
  ],
  [
    'equal pairs',
    [
      [1, 0],
      [1, 0],
      [0, 1],
      [0, 1],
    ],
    [[0, 0, 1, 1]],
  ],
  [
    'lengths that do not count',
    [
      [1, 0],
      [10, 1],
      [0, 1],
      [0.1, 5],
    ],
    [[0, 0, 1, 1]],
  ],
  [
    'a zero vector',
    [
      [0, 0],
      [1, 0],
      [0, 1],
      [1, 1],
    ],
    [[0, 0, 0, 0]],
  ],
  ['a pair and three', angles(0, 3, 80, 82, 85), [[0, 0, 1, 1, 1]]],
  [
    'three dimensions',
    [
      [10, 1, 0],
      [9, 2, 0],
      [10, 2, 1],
      [1, 10, 0],
      [2, 9, 1],
      [0, 9, 2],
      [1, 9, 1],
      [0, 1, 10],
      [1, 2, 9],
      [0, 2, 10],
    ],
    [[0, 0, 0, 1, 1, 1, 1, 2, 2, 2]],
  ],
  [
    'points between',
    [
      [9, 1, 0],
      [8, 2, 0],
      [9, 0, 1],
      [1, 9, 0],
      [2, 8, 0],
      [0, 9, 1],
      [0, 1, 9],
      [0, 2, 8],
      [1, 0, 9],
      [5, 5, 1],
      [1, 5, 5],
      [5, 1, 5],
    ],
    [[0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 2, 0]],
  ],
];

describe('finch', () => {
  it.each(cases)('%s', (_, points, partitions) => {
    expect(partitionsOf(points)).toEqual(partitions);
  });

  it('takes Euclidean distances', () => {
    const points = [
      [1, 0],
      [10, 1],
      [0, 1],
      [0.1, 5],
    ];
    expect(partitionsOf(points, 'euclidean')).toEqual([[0, 0, 0, 0]]);
    expect(partitionsOf([[0], [1], [2], [3], [4]], 'euclidean')).toEqual([[0, 0, 0, 0, 0]]);
    expect(partitionsOf([[0], [1], [3], [6], [10]], 'euclidean')).toEqual([[0, 0, 0, 0, 0]]);
  });

  it('gives as many clusters as are asked for, where the finest partition has as many', () => {
    const required = (clusters: number) => [...finch(rows(eight), { clusters }).required!];
    // FINCH(data, req_clust=3) and 6
    expect(required(3)).toEqual([0, 0, 0, 0, 1, 1, 2, 2]);
    expect(required(6)).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
    expect(required(2)).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
    expect(required(1)).toEqual(new Array(8).fill(0));
  });

  it('cuts later links that are longer than the longest of the first level, where it is told to exit early', () => {
    // The pairs are 2 and 2.5 degrees wide, and their means 9.25 degrees apart.
    expect(finch(rows(eight), { earlyExit: true }).counts).toEqual([4]);
    // A pair 30 degrees wide lets means that are 10.25 degrees apart join, and stays alone itself.
    const wide = rows(angles(0, 2, 10, 12.5, 90, 92, 100, 102.5, 200, 230));
    expect(finch(wide).counts).toEqual([5, 2]);
    expect(finch(wide, { earlyExit: true }).counts).toEqual([5, 3]);
  });

  it('has the weak components of "i to its nearest", by brute force, on random points', () => {
    const random = new Random(7);
    for (let trial = 0; trial < 50; trial++) {
      const n = 2 + random.integer(150);
      const points = Array.from({ length: n }, () => [random.normal(), random.normal(), random.normal()]);
      const distance = (a: number[], b: number[]) => Math.hypot(...a.map((x, k) => x - b[k]!));
      let labels = points.map((_, i) => i);
      points.forEach((p, i) => {
        const others = points.map((q, j) => (i === j ? Number.POSITIVE_INFINITY : distance(p, q)));
        const [mine, theirs] = [labels[i], labels[others.indexOf(Math.min(...others))]];
        labels = labels.map((label) => (label === mine ? theirs! : label));
      });
      const names = [...new Set(labels)];
      expect(partitionsOf(points, 'euclidean')[0]).toEqual(labels.map((label) => names.indexOf(label)));
    }
  });

  it('at least halves the number of clusters at each level', () => {
    const random = new Random(1);
    const data = random.normals(500 * 4);
    const { counts } = finch({ data, shape: [500, 4] });
    expect(counts.length).toBeGreaterThan(2);
    counts.reduce((before, count) => {
      expect(count).toBeLessThanOrEqual(before / 2);
      return count;
    }, 500);
  });

  it('refuses what it cannot cluster', () => {
    expect(() => finch({ data: new Float32Array(0), shape: [0, 2] })).toThrow(/rows \[N, D\]/);
    expect(() => finch({ data: new Float32Array(4), shape: [4] })).toThrow(/actual shape \[4\]/);
    expect(() =>
      finch(
        rows([
          [0, 1],
          [Number.NaN, 1],
        ]),
      ),
    ).toThrow(/point 1 has the number NaN/);
    expect(() => finch(rows(eight), { clusters: 9 })).toThrow(/from 1 to the number of points \(8\), actual value 9/);
  });
});

describe('clusterMeans', () => {
  it('averages the points themselves', () => {
    const means = clusterMeans(
      rows([
        [1, 0],
        [0, 1],
        [3, 0],
      ]),
      Int32Array.of(0, 1, 0),
    );
    expect(means).toEqual({ data: Float32Array.of(2, 0, 0, 1), shape: [2, 2] });
  });
});
