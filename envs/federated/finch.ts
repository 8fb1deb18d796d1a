import { GymError } from '../../core/errors.js';
import type { NdArray } from '../../core/ndarray.js';
import { shownShape } from '../../core/shown.js';

export interface FinchOptions {
  /** How far points are from each other. Default 'cosine', of which a zero vector is 1 from every other one. */
  readonly distance?: 'cosine' | 'euclidean' | undefined;
  /** Also gives a partition of so many clusters; see {@link FinchPartitions.required}. */
  readonly clusters?: number | undefined;
  /** Cuts links of later levels that are longer than the longest one of the first. Default false. */
  readonly earlyExit?: boolean | undefined;
}

export interface FinchPartitions {
  /** From the finest to the coarsest: for each point the number of its cluster, counted in order of first appearance. */
  readonly partitions: readonly Int32Array[];
  /** The number of clusters of each of the partitions. */
  readonly counts: readonly number[];
  /**
   * The partition with the number of clusters that was asked for. Where that is more than the finest has, it is the
   * finest, since first neighbours are never separated.
   */
  readonly required?: Int32Array;
}

/** Points as rows of one array. */
interface Rows {
  readonly data: Float64Array;
  readonly count: number;
  readonly size: number;
}

/**
 * FINCH, clustering by first neighbours without parameters (Sarfraz et al., CVPR 2019, arXiv 1902.11266): each point and
 * its nearest other one are in one cluster, and so, level by level, are the clusters' means and theirs. A level that would
 * leave one cluster is dropped, except for the first.
 *
 * It takes O(N²D) time and O(ND) memory: no matrix of distances is held.
 * @param points [N, D], of at least one row.
 * @throws GymError E_SHAPE unless the points are rows, E_VALUE on a number that is not finite or a number of clusters
 *   that is no integer from 1 to N.
 */
export function finch(
  points: NdArray<Float32Array | Float64Array>,
  { distance = 'cosine', clusters, earlyExit = false }: FinchOptions = {},
): FinchPartitions {
  const rows = rowsOf(points);
  if (clusters !== undefined && !(Number.isInteger(clusters) && clusters >= 1 && clusters <= rows.count))
    throw new GymError(
      'E_VALUE',
      `finch: \`clusters\` must be an integer from 1 to the number of points (${rows.count}), actual value ${clusters}.`,
    );
  const partitions: Int32Array[] = [];
  const counts: number[] = [];
  let longest: number | undefined;
  let means = rows;
  for (;;) {
    const level = measured(means, distance);
    const neighbours = nearestNeighbours(level);
    const merged = components(level, neighbours, longest);
    const count = clustersOf(merged);
    // The first level always counts; a later one must leave more than one cluster, and fewer than there were.
    if (partitions.length > 0 && (count === 1 || count === means.count)) break;
    partitions.push(composed(partitions.at(-1), merged));
    counts.push(count);
    if (earlyExit) longest ??= longestLink(level, neighbours);
    if (count === 1) break;
    means = meansOf(rows, partitions.at(-1)!, count);
  }
  if (clusters === undefined) return { partitions, counts };
  return { partitions, counts, required: withClusters(rows, distance, partitions, counts, clusters) };
}

/**
 * The mean of the points of each cluster.
 * @param points [N, D]. @param labels for each point its cluster, of 0 .. `count` − 1. @returns [count, D].
 */
export function clusterMeans(
  points: NdArray<Float32Array | Float64Array>,
  labels: Int32Array,
  count = clustersOf(labels),
): NdArray<Float32Array> {
  const { data, size } = meansOf(rowsOf(points), labels, count);
  return { data: Float32Array.from(data), shape: [count, size] };
}

function rowsOf({ data, shape }: NdArray<Float32Array | Float64Array>): Rows {
  const [count = 0, size = 0] = shape;
  if (shape.length !== 2 || count < 1 || size < 1)
    throw new GymError(
      'E_SHAPE',
      `finch: points must be rows [N, D] of at least one, actual shape ${shownShape(shape)}.`,
    );
  const bad = data.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0)
    throw new GymError(
      'E_VALUE',
      `finch: point ${Math.floor(bad / size)} has the number ${data[bad]}; leave out what is not finite.`,
    );
  return { data: Float64Array.from(data), count, size };
}

/** Points with the function that says how far two of them are apart. */
interface Measured extends Rows {
  between(i: number, j: number): number;
}

function measured(rows: Rows, distance: 'cosine' | 'euclidean'): Measured {
  const { count, size } = rows;
  if (distance === 'euclidean') return { ...rows, between: (i, j) => Math.sqrt(squaredDistance(rows, i, j)) };
  const unit: Rows = { data: rows.data.slice(), count, size };
  for (let i = 0; i < count; i++) {
    const row = unit.data.subarray(i * size, (i + 1) * size);
    const norm = Math.hypot(...row);
    if (norm > 0) for (let k = 0; k < size; k++) row[k]! /= norm;
  }
  return { ...unit, between: (i, j) => 1 - product(unit, i, j) };
}

