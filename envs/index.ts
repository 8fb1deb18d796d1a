import './families.js'; // its declarations bring the types of the ids, which no export below names

export * from './adaptation/index.js';
export * from './classic/index.js';
export * from './data/index.js';
export * from './denoising/index.js';
export type { Env, EnvSpec, ResetOptions, ResetResult, StepResult } from './env.js';
export * from './federated/index.js';
export { NumpyRandom, type NumpyRandomState } from './numpy-random.js';
export { type RandomKind, type RandomSource, type RandomSourceState, randomSource } from './random-source.js';
export type * from './registration.js';
export * from './registry.js';
export * from './spaces/index.js';
export { SyncVectorEnv, type SyncVectorOptions } from './sync-vector-env.js';
export type { Autoreset, VectorEnv, VectorResetOptions, VectorResetResult, VectorStepResult } from './vector-env.js';
export { makeWorkerVec, WorkerVectorEnv, type WorkerVectorOptions } from './worker-vector-env.js';
export * from './wrappers/index.js';
