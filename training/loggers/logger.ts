import { messageOf } from '../../core/errors.js';
import type { Awaitable } from '../../core/types.js';
import type { TrainEvent } from '../train.js';

/**
 * Writes down what a run does, in a form that some other program reads. It is told every event of `train`, in order, and
 * awaited; the metrics of an event are complete, and on the disk already. Where a run goes on after a kill, its first
 * event says after which epoch: what was logged of later ones is void.
 */
export type Logger = (event: TrainEvent) => Awaitable<void>;

/**
 * A logger whose failure does not stop the run: it is told once, and nothing more is logged until the run is resumed.
 * @param name the logger's, for the message.
 */
export function unfailing(name: string, logger: Logger, warn: ((message: string) => void) | undefined): Logger {
  let failed = false;
  return async (event) => {
    if (failed) return;
    try {
      await logger(event);
    } catch (error) {
      failed = true;
      warn?.(`the logger ${name} has failed, and logs nothing more until the run is resumed: ${messageOf(error)}`);
    }
  };
}
