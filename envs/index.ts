export * from './denoising/index.js';
export type { Env, EnvSpec, ResetOptions, ResetResult, StepResult } from './env.js';
export { Box } from './spaces/box.js';
export { Dict } from './spaces/dict.js';
export { Discrete } from './spaces/discrete.js';
export type { ElementOf, Space } from './spaces/space.js';
export { Text } from './spaces/text.js';
export { Tuple } from './spaces/tuple.js';
export type { Autoreset, VectorEnv, VectorResetOptions, VectorResetResult, VectorStepResult } from './vector-env.js';
