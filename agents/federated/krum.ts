import * as z from 'zod';
import { answered, parametersOf } from '../../envs/federated/spaces.js';
import { defineStrategy } from './strategy.js';

/**
 * The score of each vector, the sum of the squared distances to its n − f − 2 nearest others (section 4); at least one other
 * counts, where there are so few that it would be none.
 */
export function krumScores(vectors: readonly Float32Array[], malicious: number): number[] {
  const nearest = Math.max(1, vectors.length - malicious - 2);
  return vectors.map((a) =>
    vectors
      .filter((b) => b !== a)
      .map((b) => a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0))
      .sort((x, y) => x - y)
      .slice(0, nearest)
      .reduce((sum, distance) => sum + distance, 0),
  );
}

/** The next model is that client's which has the others nearest around it, or the mean of several such ones. */
export const krum = defineStrategy({
  name: 'krum',
  summary: "takes the client's model that has the others nearest around it; robust against a few that lie",
  paper: 'Krum, Blanchard et al. 2017, https://arxiv.org/abs/1703.02757',
  options: {
    numMaliciousNodes: z.int().min(0).max(10_000).describe('f, how many clients may lie'),
    numNodesToKeep: z.int().min(1).max(10_000).describe('how many of the best models are averaged; 1 is Krum itself'),
  },
  defaults: { numMaliciousNodes: 1, numNodesToKeep: 1 },
  make: ({ numMaliciousNodes, numNodesToKeep }) => ({
    aggregateTrain: (observation) => {
      const ok = answered(observation);
      const scores = krumScores(
        ok.map((m) => parametersOf(observation, m)),
        numMaliciousNodes,
      );
      const best = [...ok.keys()].sort((a, b) => scores[a]! - scores[b]!).slice(0, numNodesToKeep);
      const clientWeights = new Float64Array(observation.status.data.length);
      for (const i of best) clientWeights[ok[i]!] = 1 / best.length;
      return { clientWeights };
    },
  }),
});
