import * as z from 'zod';
import { type GuidedOptions, guidedAction } from '../../envs/adaptation/guided.js';
import type { AdaptationAction, AdaptationObservation } from '../../envs/adaptation/spaces.js';
import { defineAgent } from '../define.js';
import { adaptationMetrics } from './metrics.js';
import { AdaptationRule } from './rule.js';

const schema = z.strictObject({
  neighbours: z.int().min(0).describe("k: how many neighbours vote for a label; 0: the network's own prediction"),
  sharpness: z.number().min(0).max(100).describe('α in the weight exp(−α Ĥ) of a label; 0: all count alike'),
  history: z.int().min(0).describe('T: in how many previous epochs labels are compared to exclude negatives'),
  exclusion: z.boolean().describe('false: no negative is excluded'),
  releasedOrder: z
    .boolean()
    .describe("true: the present labels are left out of the comparison, as in the paper's released code"),
  contrast: z.number().min(0).max(10).describe('weight of the contrastive loss; 0: none, and no queue'),
  diversity: z.number().min(0).max(10).describe('weight of the diversity of predictions'),
  negative: z
    .number()
    .min(0)
    .max(1)
    .describe('share of negative learning; 0: cross-entropy alone, 1: as the paper has it'),
});

/** The options as the formulas take them. */
function guidedOptions(options: z.output<typeof schema>): GuidedOptions {
  const { neighbours, sharpness, history, exclusion, releasedOrder, contrast, diversity, negative } = options;
  return {
    ...{ neighbours, sharpness, confidence: 0, history, keepAll: !exclusion, releasedOrder },
    losses: { contrast, diversity, negative, learningRate: 1 },
  };
}

/** Guided pseudo-labels: the paper's rule, every part of which can be turned off. */
export const guidedPseudoLabels = defineAgent<AdaptationObservation, AdaptationAction, typeof schema>({
  name: 'guided-pseudo-labels',
  aliases: ['sf-uda'],
  summary: 'labels by the vote of neighbours, weighted by its certainty; negatives that were never labelled alike',
  paper:
    'Litrico, Del Bue, Morerio, Guiding Pseudo-labels with Uncertainty Estimation for Source-free Unsupervised Domain Adaptation, CVPR 2023, https://arxiv.org/abs/2303.03770',
  metrics: adaptationMetrics,
  options: schema,
  defaults: {
    network: {
      ...{ neighbours: 5, sharpness: 1, history: 5, exclusion: true, releasedOrder: false },
      // Five neighbours (the released code has ten, of 55,000 samples), the weight of the contrast and cross-entropy are this
      // project's, for few epochs of a small network on some thousand samples.
      ...{ contrast: 0.2, diversity: 1, negative: 0 },
    },
  },
  make: ({ env, options, random }) => {
    const guided = guidedOptions(options);
    return new AdaptationRule('guided-pseudo-labels', env, random, (observation) => guidedAction(observation, guided));
  },
});
