export { asVector, isLockstep } from './as-vector.js';
export { type CollectOptions, Collector, type CollectorOptions } from './collector.js';
export type { Collected, CollectProgress, Episode } from './episode.js';
