import type { Tensor1D, Tensor2D, Variable } from '@tensorflow/tfjs';
import type { SimdMemory } from '../backend/index.js';
import type { Random } from '../core/random.js';
import type { Awaitable, Info } from '../core/types.js';
import type { GaussianStep } from '../diffusion/schedulers/gaussian-sampler.js';
import type { Decision, Extras } from './agent.js';
import type { ArrayRows } from './optimization/array-rows.js';

/**
 * What kind of model makes the decisions. A diffusion model and a small network of 64 units need other defaults, so an
 * agent states both.
 */
export type PolicyKind = 'denoising' | 'network';

/** A rollout stacked once, on the host, by the policy that will score it. */
export interface Prepared {
  /** The number of transitions. */
  readonly length: number;
}

export interface SampleOptions {
  /** false: the mode of the distribution. */
  explore: boolean;
  random: Random;
  infos?: readonly Info[] | undefined;
}

/** Differentiable, one entry a row. */
export interface Evaluation {
  logProb: Tensor1D;
  /** Absent where the policy's entropy does not depend on its parameters. */
  entropy?: Tensor1D;
  /** KL(π_θ ‖ π_reference) of the row's action distribution, where a reference was asked for. */
  kl?: Tensor1D;
  /** Where it was asked for. */
  displacement?: Displacement;
}

/** How far the policy has moved since it sampled some Gaussian steps; one entry a row. */
export interface Displacement {
  /**
   * KL(π_old ‖ π_θ), exact: ‖μ_θ − μ_old‖² / 2σ², a mean over dimensions where the log-probability is one. Differentiable.
   */
  divergence: Tensor1D;
  /** The step's standard deviation σ. */
  sigma: Tensor1D;
  /** How strongly the step's mean follows the network's output, where the sampler says so ({@link GaussianStep.gain}). */
  gain?: Tensor1D;
}

/** Consecutive steps of a chain: `size` of them from step `first` on. */
export interface StepWindow {
  readonly first: number;
  readonly size: number;
}

/** How the KL to a reference is measured. */
export interface KlOptions {
  /**
   * `exact`: that of the distributions of the action. `prediction`: the mean squared distance of what the two networks
   * predict, whatever the step's σ; for denoising policies alone. Default `exact`.
   */
  readonly form?: 'exact' | 'prediction';
  /** exact, for denoising policies: the most that the squared distance of predictions weighs (κ). Default: no limit. */
  readonly cap?: number;
}

/** What a value function is told of some states; constants. */
export interface StateFeatures {
  /** [rows, width] */
  readonly features: Tensor2D;
  /** The step of its episode that each row is at, where episodes are chains of `chainLength` steps; else 0. */
  readonly steps: Int32Array;
  /** How many steps there are; 1 where they do not matter. */
  readonly chainLength: number;
}

/** An {@link Evaluation} on plain arrays. */
export interface ArrayEvaluation {
  readonly logProb: ArrayRows;
  readonly entropy?: ArrayRows;
  /** V(s), where it was asked for. */
  readonly values?: ArrayRows;
}

/**
 * The weights of a policy on plain arrays, with what an optimiser needs there. Outside of an agent's `learn` they are
 * those of the policy's {@link Policy.parameters}.
 */
export interface PolicyArrays<P extends Prepared = Prepared> {
  readonly memory: SimdMemory;
  /** How many numbers the weights are; they and their gradient have the order of the parameters. */
  readonly size: number;
  /** The address of the weights. */
  readonly weights: number;
  /** The address of their gradient. */
  readonly gradient: number;
  /** Whether the weights are those of the parameters, as far as {@link load} and {@link store} know. */
  readonly isFresh: boolean;
  /** Reads the weights from the parameters. */
  load(): Promise<void>;
  /** Writes the weights to the parameters. */
  store(): void;
  /** Told when the weights were stepped. */
  changed(): void;
  /** Scores rows as {@link Policy.evaluate} and {@link Policy.value} do. */
  evaluate(prepared: P, rows: Int32Array, options: { values: boolean }): ArrayEvaluation;
  /** Writes the gradient, after `backward` of a loss that was computed from the last {@link evaluate}. */
  backward(): void;
}

