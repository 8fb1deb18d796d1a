import * as z from 'zod';
import { classClusters, globalPrototypes, meanOf } from '../../envs/federated/prototypes.js';
import { defineStrategy } from './strategy.js';

/**
 * Federated prototype learning. Clients contrast their features with the cluster prototypes of all classes (equations 7
 * and 8), and pull them to the unbiased prototype of their own, which is the mean of its clusters, so that a domain with
 * many clients counts no more than one with few (equations 6 and 10). The models are averaged as in FedAvg (equation 11).
 */
export const fpl = defineStrategy({
  name: 'fpl',
  aliases: ['federated-prototypes'],
  summary: "clusters the clients' class prototypes: contrast with the clusters, and a pull to their unbiased mean",
  paper: 'Rethinking Federated Learning with Domain Shift: A Prototype View, Huang et al. 2023, CVPR',
  options: {
    contrastive: z
      .number()
      .min(0)
      .max(10)
      .describe('weight of the contrast with cluster prototypes (CPCL); 0 for none'),
    temperature: z.number().min(0.001).max(10).describe('τ of the contrast; the paper has .02 for a larger network'),
    consistency: z.number().min(0).max(10).describe('weight of the pull to unbiased prototypes (UPCR); 0 for none'),
    contrastWith: z.enum(['clusters', 'global']).describe('the prototypes of the contrast; global: one a class'),
    consistentWith: z
      .enum(['unbiased', 'global'])
      .describe('what is pulled to: the mean of the clusters, or that of the clients'),
    level: z
      .union([z.literal('last'), z.int().min(0).max(32)])
      .describe("which of FINCH's partitions, 0 being the finest; last: the coarsest"),
  },
  defaults: {
    contrastive: 1,
    temperature: 0.1,
    consistency: 1,
    contrastWith: 'clusters',
    consistentWith: 'unbiased',
    level: 'last',
  },
  make: ({ contrastive, temperature, consistency, contrastWith, consistentWith, level }) => ({
    configureTrain: (observation) => {
      // Section 3.2: FINCH for each class, by default its coarsest partition.
      const partition = level === 'last' ? { share: 1 } : { partition: level };
      const clusters = classClusters(observation, partition).map(({ means }) => means);
      const means = globalPrototypes(observation);
      return {
        clusters: contrastWith === 'clusters' ? clusters : means.map((mean) => (mean ? [mean] : [])),
        unbiased: consistentWith === 'unbiased' ? clusters.map(meanOf) : means,
        local: { contrastive, temperature, consistency },
      };
    },
  }),
});
