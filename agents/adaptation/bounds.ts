import * as z from 'zod';
import { GymError } from '../../core/errors.js';
import { argmaxRows, oneHot } from '../../envs/adaptation/rules.js';
import { type AdaptationAction, type AdaptationObservation, coefficients } from '../../envs/adaptation/spaces.js';
import { defineAgent } from '../define.js';
import { adaptationMetrics } from './metrics.js';
import { AdaptationRule, allNegatives, type Rule, sameWeights } from './rule.js';

// Three bounds between which a method lies: nothing learned, true labels, labels by chance. They have no options.

function bound(name: string, summary: string, paper: string, rule: Rule) {
  return defineAgent<AdaptationObservation, AdaptationAction>({
    name,
    summary,
    paper,
    metrics: adaptationMetrics,
    options: z.strictObject({}),
    defaults: { network: {} },
    make: ({ env, random }) => new AdaptationRule(name, env, random, rule),
  });
}

const noPaper = 'none: a bound for the others';

/** Only the statistics of batch normalisation follow the target (Schneider et al. 2020). */
export const batchNorm = bound(
  'batch-norm',
  'no label: only the statistics of batch normalisation follow the target',
  'Schneider et al. 2020, Improving robustness against common corruptions by covariate shift adaptation, https://arxiv.org/abs/2006.16971',
  (observation) => ({
    pseudoLabels: oneHot(argmaxRows(observation.probsWeak), observation.probsWeak.shape[1]!),
    weights: sameWeights(observation, 0),
    negativeMask: allNegatives(observation),
    coefficients: coefficients({ contrast: 0, diversity: 0, learningRate: 0 }),
  }),
);

/** What could be reached: the true labels, which only `info` has. */
export const oracle = bound(
  'oracle',
  'the true labels of the target: the upper bound',
  noPaper,
  (observation, { info }) => {
    const { labels } = info;
    if (!(labels instanceof Int32Array))
      throw new GymError(
        'E_STATE',
        'agent oracle: the info has no `labels`, which it decides by; hand in the infos of reset and step.',
      );
    return {
      pseudoLabels: oneHot(labels, observation.probsWeak.shape[1]!),
      weights: sameWeights(observation, 1),
      negativeMask: allNegatives(observation),
      coefficients: coefficients({ contrast: 0, diversity: 0 }),
    };
  },
);

/** What labels by chance do to a network. */
export const randomLabels = bound('random', 'labels by chance: the lower bound', noPaper, (observation, { random }) => {
  const classes = observation.probsWeak.shape[1]!;
  return {
    pseudoLabels: oneHot(
      Int32Array.from(observation.index.data, () => random.integer(classes)),
      classes,
    ),
    weights: sameWeights(observation, 1),
    negativeMask: allNegatives(observation),
    coefficients: coefficients({ contrast: 0, diversity: 0 }),
  };
});
