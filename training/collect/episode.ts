import type { Rollout } from '../../agents/agent.js';
import type { Info } from '../../core/types.js';

/** One finished episode. */
export interface Episode {
  /** The sum of its rewards; of those before a normalisation, where the run has one. */
  readonly reward: number;
  /** Its steps. */
  readonly length: number;
  /** What its last step said. */
  readonly info: Info;
  /** True where it was not over, but longer than whoever asked for it wanted to wait. */
  readonly cut?: true;
}

/**
 * The key of an episode's last info under which an environment whose rewards are normalised says what the episode earned
 * before.
 */
export const ownReturn = 'ownReturn';

/** What a rollout brought. */
export interface Collected<O, A> {
  /** Undefined for a rule: nothing is stored for it. */
  readonly rollout?: Rollout<O, A> | undefined;
  /** The episodes that ended in it, in a fixed order. */
  readonly episodes: readonly Episode[];
  /** Valid steps, summed over environments. */
  readonly envSteps: number;
}

/** How far the present rollout is, in vector steps or episodes. */
export type CollectProgress = (done: number, total: number) => void;
