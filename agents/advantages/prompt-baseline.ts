import { mean } from '../../core/statistics.js';
import type { Metrics } from '../../core/types.js';
import type { Transitions } from '../transitions.js';
import type { Baseline } from './baseline.js';
import type { Experience } from './estimator.js';
import { type PerPromptState, PerPromptStats } from './per-prompt.js';

/** The mean of the last returns of episodes of the same prompt; of all that is learned from, where a prompt was seen too seldom. */
export class PromptBaseline<O> implements Baseline<O> {
  readonly #stats: PerPromptStats;
  readonly #promptOf: (observation: O) => string;

  /** @param promptOf what episodes are compared by. */
  constructor(options: { bufferSize: number; minCount: number; promptOf(observation: O): string }) {
    this.#stats = new PerPromptStats(options.bufferSize, options.minCount);
    this.#promptOf = (observation) => options.promptOf(observation);
  }

  /** Takes in the episodes of the rollout at hand. */
  learn(transitions: Transitions<O, unknown>, returns: Float64Array, { replayed }: Experience): Metrics {
    const made = transitions.spans.filter(({ first, complete }) => complete && first >= replayed);
    this.#stats.update(
      made.map(({ first }) => this.#promptOf(transitions.observations[first]!)),
      made.map(({ first }) => returns[first]!),
    );
    return {};
  }

  values(transitions: Transitions<O, unknown>, returns: Float64Array): Float64Array {
    const stats = this.#stats.stats();
    const complete = transitions.spans.filter((span) => span.complete);
    const overall = mean(complete.map(({ first }) => returns[first]!));
    const values = new Float64Array(returns.length);
    for (const { first, end } of complete) {
      const own = stats.get(this.#promptOf(transitions.observations[first]!));
      values.fill(own !== undefined && own.count >= this.#stats.minCount ? own.mean : overall, first, end);
    }
    return values;
  }

  state(): PerPromptState {
    return this.#stats.state();
  }

  restore(state: unknown): void {
    this.#stats.restore(state as PerPromptState);
  }
}
