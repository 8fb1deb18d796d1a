export { parseWrappers, type WrapperEntry, type WrapperStep, wrapperFiles, wrappersOption } from './parse.js';
export { listWrappers, type WrapperDescription } from './registry.js';
export { type AnyVectorEnv, type FrozenStatistics, type NamedNormalization, WrapperStack } from './stack.js';
export { readStatistics, statisticsFile, statisticsOf, withStatistics, writeStatistics } from './statistics.js';
