export {
  type Interval,
  interquartileMean,
  meanOfMeans,
  medianOfMeans,
  optimalityGap,
  probabilityOfImprovement,
  type Scores,
  withInterval,
} from './benchmark/statistics.js';
export {
  type EpochFunction,
  everyEpochs,
  keepBest,
  readBest,
  stopAtReward,
  stopWithoutImprovement,
  type Watched,
} from './callbacks/index.js';
export {
  type Collected,
  type CollectOptions,
  Collector,
  type CollectorOptions,
  type CollectProgress,
  type Episode,
} from './collect/index.js';
export {
  completeConfig,
  loadConfig,
  parseConfig,
  type RunConfig,
  type RunConfigInput,
  type RunOptionInfo,
  runOptions,
} from './config/index.js';
export {
  type EvaluateOptions,
  type Evaluation,
  type EvaluationOptions,
  type EvaluationRecord,
  evaluate,
  evaluateWithPictures,
  evaluationCallback,
  type PictureOptions,
  readEvaluations,
  type SampleRecord,
} from './evaluation/index.js';
export { convertLora, mergeLora } from './export.js';
export { type LoadedPolicy, type LoadPolicyOptions, loadPolicy } from './exported-policy.js';
export { modelFolder } from './families/denoising.js';
export type { ComposeOptions, Composition, Family, FamilyWords } from './families/family.js';
export { compose, families, familyOf } from './families/index.js';
export { animationWebp, cutGrid, type GridLayout, gridPng } from './images.js';
export {
  csvLogger,
  type Logger,
  type TensorBoardOptions,
  type TrackioOptions,
  tensorBoardLogger,
  trackioLogger,
} from './loggers/index.js';
export { type PretrainOptions, type PretrainProgress, pretrain } from './pretrain.js';
export {
  type EpochLineOptions,
  epochLine,
  type ProgressOptions,
  type ProgressReporter,
  progressReporter,
  rewardSummary,
} from './progress.js';
export { renderReport, writeReport } from './report.js';
export { rewardMetrics } from './reward-metrics.js';
export { type RunOptions, type RunResult, runTraining } from './run.js';
export { type Checkpoint, type CheckpointState, type Origin, RunFolder, type RunStatus } from './run-folder/index.js';
export { type RunRecord, readRunRecord } from './run-record.js';
export { type Sampled, type SampleOptions, sampleImages } from './sample.js';
export {
  type Callback,
  type TrainContext,
  type TrainEvent,
  type TrainOptions,
  type TrainProgress,
  train,
} from './train.js';
export { type OpenCheckpointOptions, openCheckpoint, type TrainedAgent } from './trained.js';
export type { TrustOptions } from './trust.js';
