import * as z from 'zod';
import { globalPrototypes } from '../../envs/federated/prototypes.js';
import { defineStrategy } from './strategy.js';

/**
 * Features are pulled to the global prototype of their class. As in FPL's comparison the models are averaged too; FedProto's
 * own paper averages prototypes alone, for clients whose networks differ.
 */
export const fedproto = defineStrategy({
  name: 'fedproto',
  summary: 'FedAvg whose clients pull their features to global class prototypes',
  paper: 'FedProto, Tan et al. 2022, https://arxiv.org/abs/2105.00243',
  options: { lambda: z.number().min(0).max(10).describe('weight of the pull to the global prototypes') },
  defaults: { lambda: 1 },
  make: ({ lambda }) => ({
    configureTrain: (observation) => ({ unbiased: globalPrototypes(observation), local: { consistency: lambda } }),
  }),
});
