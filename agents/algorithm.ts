import { GymError } from '../core/errors.js';
import type { Random } from '../core/random.js';
import type { Awaitable, Metrics } from '../core/types.js';
import type { AdvantageEstimator } from './advantages/estimator.js';
import type { CombineReward } from './advantages/per-term.js';
import type { Extras } from './agent.js';
import type { RowLoss } from './optimization/minibatches.js';
import type { SlidingWindow } from './optimization/window.js';
import type { OptimizerOptions, PolicyGradientOptions } from './options.js';
import type { Displacement, KlOptions, Policy } from './policy.js';
import type { ReplayBuffer } from './replay-buffer.js';
import type { Rows } from './rows.js';
import type { Transitions } from './transitions.js';

/** What an algorithm's loss sees of some transitions. They have one entry a row; those of the policy are differentiable. */
export interface LossInput {
  /** ln π(a|s) by the present weights. */
  readonly logProb: Rows;
  /** ln π(a|s) − ln π_old(a|s): 0 with the weights that sampled the rollout. */
  readonly logRatio: Rows;
  readonly advantages: Rows;
  /** Where the policy has an entropy that depends on its parameters. */
  readonly entropy?: Rows | undefined;
  /** KL to the reference, where `klCoefficient` is above 0. */
  readonly kl?: Rows | undefined;
  /** V(s), where the policy has a critic and the advantages give it targets. */
  readonly values?: Rows | undefined;
  readonly targets?: Rows | undefined;
  /** How far the policy has moved since the rollout, where the algorithm asks for it. */
  readonly displacement?: { readonly [K in keyof Displacement]: Rows } | undefined;
  /** The rows of the rollout that these are. */
  readonly rows: Int32Array;
}

/** The options that the shared part reads. */
type CoreOptions = OptimizerOptions &
  Pick<
    PolicyGradientOptions,
    'collect' | 'advantageClip' | 'timestepFraction' | 'entropyCoefficient' | 'klCoefficient' | 'rewardAggregation'
  >;

/** Where advantages come from: an estimator of the algorithm's own, or the one that `options.advantage` names. */
type Estimated =
  | { readonly estimator: AdvantageEstimator<never>; readonly options: CoreOptions }
  | { readonly estimator?: undefined; readonly options: PolicyGradientOptions };

/** What a {@link PolicyGradient} is made from: what its definition's `make` is given has all of it. */
export interface PolicyGradientParts<O, A> {
  readonly policy: Policy<O, A>;
  readonly random: Random;
  warn(message: string): void;
  readonly combineReward?: CombineReward | undefined;
}

/** What tells one policy-gradient algorithm from another. */
export type PolicyGradientAlgorithm = Estimated & {
  /** The agent's name, for messages. */
  readonly name: string;
  /** Passes over a rollout. */
  readonly innerEpochs: number;
  /** Updates a pass. */
  readonly minibatches: number;
  /**
   * True for a surrogate on ratios whose gradient is that of the score function where all ratios are 1; that is then
   * checked once.
   */
  readonly importanceSampled: boolean;
  /** Whether the loss looks at {@link LossInput.displacement}. */
  readonly displacement?: boolean;
  /** Leaves out transitions whose advantage is 0: they have no part in the policy's own term. */
  readonly dropZeroAdvantages?: boolean;
  /** Trains a window of the chain's steps only, which moves from rollout to rollout. */
  readonly window?: SlidingWindow | undefined;
  /** How the KL to the reference is measured, where `klCoefficient` is above 0. */
  readonly kl?: KlOptions;
  /** Further extras of transitions, made once, by the weights that sampled them. */
  annotate?(transitions: Transitions<never, never>): Awaitable<Extras>;
  /** Holds episodes of earlier rollouts, which are then learned from too. */
  readonly replay?: ReplayBuffer<never, never>;
  /** The policy's own term, to be made small: minus the surrogate objective. */
  policyLoss(input: LossInput, progress: number): Rows;
  /** The whole loss: the policy's term with those of values, entropy and KL. Its `means` are logged as `train/<name>`. */
  loss(policyLoss: Rows, input: LossInput, progress: number): RowLoss;
  /** What the algorithm wants logged of a rollout's log-ratios. `train/clipFraction` is watched over. */
  ratioMetrics?(logRatio: Float32Array, progress: number): Metrics;
};

/** −mean(A · ln π): the score-function estimator, exact only where the data are on-policy. */
export function scoreFunctionLoss({ logProb, advantages }: LossInput): Rows {
  return advantages.mul(logProb).mean().neg();
}

/** @throws GymError E_CONFIG where an algorithm asks for what its policy or reward does not have. */
export function checkAlgorithm(
  { name, options, displacement, window }: PolicyGradientAlgorithm,
  policy: Policy<never, unknown>,
  combineReward: CombineReward | undefined,
): void {
  const refuse = (option: string, why: string) => {
    throw new GymError('E_CONFIG', `${name}.${option}: ${why}.`);
  };
  if (policy.unscored)
    throw new GymError(
      'E_CONFIG',
      `${name}: the probability of this policy's decisions is not known, and a policy gradient needs it; take the steps one by one (Denoising-v0), or an agent that learns from finished samples (rwr, rwr-sparse, sft, kl-d, kl-o).`,
    );
  if (options.rewardAggregation === 'per-term' && combineReward === undefined)
    refuse('rewardAggregation', "'per-term' needs a reward that is an expression of others; use 'sum'");
  if (displacement && policy.keepMeans === undefined)
    refuse('surrogate', 'this policy has no Gaussian steps to measure a divergence of; use clip');
  if (window && policy.chainLength === undefined)
    refuse('window', 'the episodes of this policy are no chains of denoising steps; leave it out');
  if (options.klCoefficient > 0 && policy.keepReference === undefined)
    refuse(
      'klCoefficient',
      `this policy cannot keep a reference to measure the KL to; use 0, actual value ${options.klCoefficient}`,
    );
}
