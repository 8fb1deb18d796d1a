import * as z from 'zod';
import { argmaxRows, oneHot } from '../../envs/adaptation/rules.js';
import { type AdaptationAction, type AdaptationObservation, coefficients } from '../../envs/adaptation/spaces.js';
import { defineAgent } from '../define.js';
import { adaptationMetrics } from './metrics.js';
import { AdaptationRule, allNegatives, sameWeights } from './rule.js';

const schema = z.strictObject({
  diversity: z.number().min(0).max(10).describe('weight of the diversity of predictions; 0: none'),
});

/** The simplest rival: the network believes itself. */
export const naivePseudoLabels = defineAgent<AdaptationObservation, AdaptationAction, typeof schema>({
  name: 'naive-pseudo-labels',
  summary: "the network's own predictions as labels, all of which count alike",
  paper: 'Lee 2013, Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks',
  metrics: adaptationMetrics,
  options: schema,
  defaults: { network: { diversity: 0 } },
  make: ({ env, options: { diversity }, random }) =>
    new AdaptationRule('naive-pseudo-labels', env, random, (observation) => ({
      pseudoLabels: oneHot(argmaxRows(observation.probsWeak), observation.probsWeak.shape[1]!),
      weights: sameWeights(observation, 1),
      negativeMask: allNegatives(observation),
      coefficients: coefficients({ contrast: 0, diversity }),
    })),
});
