import type { NdArray } from '../../core/ndarray.js';
import {
  argmaxRows,
  firstColumns,
  keptNegatives,
  nearestNeighbours,
  oneHot,
  uncertaintyWeights,
  vote,
} from './rules.js';
import { type AdaptationAction, type AdaptationObservation, type Coefficients, coefficients } from './spaces.js';

/** The parts of the guided pseudo-labels; each can be turned off. */
export interface GuidedOptions {
  /** k: how many neighbours vote for a sample's label; 0: the network's own prediction. */
  readonly neighbours: number;
  /** α in w = exp(−α Ĥ); 0: all labels count alike. */
  readonly sharpness: number;
  /** Labels that are less probable than this do not count. */
  readonly confidence: number;
  /** T: in how many previous epochs labels are compared to exclude negatives; 0: none but the present ones. */
  readonly history: number;
  /** Whether no negative is excluded. */
  readonly keepAll: boolean;
  /** Whether the present labels are left out of the comparison, as the released code does. */
  readonly releasedOrder: boolean;
  /** The weights of the losses. */
  readonly losses: Pick<Coefficients, 'contrast' | 'diversity' | 'negative' | 'learningRate'>;
}

/**
 * Guided pseudo-labels (Litrico et al., CVPR 2023): labels by the vote of neighbours, weights by its certainty, and
 * negatives only of samples that were never labelled alike.
 */
export function guidedAction(observation: AdaptationObservation, options: GuidedOptions): AdaptationAction {
  const { featuresWeak, probsWeak, bankFeatures, bankProbs, queueIndex } = observation;
  const { neighbours, sharpness, confidence, losses } = options;
  const refined =
    neighbours > 0 ? vote(nearestNeighbours(featuresWeak, bankFeatures, neighbours), bankProbs) : probsWeak;
  const [count, classes] = refined.shape as [number, number];
  const labels = argmaxRows(refined);
  // A certain vote weighs 1.00001, since the logarithm is taken of p + 1e-5; actions end at 1.
  const weights = uncertaintyWeights(refined, sharpness).map((weight, i) =>
    refined.data[i * classes + labels[i]!]! >= confidence ? Math.min(1, weight) : 0,
  );
  return {
    pseudoLabels: oneHot(labels, classes),
    weights: { data: weights, shape: [count] },
    negativeMask:
      options.keepAll || losses.contrast === 0
        ? { data: new Uint8Array(count * queueIndex.data.length).fill(1), shape: [count, queueIndex.data.length] }
        : negatives(observation, labels, options),
    coefficients: coefficients(losses),
  };
}

function negatives(
  { history, queueHistory, queueLabels }: AdaptationObservation,
  labels: Int32Array,
  { history: slots, releasedOrder }: GuidedOptions,
): NdArray<Uint8Array> {
  return keptNegatives(
    firstColumns(history, slots),
    firstColumns(queueHistory, slots),
    releasedOrder ? undefined : { labels, queueLabels: queueLabels.data },
  );
}
