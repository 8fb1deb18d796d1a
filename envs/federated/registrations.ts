import type { Env } from '../env.js';
import type { Registration } from '../registration.js';
import { optionSummaries } from './option-summaries.js';
import type { OpenFederatedOptions } from './options.js';
import type { FederatedAction, FederatedObservation } from './spaces.js';

declare module '../registration.js' {
  interface KnownEnvs {
    'FederatedPrototypes-v0': {
      env: Env<FederatedObservation, FederatedAction>;
      options: OpenFederatedOptions;
    };
  }
}

/** What the registry is told of federated learning. Its code, TensorFlow.js and the data are loaded when it is made. */
export const federated: readonly Registration[] = [
  {
    id: 'FederatedPrototypes-v0',
    description:
      'be the server of federated learning under domain shift: the action is the next model, the prototypes that are sent, who trains, and how',
    options: optionSummaries,
    create: async (options) => {
      const [{ openFederated }, { useBackend }] = await Promise.all([
        import('./open.js'),
        import('../../networks/backend.js'),
      ]);
      await useBackend();
      return openFederated(options as OpenFederatedOptions);
    },
  },
];
