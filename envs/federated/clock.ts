import type { Random } from '../../core/random.js';
import type { ClientSpec } from './allocations.js';

/** What may go wrong on the way, and how long things take. */
export interface ClockOptions {
  /** Seconds that a client takes for one example in one epoch, on average. */
  readonly secondsPerExample: number;
  /** How likely a client that is asked gives no answer. */
  readonly failureRate: number;
  /** How likely one that is asked takes `stragglerSlowness` times as long as it would. */
  readonly stragglerRate: number;
  readonly stragglerSlowness: number;
  /** Seconds that the server waits. Answers that come later count as failed. null: as long as it takes. */
  readonly deadline: number | null;
}

/** How an errand of a client ends, on the virtual clock. */
export interface Errand {
  readonly answers: boolean;
  /** Seconds until it answers, or until the server gives it up. */
  readonly latency: number;
}

/**
 * Sends a client to work. What happens is drawn from a stream of its own, so that it does not depend on who else is asked.
 * @param examples how many it trains on, times its epochs.
 */
export function errandOf(
  { slowness = 1 }: ClientSpec,
  examples: number,
  options: ClockOptions,
  random: Random,
): Errand {
  const { secondsPerExample, failureRate, stragglerRate, stragglerSlowness, deadline } = options;
  // Machines differ from round to round by a third or so.
  const usual = examples * secondsPerExample * slowness * Math.exp(0.3 * random.normal());
  const [fails, straggles] = [random.next() < failureRate, random.next() < stragglerRate];
  const needed = straggles ? usual * stragglerSlowness : usual;
  const latest = deadline ?? Number.POSITIVE_INFINITY;
  return { answers: !fails && needed <= latest, latency: Math.min(needed, latest) };
}
