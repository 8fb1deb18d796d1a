import { describe, expect, it } from 'vitest';
import { finch } from '../../envs/federated/finch.js';
import { readFixture } from './fixtures.js';

interface Case {
  points: number[][];
  distance: 'cosine' | 'euclidean';
  clusters: number[];
  partitions: number[][];
}

const { cases } = await readFixture<{ cases: Case[] }>('finch.json');

/** Clusters numbered in order of first appearance, so that equal partitions are equal lists. */
function renamed(labels: readonly number[]): number[] {
  const names = [...new Set(labels)];
  return labels.map((label) => names.indexOf(label));
}

describe('finch', () => {
  it.each(
    cases.map((given, i) => ({ i, n: given.points.length, ...given })),
  )('has all partitions of finch-clust in case $i of $n points', ({ points, distance, clusters, partitions }) => {
    const data = Float64Array.from(points.flat());
    const found = finch({ data, shape: [points.length, points[0]!.length] }, { distance });
    expect(found.counts).toEqual(clusters);
    expect(found.partitions.map((labels) => [...labels])).toEqual(partitions.map(renamed));
  });
});
