import type { RunConfig } from '../config/run-config.js';
import type { RunFolder } from '../run-folder/index.js';
import { csvLogger } from './csv.js';
import { type Logger, unfailing } from './logger.js';
import type { loggerNames } from './names.js';
import { tensorBoardLogger } from './tensorboard.js';
import { trackioLogger } from './trackio.js';

/** The loggers that a run's configuration asks for. None of them can make the run fail. */
export function configuredLoggers(
  config: RunConfig,
  folder: RunFolder,
  warn: (message: string) => void,
): readonly Logger[] {
  const makers: Readonly<Record<(typeof loggerNames)[number], () => Logger>> = {
    csv: () => csvLogger(folder),
    tensorboard: () => tensorBoardLogger(folder.path, { config }),
    trackio: () => trackioLogger(folder, { ...config.trackio, run: config.name, warn }),
  };
  return [...new Set(config.loggers)].map((name) => unfailing(name, makers[name](), warn));
}
