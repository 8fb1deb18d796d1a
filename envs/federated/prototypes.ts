import { clusterMeans, finch } from './finch.js';
import { type FederatedObservation, prototypesOf } from './spaces.js';

/** The mean of vectors of one length, or undefined where there is none. */
export function meanOf(vectors: readonly Float32Array[]): Float32Array | undefined {
  if (vectors.length === 0) return undefined;
  return vectors[0]!.map((_, i) => vectors.reduce((sum, vector) => sum + vector[i]!, 0) / vectors.length);
}

/** For each class the mean of the clients' prototypes, each client counting once: FPL's equation 3. */
export function globalPrototypes(observation: FederatedObservation): (Float32Array | undefined)[] {
  const classes = observation.prototypes.shape[1]!;
  return Array.from({ length: classes }, (_, k) => meanOf(prototypesOf(observation, k)));
}

/** The clusters among the clients' prototypes of one class. */
export interface ClassClusters {
  /** The mean of each cluster. */
  readonly means: readonly Float32Array[];
  /** Of each client that has the class, in the clients' order, its cluster. */
  readonly labels: Int32Array;
}

/**
 * For each class the clusters that FINCH finds among the clients' prototypes (FPL's section 3.2). Distances are cosines, and
 * means are taken of the vectors as they are.
 * @param level which of FINCH's partitions: by its number, 0 being the finest, or the coarsest where there are fewer; or by
 *   a share of the way from the finest, 0, to the coarsest, 1, which is the paper's.
 */
export function classClusters(
  observation: FederatedObservation,
  level: { readonly partition: number } | { readonly share: number },
): ClassClusters[] {
  const [, classes, features] = observation.prototypes.shape as [number, number, number];
  return Array.from({ length: classes }, (_, k) => {
    const vectors = prototypesOf(observation, k);
    if (vectors.length === 0) return { means: [], labels: new Int32Array(0) };
    const points = new Float32Array(vectors.length * features);
    vectors.forEach((vector, i) => {
      points.set(vector, i * features);
    });
    const rows = { data: points, shape: [vectors.length, features] };
    const { partitions } = finch(rows);
    const last = partitions.length - 1;
    const chosen = 'share' in level ? Math.round(level.share * last) : Math.min(level.partition, last);
    const labels = partitions[chosen]!;
    const { data, shape } = clusterMeans(rows, labels);
    const means = Array.from({ length: shape[0]! }, (_, j) => data.subarray(j * features, (j + 1) * features));
    return { means, labels };
  });
}
