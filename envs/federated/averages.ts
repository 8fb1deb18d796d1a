import { GymError } from '../../core/errors.js';

/**
 * Σ w_m x_m, added up in double precision. A vector of weight 0 is not looked at: its numbers may be none.
 * @param vectors M of one length. @param weights M of them.
 * @throws GymError E_SHAPE where their numbers or lengths differ.
 */
export function weightedSum(vectors: readonly Float32Array[], weights: ArrayLike<number>): Float32Array {
  const length = vectors[0]?.length ?? 0;
  if (vectors.length !== weights.length || vectors.some((vector) => vector.length !== length))
    throw new GymError(
      'E_SHAPE',
      `weightedSum: needs a weight for each vector and vectors of one length, actual ${weights.length} weights and lengths ${vectors.map((v) => v.length).join(', ')}.`,
    );
  const sum = new Float64Array(length);
  vectors.forEach((vector, m) => {
    const weight = weights[m]!;
    if (weight !== 0) for (let i = 0; i < length; i++) sum[i]! += weight * vector[i]!;
  });
  return Float32Array.from(sum);
}

/** Weights that sum to 1, in proportion to these numbers of at least 0; all 0 where none is more. */
export function proportions(values: ArrayLike<number>): Float64Array {
  const list = Float64Array.from(values);
  const total = list.reduce((a, b) => a + b, 0);
  return total > 0 ? list.map((value) => value / total) : list.fill(0);
}
