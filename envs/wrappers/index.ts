export {
  clipAction,
  discretizeAction,
  rescaleAction,
  type StickyOptions,
  stickyAction,
  transformAction,
} from './action.js';
export { Groups } from './groups.js';
export {
  delayObservation,
  type FrameStackOptions,
  frameStackObservation,
  type TimeAwareOptions,
  timeAwareObservation,
} from './memory.js';
export {
  type Around,
  actionModification,
  type Modification,
  type Modified,
  type Modifier,
  observationModification,
  stepModification,
} from './modifier.js';
export {
  type Normalization,
  type NormalizationOptions,
  normalizeObservation,
  normalizeReward,
  RunningMeanStd,
} from './normalize.js';
export {
  discretizeObservation,
  dtypeObservation,
  filterObservation,
  flattenObservation,
  grayscaleObservation,
  rescaleObservation,
  reshapeObservation,
  resizeObservation,
  transformObservation,
} from './observation.js';
export { OrderEnforcing } from './order-enforcing.js';
export {
  addRenderObservation,
  cubes,
  RecordVideo,
  type RecordVideoOptions,
  type RenderObservationOptions,
} from './render.js';
export { AutoresetWrapper, MaxAndSkipObservation, RepeatAction } from './repeat.js';
export { clipReward, type RewardContext, transformReward } from './reward.js';
export { type EpisodeRecorder, type EpisodeStatistics, recordEpisodeStatistics } from './statistics.js';
export { TimeLimit } from './time-limit.js';
export { wrap } from './wrap.js';
export { findWrapper, PlainWrapper, unwrapped, Wrapper } from './wrapper.js';
