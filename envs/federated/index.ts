// What is light: formulas, spaces, options. The environment itself is made by `make('FederatedPrototypes-v0')`.

export { gaussianEpsilon } from './accountant.js';
export type { Allocation, ClientGroup } from './allocations.js';
export { proportions, weightedSum } from './averages.js';
export { DifferentialPrivacy, type PrivacyOptions } from './differential-privacy.js';
export type { FederatedPrototypes } from './federated-prototypes.js';
export { clusterMeans, type FinchOptions, type FinchPartitions, finch } from './finch.js';
export {
  defaultFederatedKnobs,
  FederatedKnobs,
  federatedKnobs,
  federatedPrototypeRule,
  knobsOf,
} from './knobs.js';
export type { FederatedOptions } from './options.js';
export {
  answered,
  clientStatus,
  type FederatedAction,
  type FederatedDecision,
  type FederatedObservation,
  federatedAction,
  type LocalTraining,
  localTraining,
  localTrainingOf,
  parametersOf,
  prototypesOf,
} from './spaces.js';
export { SumsOnly } from './sums-only.js';
