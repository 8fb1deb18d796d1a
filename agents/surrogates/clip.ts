import { type Schedule, scheduled } from '../optimization/schedule.js';
import type { Rows } from '../rows.js';
import type { Surrogate } from './surrogate.js';

/** min(Aρ, A·clip(ρ, 1 ± ε)), PPO's (arXiv 1707.06347 eq. 7). */
export function clipSurrogate(clipRange: Schedule): Surrogate {
  return {
    displacement: false,
    isScoreFunctionAtFirst: true,
    objective: ({ logRatio, advantages }, progress) => {
      const clip = scheduled(clipRange, progress);
      const ratio = logRatio.exp();
      // Where both are equal the gradient goes through the unclipped term.
      return advantages.mul(ratio).minimum(advantages.mul(ratio.clipByValue(1 - clip, 1 + clip)));
    },
    beyond: ({ logRatio }, progress) => beyondClip(logRatio, scheduled(clipRange, progress)),
  };
}

/** 1 where |ρ − 1| > ε. */
export function beyondClip(logRatio: Rows, clip: number): Rows {
  return logRatio
    .exp()
    .sub(1)
    .square()
    .sub(clip * clip)
    .step();
}
