import type { Rows } from '../rows.js';
import type { RowLoss } from './minibatches.js';

/** A weight and what it weighs: a mean over rows, or nothing where the policy has no such term. */
export type WeightedTerm = readonly [weight: number, mean: Rows | undefined];

/**
 * The sum of weighted terms as a loss, each term logged by its name, its weight left out. A term of weight 0 is logged
 * and adds nothing.
 * @param terms by name, in the order in which they are added; the first must be there.
 */
export function weightedLoss(terms: Readonly<Record<string, WeightedTerm>>): RowLoss {
  let loss: Rows | undefined;
  const means: Record<string, Rows> = {};
  for (const [name, [weight, mean]] of Object.entries(terms)) {
    if (mean === undefined) continue;
    means[name] = mean;
    if (weight === 0) continue;
    const term = weight === 1 ? mean : mean.mul(weight);
    loss = loss === undefined ? term : loss.add(term);
  }
  return { loss: loss!, means };
}
