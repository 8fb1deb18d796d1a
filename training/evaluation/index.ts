export { type EvaluationOptions, evaluationCallback } from './callback.js';
export { type EvaluateOptions, type Evaluation, evaluate } from './evaluate.js';
export {
  type EvaluationRecord,
  evaluateWithPictures,
  evaluationFiles,
  type PictureOptions,
  readEvaluations,
  type SampleRecord,
} from './record.js';
