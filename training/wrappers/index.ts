export { parseWrappers, type WrapperEntry, type WrapperStep, wrapperFiles, wrappersOption } from './parse.js';
export { listWrappers, type WrapperDescription } from './registry.js';
export { type AnyVectorEnv, type NamedNormalization, WrapperStack } from './stack.js';
export { statisticsFile, withStatistics } from './statistics.js';
