/** Largest |ρ − 1| of re-scored transitions under unchanged weights that is rounding and not a mistake. */
const RATIO_TOLERANCE = 1e-5;
/** Largest relative distance of two gradients that should be equal. */
const GRADIENT_TOLERANCE = 1e-3;
/** From this share of clipped ratios on, hardly anything is learned. */
const CLIP_FRACTION_LIMIT = 0.9;

/**
 * Checks that an agent makes while it learns. Each warns when its condition begins to hold, and again only after it has
 * ceased to hold in between, so that a lasting fault does not fill the screen.
 */
export class RunTimeChecks {
  readonly #warn: (message: string) => void;
  readonly #raised = new Set<string>();

  constructor(warn: (message: string) => void) {
    this.#warn = warn;
  }

  /** Warns when a condition of one's own begins to hold. @param kind tells conditions apart. */
  raise(kind: string, holds: boolean, message = ''): void {
    if (!holds) this.#raised.delete(kind);
    else if (!this.#raised.has(kind)) {
      this.#raised.add(kind);
      this.#warn(message);
    }
  }

  /**
   * With the weights that sampled a rollout every ratio is 1, or sampling and scoring do not agree on what the policy is.
   * @param logRatio ln π(a|s) − ln π_old(a|s) before the first update on the rollout.
   * @returns the largest |ρ − 1|.
   */
  ratio(logRatio: ArrayLike<number>): number {
    let error = 0;
    for (let i = 0; i < logRatio.length; i++) error = Math.max(error, Math.abs(Math.expm1(logRatio[i]!)));
    this.raise(
      'ratio',
      !(error <= RATIO_TOLERANCE),
      `re-scoring the rollout with the weights that made it gives ratios up to ${error.toExponential(1)} away from 1 (rounding explains ${RATIO_TOLERANCE}): sampling and scoring disagree. Check that guidance, schedule, prompts and precision are the same in both.`,
    );
    return error;
  }

  /** At ratio 1 an importance-sampled gradient is the score-function gradient. @param error their relative distance. */
  agreement(error: number): void {
    this.raise(
      'agreement',
      !(error <= GRADIENT_TOLERANCE),
      `before the first update the importance-sampled gradient differs from the score-function gradient by ${(100 * error).toPrecision(2)} %: the ratios of the rollout are not 1. See the ratio check.`,
    );
  }

  /** @param applied whether the update was made: its loss and gradient were finite. */
  finiteGradient(applied: boolean, gradNorm: number, loss: number): void {
    this.raise(
      'gradient',
      !applied,
      `the gradient is not finite (norm ${gradNorm}, loss ${loss}); this update was skipped and the weights are as before. Lower the learning rate, or look for a σ near 0 in the schedule.`,
    );
  }

  /** @param fraction the share of ratios outside the clip range, 0 to 1. */
  clipFraction(fraction: number): void {
    this.raise(
      'clip',
      fraction > CLIP_FRACTION_LIMIT,
      `${(100 * fraction).toFixed(0)} % of the ratios lie outside the clip range, so almost nothing is learnt from them. Lower the learning rate, make fewer updates on a rollout, or widen clipRange (small latents need a wider one).`,
    );
  }
}
