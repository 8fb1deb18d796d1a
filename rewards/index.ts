export type { Reward, RewardBatch, RewardLike, RewardResult, ScoreBatch } from '../core/reward.js';
export { type ScoreOptions, type Scores, scoreImages } from '../core/score.js';
export { expressionReward } from './expression.js';
export { type HttpRewardOptions, httpReward, steadyFetch } from './http/index.js';
export { jpegBytes, jpegCompressibility, jpegIncompressibility } from './jpeg.js';
export { listRewards, makeReward, type RewardEntry, registerReward } from './registry.js';
export * from './shapes/scorers.js';
export * from './shapes/world.js';
export { loadRewardFile } from './user-file.js';
