export type { Reward, RewardBatch, RewardLike, RewardResult, ScoreBatch } from '../core/reward.js';
export { type ScoreOptions, type Scores, scoreImages } from '../core/score.js';
export {
  listRewardKinds,
  makeDefined,
  type RewardDefinition,
  type RewardKind,
  rewardDefinitions,
} from './definitions.js';
export { expressionReward } from './expression.js';
export { type HttpRewardOptions, httpReward, steadyFetch } from './http/index.js';
export { jpegBytes, jpegCompressibility, jpegIncompressibility } from './jpeg.js';
export type * from './learned/options.js';
export { loadBertScorer, loadVisionNet } from './models.js';
export { featureDistance } from './nsfw/feature-distance.js';
export type { VisionNet } from './nsfw/vision-net.js';
export type { OcrOptions } from './ocr/options.js';
export { listRewards, makeReward, type RewardEntry, registerReward } from './registry.js';
export * from './shapes/scorers.js';
export * from './shapes/world.js';
export type { BertScorer, BertScorerOptions, BertScores } from './text/bert-score.js';
export { loadRewardFile } from './user-file.js';
export type { VlmRewardOptions } from './vlm/options.js';
