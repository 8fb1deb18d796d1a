import * as z from 'zod';
import { guidedAction } from '../../envs/adaptation/guided.js';
import type { AdaptationAction, AdaptationObservation } from '../../envs/adaptation/spaces.js';
import { defineAgent } from '../define.js';
import { adaptationMetrics } from './metrics.js';
import { AdaptationRule } from './rule.js';

const schema = z.strictObject({
  neighbours: z.int().min(1).describe('k: how many neighbours vote for a label'),
  contrast: z.number().min(0).max(10).describe('weight of the contrastive loss'),
  diversity: z.number().min(0).max(10).describe('weight of the diversity of predictions'),
});

/**
 * AdaContrast as far as it is a rule of decision: labels by the vote of neighbours, all of which count alike, and negatives
 * that are labelled otherwise at present. Its bank follows the network here and not the momentum network, and the
 * optimiser is the environment's.
 */
export const adacontrast = defineAgent<AdaptationObservation, AdaptationAction, typeof schema>({
  name: 'adacontrast',
  summary: 'labels by the vote of neighbours, all of which count alike; negatives that are labelled otherwise now',
  paper: 'Chen et al., Contrastive Test-Time Adaptation, CVPR 2022, https://arxiv.org/abs/2204.10377',
  metrics: adaptationMetrics,
  options: schema,
  defaults: { network: { neighbours: 10, contrast: 1, diversity: 1 } },
  make: ({ env, options: { neighbours, contrast, diversity }, random }) =>
    new AdaptationRule('adacontrast', env, random, (observation) =>
      guidedAction(observation, {
        ...{ neighbours, sharpness: 0, confidence: 0, history: 0, keepAll: false, releasedOrder: false },
        losses: { contrast, diversity, negative: 0, learningRate: 1 },
      }),
    ),
});
