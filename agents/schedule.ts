import { GymError } from '../core/errors.js';

/** A constant, or a straight line from `from` (start of the run) to `to` (its end). */
export type Schedule = number | { readonly from: number; readonly to: number };

/** The value at `progress` of the run (0 to 1). */
export function scheduled(schedule: Schedule, progress: number): number {
  if (typeof schedule === 'number') return schedule;
  return schedule.from + (schedule.to - schedule.from) * Math.min(1, Math.max(0, progress));
}

/** @throws GymError E_VALUE unless all values of the schedule are finite and at least `least` (above it when `open`). */
export function checkSchedule(name: string, schedule: Schedule, least = 0, open = false): void {
  const values = typeof schedule === 'number' ? [schedule] : [schedule.from, schedule.to];
  for (const value of values)
    if (!Number.isFinite(value) || value < least || (open && value === least))
      throw new GymError(
        'E_VALUE',
        `${name}: must be ${open ? 'above' : 'at least'} ${least}, actual value ${value}; give a number or { from, to }.`,
      );
}
