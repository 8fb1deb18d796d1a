import { type Schedule, scheduled } from '../optimization/schedule.js';
import { beyondClip } from './clip.js';
import type { Surrogate } from './surrogate.js';

/**
 * A·clamp(ρ, 1 ± ε), DPOK's (arXiv 2305.16381 eq. 26). Unlike PPO's it has no gradient for any ratio outside, also where
 * that is on the wrong side: what has gone astray is left there.
 */
export function clampSurrogate(clipRange: Schedule): Surrogate {
  return {
    displacement: false,
    isScoreFunctionAtFirst: true,
    objective: ({ logRatio, advantages }, progress) => {
      const clip = scheduled(clipRange, progress);
      return advantages.mul(logRatio.exp().clipByValue(1 - clip, 1 + clip));
    },
    beyond: ({ logRatio }, progress) => beyondClip(logRatio, scheduled(clipRange, progress)),
  };
}
