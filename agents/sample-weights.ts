import { meanAndStd } from '../core/statistics.js';

/** What is done about weights below 0, which push the model away from a sample, without a bound on the loss. */
export type NegativeWeights = 'clamp' | 'shift' | 'keep';

/** α r + γ of each sample; those below 0 become 0 (`clamp`), or all are raised until none is (`shift`). */
export function affineWeights(
  rewards: ArrayLike<number>,
  alpha: number,
  gamma: number,
  negative: NegativeWeights,
): Float64Array {
  const weights = Float64Array.from(rewards, (reward) => alpha * reward + gamma);
  if (negative === 'keep') return weights;
  if (negative === 'clamp') return weights.map((weight) => Math.max(0, weight));
  const least = weights.reduce((a, b) => Math.min(a, b), 0);
  return weights.map((weight) => weight - least);
}

/**
 * n · softmax(β r): the weights exp(β r) / Z of reward-weighted regression, with a mean of 1.
 * @param options `perPrompt`: among the samples of each prompt, n then being how many it has; `normalizeRewards`: rewards
 *   are standardised first, among those that are compared, so that β does not depend on what the reward is measured in.
 */
export function softmaxWeights(
  rewards: ArrayLike<number>,
  prompts: readonly string[],
  { beta, perPrompt, normalizeRewards }: { beta: number; perPrompt: boolean; normalizeRewards: boolean },
): Float64Array {
  return amongComparable(rewards, prompts, perPrompt, (own) => {
    const { mean, std } = normalizeRewards ? meanAndStd(own) : { mean: 0, std: 1 };
    const logits = own.map((reward) => beta * (normalizeRewards ? (reward - mean) / (std + 1e-8) : reward));
    const top = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const exponentials = logits.map((logit) => Math.exp(logit - top));
    const total = exponentials.reduce((a, b) => a + b, 0);
    return exponentials.map((value) => (own.length * value) / total);
  });
}

/**
 * 1 for samples whose reward is at least the percentile, else 0: 1[r ≥ C].
 * @param options `percentile` 0 to 1, found by linear interpolation as numpy's; `perPrompt`: that of the prompt's samples.
 */
export function bestWeights(
  rewards: ArrayLike<number>,
  prompts: readonly string[],
  { percentile, perPrompt }: { percentile: number; perPrompt: boolean },
): Float64Array {
  return amongComparable(rewards, prompts, perPrompt, (own) => {
    const sorted = own.slice().sort();
    const place = percentile * (sorted.length - 1);
    const below = sorted[Math.floor(place)]!;
    const threshold = below + (sorted[Math.ceil(place)]! - below) * (place - Math.floor(place));
    return own.map((reward) => (reward >= threshold ? 1 : 0));
  });
}

/** Weights that are made of the rewards of each prompt by themselves, or of all together. */
function amongComparable(
  rewards: ArrayLike<number>,
  prompts: readonly string[],
  perPrompt: boolean,
  weigh: (rewards: Float64Array) => Float64Array,
): Float64Array {
  if (!perPrompt) return weigh(Float64Array.from(rewards));
  const weights = new Float64Array(rewards.length);
  for (const prompt of new Set(prompts)) {
    const own = [...prompts.keys()].filter((i) => prompts[i] === prompt);
    weigh(Float64Array.from(own, (i) => rewards[i]!)).forEach((weight, k) => {
      weights[own[k]!] = weight;
    });
  }
  return weights;
}
