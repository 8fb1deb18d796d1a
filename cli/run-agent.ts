import { GymError } from '../core/errors.js';

/** What says which of a run's agents a command is to take. */
export interface RunAgentOptions {
  run?: string;
  fromCheckpoint?: number;
  best?: boolean;
}

/** @throws GymError E_CONFIG when an agent of a run is asked for, and no run is named. */
export function refuseWithoutRun(command: string, { run, fromCheckpoint, best }: RunAgentOptions): void {
  if (run !== undefined) return;
  if (best) throw new GymError('E_CONFIG', `${command}: --best is an agent that a run keeps; add --run.`);
  if (fromCheckpoint !== undefined)
    throw new GymError(
      'E_CONFIG',
      `${command}: --from-checkpoint ${fromCheckpoint} is a checkpoint of a run; add --run.`,
    );
}
