import { mean } from '../../core/statistics.js';
import type { Metrics } from '../../core/types.js';
import { norm } from '../../envs/federated/observe.js';
import { classClusters, globalPrototypes, meanOf } from '../../envs/federated/prototypes.js';
import { type FederatedObservation, prototypesOf } from '../../envs/federated/spaces.js';

/** For each class its prototype, where a client has one. */
type Prototypes = readonly (Float32Array | undefined)[];

/**
 * How the two kinds of one prototype for each class lie among the clients' own: the global one, which is the mean over
 * clients, and the unbiased one, which is the mean over FINCH's clusters (FPL, equations 3 and 6). All lengths are
 * divided by the mean length of the clients' prototypes, so that networks can be compared.
 * @param now what clients have sent in this round. @param before the same of the round before.
 * @param domains of the clients.
 * @returns `federated/clusters`, the mean number of clusters of a class; `federated/distance/KIND/DOMAIN`, the mean over
 *   classes of the distance to the mean prototype of the domain; `federated/movement/KIND`, the mean way since the round
 *   before. Nothing where no client has answered, or clients are not shown one by one.
 */
export function prototypeGeometry(
  now: FederatedObservation,
  before: FederatedObservation,
  domains: readonly string[],
): Metrics {
  const [clients, classes] = now.prototypes.shape as [number, number, number];
  const all = Array.from({ length: classes }, (_, k) => prototypesOf(now, k)).flat();
  if (all.length === 0 || clients !== domains.length) return {};
  const unit = mean(all.map(norm));
  const clusters = classClusters(now, { share: 1 }).filter(({ means }) => means.length > 0);
  const metrics: Metrics = { 'federated/clusters': mean(clusters.map(({ means }) => means.length)) };
  for (const kind of ['global', 'unbiased'] as const) {
    const own = oneForEach(now, kind);
    for (const domain of new Set(domains)) {
      const theirs = globalPrototypes(only(now, (m) => domains[m] === domain));
      const distance = meanDistance(own, theirs);
      if (distance !== undefined) metrics[`federated/distance/${kind}/${domain}`] = distance / unit;
    }
    const movement = meanDistance(own, oneForEach(before, kind));
    if (movement !== undefined) metrics[`federated/movement/${kind}`] = movement / unit;
  }
  return metrics;
}

function oneForEach(observation: FederatedObservation, kind: 'global' | 'unbiased'): Prototypes {
  return kind === 'global'
    ? globalPrototypes(observation)
    : classClusters(observation, { share: 1 }).map(({ means }) => meanOf(means));
}

/** The same as if some clients alone had answered. */
function only(observation: FederatedObservation, chosen: (client: number) => boolean): FederatedObservation {
  const classes = observation.counts.shape[1]!;
  const counts = observation.counts.data.map((count, i) => (chosen(Math.floor(i / classes)) ? count : 0));
  return { ...observation, counts: { ...observation.counts, data: counts } };
}

/** Over the classes that both have. */
function meanDistance(a: Prototypes, b: Prototypes): number | undefined {
  const distances = a.flatMap((x, k) => {
    const y = b[k];
    return x && y ? [norm(x.map((value, i) => value - y[i]!))] : [];
  });
  return distances.length > 0 ? mean(distances) : undefined;
}
