// What is light: formulas, spaces, options. The environment itself is made by `make('SourceFreeAdaptation-v0')`.
export {
  type AdaptationOptions,
  type AdaptationReward,
  type AdaptationSettings,
  defaultSettings as adaptationDefaults,
  type OwnDomain,
} from './options.js';
export {
  argmaxRows,
  keptNegatives,
  nearestNeighbours,
  normalizedEntropy,
  oneHot,
  uncertaintyWeights,
  vote,
} from './rules.js';
export {
  type AdaptationAction,
  type AdaptationObservation,
  type Coefficients,
  coefficients,
  statNames as adaptationStats,
} from './spaces.js';
