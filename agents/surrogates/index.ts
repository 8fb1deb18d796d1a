import type { Schedule } from '../optimization/schedule.js';
import { clipSurrogate } from './clip.js';
import { divergenceSurrogate } from './divergence.js';
import { guardSurrogate } from './guard.js';
import type { Surrogate } from './surrogate.js';

export { clipSurrogate } from './clip.js';
export { divergenceSurrogate } from './divergence.js';
export { guardSurrogate } from './guard.js';
export type { Surrogate } from './surrogate.js';

/** The names that options call surrogates by. */
export const surrogateNames = ['clip', 'guard', 'divergence'] as const;

/** A surrogate by its name, with what each of them needs. */
export function makeSurrogate(
  name: (typeof surrogateNames)[number],
  { clipRange, divergenceThreshold }: { clipRange: Schedule; divergenceThreshold: number },
): Surrogate {
  const make = {
    clip: () => clipSurrogate(clipRange),
    guard: () => guardSurrogate(clipRange),
    divergence: () => divergenceSurrogate(divergenceThreshold),
  };
  return make[name]();
}
