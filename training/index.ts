export { type Collected, Collector, type CollectorOptions, type CollectProgress, type Episode } from './collect.js';
export { type ComposeOptions, type Composition, compose, modelFolder } from './compose.js';
export { loadConfig, type OptionInfo, parseConfig, type RunConfig, type RunConfigInput, runOptions } from './config.js';
export { type EvaluateOptions, type Evaluation, evaluate } from './evaluate.js';
export {
  type EvaluationOptions,
  type EvaluationRecord,
  evaluateWithPictures,
  evaluationCallback,
  readEvaluations,
  type SampleRecord,
} from './evaluation.js';
export { animationWebp, cutGrid, type GridLayout, gridPng } from './images.js';
export { type PretrainOptions, type PretrainProgress, pretrain } from './pretrain.js';
export { epochLine, type ProgressReporter, progressReporter } from './progress.js';
export { renderReport, writeReport } from './report.js';
export { type RunOptions, type RunResult, runTraining } from './run.js';
export { type CheckpointState, RunFolder, type RunStatus } from './run-folder.js';
export { type RunRecord, readRunRecord } from './run-record.js';
export { latestCheckpoint, type Sampled, type SampleOptions, sampleImages } from './sample.js';
export {
  type Callback,
  rewardMetrics,
  type TrainContext,
  type TrainEvent,
  type TrainOptions,
  type TrainProgress,
  train,
} from './train.js';