/**
 * A differentiable distribution over actions. Gradient algorithms work on this and know nothing of what is behind it:
 * an MLP on CartPole and a diffusion model are fine-tuned by the same code.
 */
export interface Policy<O, A, P extends Prepared = Prepared> {
  /** Which of an agent's defaults suit it. */
  readonly kind: PolicyKind;
  /** What the optimiser trains, by name. */
  readonly parameters: ReadonlyMap<string, Variable>;
  /** Where the policy computes on plain arrays: what agents learn on instead of tensors, as far as these can what they need. */
  readonly arrays?: PolicyArrays<P> | undefined;
  /** Actions, and extras with at least `logProb` (a Float32Array); `value` too from a policy with a critic. */
  sample(observations: readonly O[], options: SampleOptions): Awaitable<Decision<A>>;
  /** Stacks transitions on the host; called once a rollout. */
  prepare(observations: readonly O[], actions: readonly A[], extras: Extras): Awaitable<P>;
  /** Makes ready to score what another copy of this policy has prepared. */
  adopt?(prepared: P): Awaitable<void>;
  /**
   * True where a decision depends on its observation and the weights alone, not on a random stream: batches may then be
   * decided in any order, and by copies of this policy.
   */
  readonly selfContained?: boolean;
  /** True where the probability of a decision is not known: no policy gradient can train it. */
  readonly unscored?: boolean;
  /** 0 for rows that have no gradient (σ = 0, steps outside a window). */
  trainable(prepared: P): Uint8Array;
  /**
   * Scores any mix of rows with the present weights. Called inside a gradient.
   * @param options `reference`: also gives `kl` to the copy that {@link Policy.keepReference} made, measured
   *   as it says; `displacement`: also
   *   how far the policy has moved since it sampled the rows, for which {@link Policy.keepMeans} was called before.
   */
  evaluate(
    prepared: P,
    rows: Int32Array,
    options?: { reference?: boolean | KlOptions; displacement?: boolean },
  ): Evaluation;
  /**
   * Keeps a frozen copy of the present weights, which `evaluate` measures the KL to. An agent that wants one calls this
   * when it is made: a resumed run builds its policy from the same model or seed first, and so has the same reference.
   */
  keepReference?(): void;
  /**
   * ln π(a|s) − ln π_reference(a|s) of the actions that were taken, in nats: summed over the action's dimensions, also where
   * `logProb` is a mean over them.
   */
  referenceLogRatio?(prepared: P, rows: Int32Array): Tensor1D;
  /** What a value function is told of the states of some rows. */
  stateFeatures?(prepared: P, rows: Int32Array): StateFeatures;
  /** From now on decisions hold the means that they were drawn around (the extra `mean`), as a displacement needs them. */
  keepMeans?(): void;
  /** The number of decisions of an episode, where all episodes are chains of so many steps. */
  readonly chainLength?: number;
  /**
   * The steps of the chain that are stochastic when the policy explores, and can be trained; the others take the mode
   * (MixGRPO, arXiv 2507.21802). It may be set anew between rollouts. Undefined: all of them.
   */
  window?: StepWindow | undefined;
  /** V(s) of each row, from a policy with a critic; differentiable, called inside a gradient. */
  value?(prepared: P, rows: Int32Array): Tensor1D;
  /** V(s) of observations, on the host, from a policy with a critic: for bootstrapping where a rollout was cut. */
  values?(observations: readonly O[]): Awaitable<Float32Array>;
  /** What episodes are compared by where statistics are kept per prompt (or task); without it there is one group. */
  group?(observation: O): string;
  /** Writes weights (and what else the policy holds) into a folder. */
  save(folder: string): Promise<void>;
  restore(folder: string): Promise<void>;
  dispose(): void;
}
