import * as z from 'zod';
import { argmaxRows, oneHot } from '../../envs/adaptation/rules.js';
import { type AdaptationAction, type AdaptationObservation, coefficients } from '../../envs/adaptation/spaces.js';
import { defineAgent } from '../define.js';
import { adaptationMetrics } from './metrics.js';
import { AdaptationRule, allNegatives } from './rule.js';

const schema = z.strictObject({
  confidence: z.number().min(0).max(1).describe('labels of predictions that are less probable do not count'),
  diversity: z.number().min(0).max(10).describe('weight of the diversity of predictions; 0: none'),
});

/** The network believes itself where it is confident. */
export const threshold = defineAgent<AdaptationObservation, AdaptationAction, typeof schema>({
  name: 'threshold',
  summary: "the network's own predictions as labels, of which only confident ones count",
  paper:
    'Sohn et al. 2020, FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence, https://arxiv.org/abs/2001.07685',
  metrics: adaptationMetrics,
  options: schema,
  defaults: { network: { confidence: 0.9, diversity: 1 } },
  make: ({ env, options: { confidence, diversity }, random }) =>
    new AdaptationRule('threshold', env, random, (observation) => {
      const { data, shape } = observation.probsWeak;
      const labels = argmaxRows(observation.probsWeak);
      const weights = Float32Array.from(labels, (c, i) => Number(data[i * shape[1]! + c]! >= confidence));
      return {
        pseudoLabels: oneHot(labels, shape[1]!),
        weights: { data: weights, shape: [weights.length] },
        negativeMask: allNegatives(observation),
        coefficients: coefficients({ contrast: 0, diversity }),
      };
    }),
});