function product({ data, size }: Rows, i: number, j: number): number {
  let sum = 0;
  for (let k = 0, a = i * size, b = j * size; k < size; k++) sum += data[a + k]! * data[b + k]!;
  return sum;
}

function squaredDistance({ data, size }: Rows, i: number, j: number): number {
  let sum = 0;
  for (let k = 0, a = i * size, b = j * size; k < size; k++) sum += (data[a + k]! - data[b + k]!) ** 2;
  return sum;
}

/** Rows that are compared with each other while they are in the cache. */
const tile = 64;

/** For each point the nearest other one, the first where several are as near. A single point is its own neighbour. */
function nearestNeighbours({ count, between }: Measured): Int32Array {
  const nearest = new Int32Array(count);
  const least = new Float64Array(count).fill(Number.POSITIVE_INFINITY);
  const take = (i: number, j: number, d: number) => {
    if (d < least[i]! || (d === least[i]! && j < nearest[i]!)) {
      least[i] = d;
      nearest[i] = j;
    }
  };
  for (let top = 0; top < count; top += tile)
    for (let left = top; left < count; left += tile)
      for (let i = top; i < Math.min(count, top + tile); i++)
        for (let j = Math.max(i + 1, left); j < Math.min(count, left + tile); j++) {
          const d = between(i, j);
          take(i, j, d);
          take(j, i, d);
        }
  return nearest;
}

/**
 * Pairs that FINCH's equation 1 links: a point and its nearest neighbour, and two points with the same one. The latter add
 * nothing to the components, unless links are cut.
 */
function eachLink(neighbours: Int32Array, all: boolean, visit: (i: number, j: number) => void): void {
  neighbours.forEach((j, i) => {
    if (i !== j) visit(i, j);
  });
  if (!all) return;
  const followers = new Map<number, number[]>();
  neighbours.forEach((j, i) => {
    const others = followers.get(j) ?? [];
    for (const other of others) visit(i, other);
    others.push(i);
    followers.set(j, others);
  });
}

function longestLink({ between }: Measured, neighbours: Int32Array): number {
  let longest = 0;
  eachLink(neighbours, true, (i, j) => {
    longest = Math.max(longest, between(i, j));
  });
  return longest;
}

/** The connected components of the links, without those that are longer than `longest`. */
function components({ count, between }: Measured, neighbours: Int32Array, longest: number | undefined): Int32Array {
  const parent = Int32Array.from({ length: count }, (_, i) => i);
  const rootOf = (i: number): number => {
    let root = i;
    while (parent[root] !== root) {
      parent[root] = parent[parent[root]!]!;
      root = parent[root]!;
    }
    return root;
  };
  eachLink(neighbours, longest !== undefined, (i, j) => {
    if (longest === undefined || between(i, j) <= longest) parent[rootOf(i)] = rootOf(j);
  });
  const numbers = new Map<number, number>();
  return Int32Array.from({ length: count }, (_, i) => {
    const root = rootOf(i);
    if (!numbers.has(root)) numbers.set(root, numbers.size);
    return numbers.get(root)!;
  });
}

function clustersOf(labels: Int32Array): number {
  return 1 + labels.reduce((most, label) => Math.max(most, label), 0);
}

/** The points' clusters, from those of the level before and what became of these. */
function composed(before: Int32Array | undefined, merged: Int32Array): Int32Array {
  return before === undefined ? merged : before.map((cluster) => merged[cluster]!);
}

/** The means of the original points of each cluster, and not of the means of the level before. */
function meansOf({ data, size }: Rows, labels: Int32Array, count: number): Rows {
  const means = new Float64Array(count * size);
  const members = new Float64Array(count);
  labels.forEach((cluster, i) => {
    members[cluster]!++;
    for (let k = 0; k < size; k++) means[cluster * size + k]! += data[i * size + k]!;
  });
  for (let i = 0; i < means.length; i++) means[i]! /= members[Math.floor(i / size)]!;
  return { data: means, count, size };
}

/** Merges the two nearest clusters, one pair at a time, from the coarsest partition that has enough of them. */
function withClusters(
  rows: Rows,
  distance: 'cosine' | 'euclidean',
  partitions: readonly Int32Array[],
  counts: readonly number[],
  clusters: number,
): Int32Array {
  const enough = Math.max(
    0,
    counts.findLastIndex((count) => count >= clusters),
  );
  let labels = partitions[enough]!;
  for (let count = counts[enough]!; count > clusters; count--) {
    const level = measured(meansOf(rows, labels, count), distance);
    const neighbours = nearestNeighbours(level);
    let nearest = 0;
    neighbours.forEach((j, i) => {
      if (level.between(i, j) < level.between(nearest, neighbours[nearest]!)) nearest = i;
    });
    const [i, j] = [nearest, neighbours[nearest]!].sort((a, b) => a - b) as [number, number];
    labels = labels.map((cluster) => (cluster === j ? i : cluster > j ? cluster - 1 : cluster));
  }
  return labels;
}
