/** A constant, or a straight line from `from` (start of the run) to `to` (its end). */
export type Schedule = number | { readonly from: number; readonly to: number };

/** The value at `progress` of the run (0 to 1). */
export function scheduled(schedule: Schedule, progress: number): number {
  if (typeof schedule === 'number') return schedule;
  return schedule.from + (schedule.to - schedule.from) * Math.min(1, Math.max(0, progress));
}
