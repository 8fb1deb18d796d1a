import { globalPrototypes } from '../../envs/federated/prototypes.js';
import { defineStrategy } from './strategy.js';

/**
 * Prototypical contrastive federated learning: α · InfoNCE of the features against the global prototypes, at temperature 1,
 * and (1 − α) · cross-entropy, where α falls from 1 to 0 over the rounds (section 3.2). As long as there are no prototypes
 * the cross-entropy has all of the weight, since without any loss nothing would be learned.
 */
export const fedproc = defineStrategy({
  name: 'fedproc',
  summary: 'contrasts global prototypes at first, and goes over to the cross-entropy',
  paper: 'FedProc, Mu et al. 2021, https://arxiv.org/abs/2109.12273',
  options: {},
  defaults: {},
  make: () => ({
    configureTrain: (observation) => {
      const prototypes = globalPrototypes(observation);
      const known = prototypes.some((prototype) => prototype !== undefined);
      const alpha = known ? 1 - observation.round.data[0]! : 0;
      return {
        clusters: prototypes.map((prototype) => (prototype ? [prototype] : [])),
        local: { contrastive: alpha, temperature: 1, crossEntropy: 1 - alpha },
      };
    },
  }),
});
