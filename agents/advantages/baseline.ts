import { meanAndStd } from '../../core/statistics.js';
import type { Awaitable, Metrics } from '../../core/types.js';
import type { Transitions } from '../transitions.js';
import type { AdvantageEstimator, Advantages, Experience } from './estimator.js';
import { generalizedAdvantages } from './generalized.js';

/** What return was to be expected from a state on, by something that an agent keeps beside its policy. */
export interface Baseline<O> {
  /** Learns from returns, NaN where a transition has none; what it returns is logged. */
  learn?(transitions: Transitions<O, unknown>, returns: Float64Array, experience: Experience): Awaitable<Metrics>;
  /** The return that it expects, one a transition; any number where that has none. */
  values(transitions: Transitions<O, unknown>, returns: Float64Array, experience: Experience): Awaitable<Float64Array>;
  /** Its state, as plain JSON, or in a folder where it is large. */
  state?(): unknown;
  restore?(state: unknown): void;
  save?(folder: string): Promise<void>;
  load?(folder: string): Promise<void>;
  dispose?(): void;
}

export interface BaselinedReturnsOptions {
  /** Discount of future rewards, 0 to 1. */
  gamma: number;
  /** Advantages to mean 0 and deviation 1 over all that is learned from. */
  standardize: boolean;
  /** β of a KL that is part of the rewards: `extras.referenceLogRatio` holds it a transition. 0 where it is not. */
  klReward: number;
}

/** The return from a transition on, R_t = Σ γ^k r_{t+k}, minus a baseline; complete episodes only. */
export class BaselinedReturns<O> implements AdvantageEstimator<O> {
  readonly #baseline: Baseline<O> | undefined;
  readonly #options: BaselinedReturnsOptions;

  /** @param baseline absent: the return itself. */
  constructor(baseline: Baseline<O> | undefined, options: BaselinedReturnsOptions) {
    this.#baseline = baseline;
    this.#options = options;
  }

  async learn(transitions: Transitions<O, unknown>, experience: Experience): Promise<Metrics> {
    return (await this.#baseline?.learn?.(transitions, returnsToGo(transitions, this.#options), experience)) ?? {};
  }

  async estimate(transitions: Transitions<O, unknown>, experience: Experience): Promise<Advantages> {
    const returns = returnsToGo(transitions, this.#options);
    const values = await this.#baseline?.values(transitions, returns, experience);
    const advantages = values === undefined ? returns : returns.map((value, row) => value - values[row]!);
    if (!this.#options.standardize) return { advantages };
    const { mean, std } = meanAndStd(Array.from(rowsWithReturn(returns), (row) => advantages[row]!));
    return { advantages: advantages.map((a) => (a - mean) / (std + 1e-8)) };
  }

  state(): unknown {
    return this.#baseline?.state?.();
  }

  restore(state: unknown): void {
    this.#baseline?.restore?.(state);
  }

  async save(folder: string): Promise<void> {
    await this.#baseline?.save?.(folder);
  }

  async load(folder: string): Promise<void> {
    await this.#baseline?.load?.(folder);
  }

  dispose(): void {
    this.#baseline?.dispose?.();
  }
}

/**
 * The discounted return from each transition of a complete episode on; NaN elsewhere. With a KL among the rewards each step
 * has r_t − β (ln π_old − ln π_reference) of the action that was taken.
 */
function returnsToGo(
  { rewards, spans, extras }: Transitions<unknown, unknown>,
  { gamma, klReward }: Pick<BaselinedReturnsOptions, 'gamma' | 'klReward'>,
): Float64Array {
  const returns = new Float64Array(rewards.length).fill(Number.NaN);
  const logRatio = extras.referenceLogRatio as Float32Array | undefined;
  const own = klReward === 0 ? rewards : rewards.map((reward, row) => reward - klReward * logRatio![row]!);
  for (const { first, end, complete } of spans) {
    if (!complete) continue;
    const zeros = new Float64Array(end - first);
    const sequence = { rewards: own.subarray(first, end), values: zeros, nextValues: zeros, ends: zeros };
    returns.set(generalizedAdvantages(sequence, gamma, 1), first);
  }
  return returns;
}

/** The rows that have a return. */
export function rowsWithReturn(returns: Float64Array): Int32Array {
  return Int32Array.from(returns.keys()).filter((row) => !Number.isNaN(returns[row]!));
}
