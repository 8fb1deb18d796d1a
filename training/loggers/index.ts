export { configuredLoggers } from './configured.js';
export { csvLogger } from './csv.js';
export { type Logger, unfailing } from './logger.js';
export { loggerNames } from './names.js';
export { type TensorBoardOptions, tensorBoardLogger } from './tensorboard.js';
export { type TrackioOptions, trackioLogger } from './trackio.js';
