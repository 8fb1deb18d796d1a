import type { FeatureNetwork } from '../../networks/feature-network.js';
import type { LabelledImages } from '../data/labelled-images.js';
import { accuracyOf, confusion, type Information, informationOf, type Tally } from './measures.js';
import type { Bank } from './memory.js';
import { argmaxRows, labelsOf, nearestNeighbours, vote } from './rules.js';
import { evaluated } from './source.js';
import type { AdaptationAction, AdaptationObservation } from './spaces.js';

/** What is measured on the probe at the end of an epoch. */
export interface Measured {
  readonly information: Information;
  /** The share of the probe on which the network and its neighbours' vote agree. */
  readonly agreement: number;
  /** What needs labels, for `info` and the rewards that say so. */
  readonly labelled: {
    readonly accuracy: number;
    readonly perClassAccuracy: number;
    readonly neighbourAccuracy: number;
    readonly neighbourPerClassAccuracy: number;
    readonly confusion: readonly number[];
    /** [N] the class that the network reads in each picture. */
    readonly predicted: readonly number[];
    /** [N] how probable that is to it. */
    readonly confidence: readonly number[];
  };
}

/** Looks at pictures that are never learned from: by the network, and by the vote of its k nearest neighbours in the bank. */
export async function measureOn(
  network: FeatureNetwork,
  { labels, images, classes }: LabelledImages,
  bank: Bank,
  k: number,
): Promise<Measured> {
  const { features, probs } = await evaluated(network, images);
  const voted = argmaxRows(vote(nearestNeighbours(features, bank.features, k), bank.probs));
  const predicted = argmaxRows(probs);
  const own = accuracyOf(predicted, labels, classes.length);
  const neighbours = accuracyOf(voted, labels, classes.length);
  return {
    information: informationOf(probs),
    agreement: accuracyOf(predicted, voted, classes.length).overall,
    labelled: {
      accuracy: own.overall,
      perClassAccuracy: own.perClass,
      neighbourAccuracy: neighbours.overall,
      neighbourPerClassAccuracy: neighbours.perClass,
      confusion: confusion(predicted, labels, classes.length),
      predicted: [...predicted],
      confidence: Array.from(predicted, (c, i) => probs.data[i * classes.length + c]!),
    },
  };
}

/** What is told of one decision, beside the decision itself. */
interface Decided {
  readonly action: AdaptationAction;
  readonly observation: AdaptationObservation;
  /** [N], of the whole target. */
  readonly labels: Int32Array;
  /** [B]: what the samples were labelled in the previous epoch, −1 for none. */
  readonly lastLabels: Int32Array;
}

/**
 * Counts how good an agent's decisions are, which only who knows the labels can say: pseudo-labels, the weights of right and
 * of wrong ones, kept negatives of the anchor's own class (false negatives), excluded ones of another class.
 */
export function tallyDecisions(tally: Tally, { action, observation, labels, lastLabels }: Decided): void {
  const { pseudoLabels, weights, negativeMask } = action;
  const given = labelsOf(pseudoLabels);
  const own = argmaxRows(observation.probsWeak);
  const queue = observation.queueIndex.data;
  observation.index.data.forEach((index, i) => {
    const truth = labels[index]!;
    tally.add('streamAccuracy', Number(own[i] === truth));
    tally.add('meanWeight', weights.data[i]!);
    if (given[i]! >= 0) {
      const right = given[i] === truth;
      tally.add('pseudoLabelAccuracy', Number(right));
      tally.add(right ? 'weightRight' : 'weightWrong', weights.data[i]!);
      if (lastLabels[i]! >= 0) tally.add('labelsChanged', Number(lastLabels[i] !== given[i]));
    }
    let [kept, keptOwn, excluded, excludedOther] = [0, 0, 0, 0];
    for (let j = 0; j < queue.length && queue[j]! >= 0; j++) {
      const same = Number(labels[queue[j]!] === truth);
      if (negativeMask.data[i * queue.length + j] === 1) {
        kept++;
        keptOwn += same;
      } else {
        excluded++;
        excludedOther += 1 - same;
      }
    }
    tally.add('falseNegatives', keptOwn, kept);
    tally.add('wrongExclusions', excludedOther, excluded);
    tally.add('excludedNegatives', excluded, kept + excluded);
  });
}
