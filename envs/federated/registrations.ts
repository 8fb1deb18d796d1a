import type { Registration } from '../registration.js';
import type { FederatedPrototypes } from './federated-prototypes.js';
import { optionSummaries } from './option-summaries.js';
import type { FederatedOptions } from './options.js';

declare module '../registration.js' {
  interface KnownEnvs {
    'FederatedPrototypes-v0': { env: FederatedPrototypes; options: FederatedOptions };
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
      const [{ FederatedPrototypes }, { useBackend }] = await Promise.all([
        import('./federated-prototypes.js'),
        import('../../networks/backend.js'),
      ]);
      await useBackend();
      return FederatedPrototypes.create(options as FederatedOptions);
    },
  },
];
