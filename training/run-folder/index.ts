export type { Checkpoint, CheckpointState, Origin } from './checkpoint.js';
export { type Digests, differingFiles, digestFile, digestFolder, digestOf, filesBelow } from './digests.js';
export { allFinite, nonFiniteTensor } from './finite.js';
export { metricsLine, parseMetrics } from './metrics.js';
export { RunFolder } from './run-folder.js';
export type { RunStatus } from './status.js';
