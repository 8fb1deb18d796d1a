import type { Tensor1D, Tensor2D, Variable } from '@tensorflow/tfjs';
import type { Random } from '../../../core/random.js';

/** An action that was drawn. */
export interface Draw<A> {
  readonly action: A;
  /** Its log-probability, or log-density. */
  readonly logProb: number;
}

/** What a draw is scored by: its log-probability, and the entropy of what it was drawn from. As derivatives, those of a loss by these. */
export interface Scores {
  logProb: number;
  entropy: number;
}

/** Rows of numbers, and where the numbers of one row begin that a distribution is concerned with. */
export interface Place {
  readonly outputs: Float32Array;
  readonly output: number;
  readonly draws: Float32Array;
  readonly draw: number;
  /** The values of {@link ActionDistribution.parameters}, by name. */
  readonly own: ReadonlyMap<string, Float32Array>;
}

/** Where derivatives of a loss are written to: by the outputs at the same place, and by the distribution's own parameters. */
export interface Slopes {
  readonly outputs: Float32Array;
  readonly own: ReadonlyMap<string, Float32Array>;
}

/**
 * Distributions over the actions of one space, with the outputs of a network as their parameters.
 *
 * A draw is kept as numbers of its own, not as its action: an action may be less, as one that was clipped to the bounds of a
 * Box is, and learning needs the draw.
 */
export interface ActionDistribution<A> {
  /** How many outputs of the network it takes. */
  readonly inputs: number;
  /** How many numbers stand for a draw. */
  readonly width: number;
  /** What is trained beside the network, by name. */
  readonly parameters: ReadonlyMap<string, Variable>;
  /**
   * Draws an action, or takes the mode.
   * @param outputs the network's, `inputs` of them.
   * @param own the values of {@link ActionDistribution.parameters}, by name.
   * @param into takes the numbers of the draw, `width` of them.
   */
  sample(
    outputs: Float32Array,
    own: ReadonlyMap<string, Float32Array>,
    explore: boolean,
    random: Random,
    into: Float32Array,
  ): Draw<A>;
  /** Writes the numbers of a draw whose action is known, where nothing was kept of it. */
  encode(action: A, into: Float32Array): void;
  /**
   * Scores draws; differentiable.
   * @param outputs [rows, inputs]
   * @param draws [rows, width]
   * @returns one entry a row; no entropy where it has no closed form.
   */
  evaluate(outputs: Tensor2D, draws: Tensor2D): { logProb: Tensor1D; entropy?: Tensor1D };
  /** Whether the entropy has a closed form. */
  readonly hasEntropy: boolean;
  /** {@link ActionDistribution.evaluate} of one row on plain arrays: adds to `scores`. */
  score(place: Place, scores: Scores): void;
  /**
   * The way back: writes the derivatives of a loss by the outputs, and adds to those by its own parameters.
   * @param by the loss's derivatives by the row's scores.
   */
  scoreGradient(place: Place, by: Readonly<Scores>, slopes: Slopes): void;
  /** Keeps the present values of its own parameters as those of the reference. */
  keepReference(): void;
  /** KL(π ‖ π_reference) of each row, from the outputs of the network and of its frozen copy. */
  kl(outputs: Tensor2D, reference: Tensor2D): Tensor1D;
  dispose(): void;
}
