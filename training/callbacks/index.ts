export { withConfiguredCallbacks } from './configured.js';
export { type EpochFunction, everyEpochs } from './every.js';
export { keepBest, readBest } from './keep-best.js';
export { stopAtReward, stopWithoutImprovement, type Watched } from './stop.js';
export { callbackFiles, loadCallbackFiles } from './user-file.js';
