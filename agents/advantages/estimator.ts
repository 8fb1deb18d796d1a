import type { Awaitable, Metrics } from '../../core/types.js';
import type { Prepared } from '../policy.js';
import type { Transitions } from '../transitions.js';

/** How good each action of a rollout was. */
export interface Advantages {
  /** One a transition; NaN where it has none, in an episode of which the rollout holds only a part. */
  readonly advantages: Float64Array;
  /** What the critic should say of each transition's state, where the estimator has an opinion. */
  readonly targets?: Float32Array;
}

/** What comes with transitions. */
export interface Experience {
  /** The transitions as the policy will score them. */
  readonly prepared: Prepared;
  /** How many of them, the first ones, are of earlier rollouts. */
  readonly replayed: number;
}

/**
 * Turns the rewards of a rollout into advantages. An estimator may keep statistics from rollout to rollout, or train
 * something; that is then part of the agent's state.
 */
export interface AdvantageEstimator<O = unknown> {
  /** Learns from transitions before their advantages are estimated; what it returns is logged. */
  learn?(transitions: Transitions<O, unknown>, experience: Experience): Awaitable<Metrics>;
  estimate(transitions: Transitions<O, unknown>, experience: Experience): Awaitable<Advantages>;
  /** Its statistics as plain JSON, where it keeps some. */
  state?(): unknown;
  restore?(state: unknown): void;
  /** What is too large for that, in files of a folder. */
  save?(folder: string): Promise<void>;
  load?(folder: string): Promise<void>;
  /** Frees what it has trained. */
  dispose?(): void;
}

/**
 * The undiscounted return of each complete episode, and a function that gives every step of episode i the same credit:
 * all denoising steps share the terminal reward (DDPO, arXiv 2305.13301 §4.2).
 */
export function episodeReturns(transitions: Transitions<unknown, unknown>): {
  returns: number[];
  /** Index of each complete episode's first transition. */
  firsts: number[];
  spread(credits: ArrayLike<number>): Advantages;
} {
  const episodes = transitions.spans.filter((span) => span.complete);
  return {
    returns: episodes.map(({ first, end }) => transitions.rewards.subarray(first, end).reduce((a, b) => a + b, 0)),
    firsts: episodes.map(({ first }) => first),
    spread: (credits) => {
      const advantages = new Float64Array(transitions.rewards.length).fill(Number.NaN);
      episodes.forEach(({ first, end }, i) => {
        advantages.fill(credits[i]!, first, end);
      });
      return { advantages };
    },
  };
}
