import { GymError } from '../core/errors.js';

/**
 * Population mean and standard deviation (numpy's `mean()` and `std()`). Of equal numbers exactly that number and 0, which
 * a rounded sum would miss: what is left over would be taken for an advantage.
 */
export function meanAndStd(values: ArrayLike<number>): { mean: number; std: number } {
  const n = values.length;
  if (n > 0 && Array.prototype.every.call(values, (value) => value === values[0])) return { mean: values[0]!, std: 0 };
  let sum = 0;
  for (let i = 0; i < n; i++) sum += values[i]!;
  const mean = sum / n;
  let squares = 0;
  for (let i = 0; i < n; i++) squares += (values[i]! - mean) ** 2;
  return { mean, std: Math.sqrt(squares / n) };
}

/** (r − mean) / (std + 1e-8) over the whole batch (DDPO, arXiv 2305.13301 §5; ddpo-pytorch without its tracker). */
export function standardize(values: ArrayLike<number>): Float64Array {
  const { mean, std } = meanAndStd(values);
  return Float64Array.from(values, (r) => (r - mean) / (std + 1e-8));
}

/** What a {@link PerPromptStats} needs to go on: plain JSON. */
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
    return Object.fromEntries(this.#buffers);
  }

  restore(state: PerPromptState): void {
    this.#buffers.clear();
    for (const [prompt, buffer] of Object.entries(state)) this.#buffers.set(prompt, [...buffer]);
  }
}

/** One environment's consecutive transitions, for {@link generalizedAdvantages}. */
export interface Sequence {
  rewards: ArrayLike<number>;
  /** V(s_t), one a transition. */
  values: ArrayLike<number>;
  /** V of the state after each transition; 0 where the episode terminated there. */
  nextValues: ArrayLike<number>;
  /** 1 where an episode ended (terminated or truncated) with the transition: nothing flows back over it. */
  ends: ArrayLike<number>;
}

/**
 * Generalized advantage estimation (arXiv 1506.02438 eq. 16): A_t = δ_t + γλ A_{t+1}, δ_t = r_t + γ V(s_{t+1}) − V(s_t).
 * With λ = 1 and values of 0 it is the discounted reward-to-go.
 */
export function generalizedAdvantages(sequence: Sequence, gamma: number, lambda: number): Float64Array {
  const { rewards, values, nextValues, ends } = sequence;
  const advantages = new Float64Array(rewards.length);
  let next = 0;
  for (let t = rewards.length - 1; t >= 0; t--) {
    const delta = rewards[t]! + gamma * nextValues[t]! - values[t]!;
    next = delta + (ends[t] ? 0 : gamma * lambda * next);
    advantages[t] = next;
  }
  return advantages;
}
