// The whole of denoise-gym in one place; each room also has a subpath of its own ('denoise-gym/envs', ...).
export * as agents from './agents/index.js';
export { type BackendInfo, type BackendName, describeBackend, useBackend } from './backend/index.js';
export { type ErrorCode, GymError } from './core/errors.js';
export { copy, isNdArray, type NdArray, ndarray, sizeOf, stack, type TypedArray, unstack } from './core/ndarray.js';
export { Random, type RandomState } from './core/random.js';
export type { Reward, RewardBatch, RewardLike, RewardResult, ScoreBatch } from './core/reward.js';
export type { Snapshot } from './core/snapshot.js';
export type { Awaitable, Info, Metrics } from './core/types.js';
export * as diffusion from './diffusion/index.js';
export * as envs from './envs/index.js';
export { make, makeVec } from './envs/index.js';
export * as rewards from './rewards/index.js';
export { makeReward } from './rewards/index.js';
export * as testing from './testing/index.js';
export * as training from './training/index.js';
export { parseConfig, runTraining } from './training/index.js';
