import { GymError } from '../../core/errors.js';
import { shown } from '../../core/shown.js';
import { meanAndStd } from '../../core/statistics.js';
import type { Transitions } from '../transitions.js';
import { type AdvantageEstimator, type Advantages, episodeReturns } from './estimator.js';

/** What a {@link PerPromptStats} needs to go on: plain JSON, the remembered rewards of each prompt. */
export type PerPromptState = Record<string, number[]>;

/**
 * Running reward statistics of each prompt (DDPO §5; `PerPromptStatTracker` of ddpo-pytorch). A prompt seen fewer than `minCount`
 * times is compared with the whole batch instead.
 */
export class PerPromptStats {
  readonly #buffers = new Map<string, number[]>();

  /**
   * @param bufferSize how many rewards of a prompt are remembered
   * @param minCount from how many rewards on a prompt has statistics of its own
   * @throws GymError E_VALUE unless 1 <= minCount <= bufferSize.
   */
  constructor(
    readonly bufferSize = 16,
    readonly minCount = 16,
  ) {
    if (!(bufferSize >= 1) || !(minCount >= 1) || minCount > bufferSize)
      throw new GymError(
        'E_VALUE',
        `PerPromptStats: needs 1 <= minCount <= bufferSize, actual values minCount ${minCount}, bufferSize ${bufferSize}.`,
      );
  }

  /** Takes in a batch of rewards, then returns their advantages. */
  update(prompts: readonly string[], rewards: ArrayLike<number>): Float64Array {
    prompts.forEach((prompt, i) => {
      const buffer = this.#buffers.get(prompt) ?? [];
      buffer.push(rewards[i]!);
      if (buffer.length > this.bufferSize) buffer.shift();
      this.#buffers.set(prompt, buffer);
    });
    const batch = meanAndStd(rewards);
    const stats = new Map<string, { mean: number; std: number }>();
    for (const prompt of new Set(prompts)) {
      const buffer = this.#buffers.get(prompt)!;
      stats.set(prompt, buffer.length < this.minCount ? batch : meanAndStd(buffer));
    }
    return Float64Array.from(rewards, (reward, i) => {
      const { mean, std } = stats.get(prompts[i]!)!;
      return (reward - mean) / (std + 1e-6);
    });
  }

  /** Count, mean and standard deviation of each prompt seen. */
  stats(): Map<string, { count: number; mean: number; std: number }> {
    return new Map(
      [...this.#buffers].map(([prompt, buffer]) => [prompt, { count: buffer.length, ...meanAndStd(buffer) }]),
    );
  }

  state(): PerPromptState {
    return Object.fromEntries([...this.#buffers].map(([prompt, buffer]) => [prompt, [...buffer]]));
  }

  /** @throws GymError E_STATE on what is no state of such statistics, or of some that remember more rewards. */
  restore(state: PerPromptState): void {
    const isBuffer = (buffer: unknown) =>
      Array.isArray(buffer) && buffer.length <= this.bufferSize && buffer.every((reward) => Number.isFinite(reward));
    if (typeof state !== 'object' || state === null || !Object.values(state).every(isBuffer))
      throw new GymError(
        'E_STATE',
        `PerPromptStats: the saved state must be a list of at most ${this.bufferSize} rewards for each prompt, actual value ${shown(state)}; restore it into an agent with the options it was saved with.`,
      );
    this.#buffers.clear();
    for (const [prompt, buffer] of Object.entries(state)) this.#buffers.set(prompt, [...buffer]);
  }
}

/** The episode's return, standardised with running statistics of its prompt (DDPO §5). */
export class PerPromptAdvantages<O> implements AdvantageEstimator<O> {
  readonly #stats: PerPromptStats;
  readonly #promptOf: (observation: O) => string;

  /** @param promptOf what episodes are compared by. */
  constructor(options: { bufferSize: number; minCount: number; promptOf(observation: O): string }) {
    this.#stats = new PerPromptStats(options.bufferSize, options.minCount);
    this.#promptOf = (observation) => options.promptOf(observation);
  }

  estimate(transitions: Transitions<O, unknown>): Advantages {
    const { returns, firsts, spread } = episodeReturns(transitions);
    if (returns.length === 0) return spread([]);
    const prompts = firsts.map((first) => this.#promptOf(transitions.observations[first]!));
    return spread(this.#stats.update(prompts, returns));
  }

  state(): PerPromptState {
    return this.#stats.state();
  }

  restore(state: unknown): void {
    this.#stats.restore(state as PerPromptState);
  }
}
